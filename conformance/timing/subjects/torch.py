"""``torch``: the losses of `torch.nn.functional` as PyTorch documents them, gradients by autograd and dropped between
steps."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from conformance.timing.gpu import WARM
from conformance.timing.problem import MODES, Array, Problem
from conformance.timing.subjects import About, NotTimed, Prepared

__all__ = ["Torch"]

Loss = Callable[[Problem, dict[str, Tensor]], Tensor]


class Torch:
    """PyTorch's CPU or CUDA backend, eager. Labels are int64 before the clock starts, as PyTorch wants them.

    On CUDA one set of arrays is used again and again: where it fits the device's cache, that is to torch's advantage.
    Raises `NotTimed` for CUDA where this PyTorch has none.
    """

    def __init__(self, threads: int, device: str = "cpu") -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise NotTimed("this PyTorch finds no CUDA device")
        torch.set_num_threads(threads)
        self.device = device

    def about(self) -> About:
        if self.device == "cpu":
            return About("torch", torch.__version__, {"threads": torch.get_num_threads()})
        environment = {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        return About("torch:cuda", torch.__version__, environment)

    def prepare(self, problem: Problem, modes: Collection[str] = MODES) -> Prepared:
        bottoms = {name: torch.from_numpy(array).to(self.device) for name, array in problem.arrays().items()}
        if "y" in bottoms:
            bottoms["y"] = bottoms["y"].long()
        leaves = [bottoms[name].requires_grad_() for name in problem.loss.learned]
        loss = partial(LOSSES[problem.layer], problem, bottoms)
        kept = loss() if "backward" in modes else None

        def forward() -> Tensor:
            with torch.no_grad():
                return loss()

        def drop() -> None:
            for leaf in leaves:
                leaf.grad = None

        def backward() -> None:
            drop()
            assert kept is not None
            kept.backward(retain_graph=True)

        def both() -> Tensor:
            drop()
            value = loss()
            value.backward()
            return value

        def answer() -> tuple[float, tuple[Array, ...]]:
            value = float(both().detach())
            gradients = (leaf.grad.cpu() for leaf in leaves if leaf.grad is not None)
            return value, tuple(np.asarray(gradient) for gradient in gradients)

        calls = {"forward": forward, "backward": backward, "both": both}
        return Prepared(calls, answer, allocates=True, timed=None if self.device == "cpu" else seconds_on_device)


def seconds_on_device(call: Callable[[], object], loops: int) -> float:
    """As `conformance.timing.gpu.Gpu.seconds`, with torch's events."""
    for _ in range(WARM):
        call()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(loops):
        call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / loops


def _softmax(problem: Problem, bottoms: dict[str, Tensor]) -> Tensor:
    ignored = -100 if problem.ignore_label is None else problem.ignore_label
    return F.cross_entropy(bottoms["x"], bottoms["y"], ignore_index=ignored)


def _infogain(problem: Problem, bottoms: dict[str, Tensor]) -> Tensor:
    classes, labels = problem.classes, bottoms["y"]
    logarithms = F.log_softmax(bottoms["x"], dim=1)
    matrix = bottoms["H"].reshape(classes, classes)
    if problem.ignore_label is None:
        return -(matrix[labels] * logarithms.movedim(1, -1)).sum() / labels.numel()
    counted = labels != problem.ignore_label
    rows = matrix[torch.where(counted, labels, 0)] * counted.unsqueeze(-1)
    return -(rows * logarithms.movedim(1, -1)).sum() / counted.sum()


def _sigmoid(problem: Problem, bottoms: dict[str, Tensor]) -> Tensor:
    x, t = bottoms["x"], bottoms["t"]
    counted = None if problem.ignore_label is None else (t != problem.ignore_label).to(x.dtype)
    return F.binary_cross_entropy_with_logits(x, t, weight=counted, reduction="sum") / problem.samples


def _hinge(problem: Problem, bottoms: dict[str, Tensor]) -> Tensor:
    x, labels = bottoms["x"].reshape(problem.samples, -1), bottoms["y"][:, None]
    signed = x.scatter(1, labels, -x.gather(1, labels))
    return F.relu(1 + signed).sum() / problem.samples


def _euclidean(problem: Problem, bottoms: dict[str, Tensor]) -> Tensor:
    return F.mse_loss(bottoms["x"], bottoms["z"], reduction="sum") / (2 * problem.samples)


def _contrastive(problem: Problem, bottoms: dict[str, Tensor]) -> Tensor:
    difference = (bottoms["x"] - bottoms["z"]).reshape(problem.samples, -1)
    squared = (difference * difference).sum(1)
    apart = F.relu(1 - squared.sqrt()) ** 2
    return torch.where(bottoms["s"] != 0, squared, apart).sum() / (2 * problem.samples)


def _multinomial(problem: Problem, bottoms: dict[str, Tensor]) -> Tensor:
    return F.nll_loss(torch.log(bottoms["x"].reshape(problem.samples, -1)), bottoms["y"])


LOSSES: dict[str, Loss] = {
    "softmax_with_loss": _softmax,
    "infogain_loss": _infogain,
    "sigmoid_cross_entropy_loss": _sigmoid,
    "hinge_loss": _hinge,
    "euclidean_loss": _euclidean,
    "contrastive_loss": _contrastive,
    "multinomial_logistic_loss": _multinomial,
}
