"""``torch``: the losses of `torch.nn.functional` as PyTorch documents them, gradients by autograd and dropped between
steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import torch
from torch import Tensor
from torch.nn import functional as F

from conformance.adapters.torch import array_of, tensor_of
from conformance.timing.gpu import WARM
from conformance.timing.problem import MODES, Array, Problem
from conformance.timing.subjects import About, NotTimed, Prepared
from conformance.timing.subjects.equivalent import equivalent

__all__ = ["Torch"]


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
        bottoms = {name: tensor_of(array).to(self.device) for name, array in problem.arrays().items()}
        if problem.loss.labelled:
            bottoms[problem.answer] = bottoms[problem.answer].long()
        leaves = [bottoms[name].requires_grad_() for name in problem.loss.learned]
        function = equivalent(problem, "torch", torch=torch, F=F, math=math)

        def loss() -> Tensor:
            value: Tensor = function(**bottoms)
            return value

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
            return value, tuple(array_of(leaf.grad) for leaf in leaves if leaf.grad is not None)

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
