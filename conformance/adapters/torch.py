"""``torch``: each loss in `torch.nn.functional`, its gradient by autograd (docs/adapters/torch.md).

What PyTorch's own functions do is kept, not corrected: no log floors, NaN for a mean over nothing. So the verdicts say
where a port of a Caffe net to PyTorch departs from Caffe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from conformance.adapters.direct import LayerImplementation
from conformance.contract.case import Array
from conformance.contract.dtypes import DEFAULT
from conformance.contract.implementation import Description, Implementation
from refimpl.layers.normalisation import Normalisation
from refimpl.messages import LayerParameter

__all__ = ["LAYERS", "open_torch"]


def open_torch(argument: str, timeout: float | None = None) -> Implementation:
    """The seven losses on PyTorch's CPU backend. Raises `ValueError` for any argument."""
    if argument:
        raise ValueError(f"there is no {argument!r}")
    description = Description(
        name="torch",
        version=torch.__version__,
        language="Python",
        capability="layer",
        dtypes=DEFAULT,
        environment={"torch": torch.__version__, "threads": torch.get_num_threads(), "numpy": np.__version__},
    )
    return LayerImplementation(LAYERS, description, timeout)


class _Autograd:
    """A loss whose forward is written in torch; backward asks autograd, with the tops' diffs as incoming gradients."""

    differentiable: ClassVar[tuple[int, ...]] = (0,)

    def __init__(self, param: LayerParameter) -> None:
        self.param = param

    def forward(self, bottom: Sequence[Array]) -> list[Array]:
        self.leaves = [
            torch.from_numpy(np.array(array)).requires_grad_(i in self.differentiable) for i, array in enumerate(bottom)
        ]
        try:
            self.tops = self.compute(self.leaves)
        except NotImplementedError:  # a RuntimeError by birth
            raise
        except (IndexError, RuntimeError) as error:  # torch's way to say that a label is no class
            raise ValueError(str(error).splitlines()[0]) from error
        return [top.detach().numpy() for top in self.tops]

    def backward(
        self, top_diff: Sequence[Array], bottom: Sequence[Array], propagate_down: Sequence[bool]
    ) -> list[Array | None]:
        asked = [i for i, wanted in enumerate(propagate_down) if wanted]
        if any(i not in self.differentiable for i in asked):
            raise ValueError(f"{self.param.type} has no gradient for bottom {asked[-1]}")
        if not asked:
            return [None] * len(bottom)
        tops = self.tops[: len(top_diff)]
        incoming = [torch.from_numpy(np.array(d)).reshape(top.shape) for d, top in zip(top_diff, tops, strict=True)]
        gradients = torch.autograd.grad(tops, [self.leaves[i] for i in asked], incoming, retain_graph=True)
        found = dict(zip(asked, gradients, strict=True))
        return [found[i].numpy() if i in found else None for i in range(len(bottom))]

    def compute(self, bottom: list[Tensor]) -> list[Tensor]:
        raise NotImplementedError(self.param.type)


def _labels(values: Tensor) -> Tensor:
    return values.detach().trunc().long()


def _counted(labels: Tensor, mode: Normalisation) -> Tensor:
    return torch.ones_like(labels, dtype=torch.bool) if mode.ignored is None else labels != mode.ignored


def _divisor(mode: Normalisation, shape: Sequence[int], axis: int) -> int:
    """What a sum or mean is still to be divided by: VALID is torch's own mean."""
    outer = int(np.prod(shape[:axis]))
    return {"FULL": outer * int(np.prod(shape[axis + 1 :])), "BATCH_SIZE": outer}.get(mode.mode, 1)


class SoftmaxWithLoss(_Autograd):
    """`cross_entropy`; VALID is its own mean, NaN where every label is ignored. Probabilities have no floor."""

    def compute(self, bottom: list[Tensor]) -> list[Tensor]:
        mode = Normalisation.of(self.param.loss_param, "VALID")
        axis = self.param.softmax_param.axis % bottom[0].ndim
        logits = bottom[0].movedim(axis, -1).reshape(-1, bottom[0].shape[axis])
        labels = _labels(bottom[1]).reshape(-1)
        ignored = -100 if mode.ignored is None else mode.ignored  # torch's own default, refused below
        if mode.ignored is None and bool((labels < 0).any()):
            raise ValueError(f"label {int(labels.min())} is no class")
        reduction = "mean" if mode.mode == "VALID" else "sum"
        loss = F.cross_entropy(logits, labels, ignore_index=ignored, reduction=reduction)
        return [loss / _divisor(mode, bottom[0].shape, axis), F.softmax(bottom[0], dim=axis)]


class InfogainLoss(_Autograd):
    """`log_softmax` weighted by the rows of H; its matrix is the third bottom. Logarithms have no floor."""

    def compute(self, bottom: list[Tensor]) -> list[Tensor]:
        if len(bottom) < 3:
            raise NotImplementedError("the matrix is read from a third bottom only")
        mode = Normalisation.of(self.param.loss_param, "VALID")
        axis = self.param.infogain_loss_param.axis % bottom[0].ndim
        classes = bottom[0].shape[axis]
        labels = _labels(bottom[1]).reshape(bottom[0].shape[:axis] + bottom[0].shape[axis + 1 :])
        counted = _counted(labels, mode)
        rows = F.embedding(torch.where(counted, labels, 0), bottom[2].detach().reshape(classes, classes))
        losses = -(rows * F.log_softmax(bottom[0].movedim(axis, -1), dim=-1)).sum(-1)[counted]
        loss = losses.mean() if mode.mode == "VALID" else losses.sum()
        return [loss / _divisor(mode, bottom[0].shape, axis), F.softmax(bottom[0], dim=axis)]


class SigmoidCrossEntropyLoss(_Autograd):
    """`binary_cross_entropy_with_logits` with ignored targets masked out; VALID is a mean, NaN over nothing."""

    def compute(self, bottom: list[Tensor]) -> list[Tensor]:
        mode = Normalisation.of(self.param.loss_param, "BATCH_SIZE")
        targets = bottom[1].detach().reshape(bottom[0].shape)
        counted = _counted(_labels(targets), mode)
        reduction = "mean" if mode.mode == "VALID" else "sum"
        loss = F.binary_cross_entropy_with_logits(bottom[0][counted], targets[counted], reduction=reduction)
        return [loss / {"FULL": targets.numel(), "BATCH_SIZE": len(bottom[0])}.get(mode.mode, 1)]


class EuclideanLoss(_Autograd):
    """`mse_loss`, summed, over twice the batch."""

    differentiable = (0, 1)

    def compute(self, bottom: list[Tensor]) -> list[Tensor]:
        return [F.mse_loss(bottom[0], bottom[1].reshape(bottom[0].shape), reduction="sum") / (2 * len(bottom[0]))]


class HingeLoss(_Autograd):
    """`relu` of one-against-all margins, squared for L2."""

    def compute(self, bottom: list[Tensor]) -> list[Tensor]:
        x = bottom[0].reshape(len(bottom[0]), -1)
        labels = _labels(bottom[1]).reshape(-1)[: len(x)]
        margins = F.relu(1 - x * (2 * F.one_hot(labels, x.shape[1]) - 1))
        squared = self.param.hinge_loss_param.norm == "L2"
        return [(margins * margins if squared else margins).sum() / len(x)]


class ContrastiveLoss(_Autograd):
    """`relu(margin - distance)`; the distance's own derivative, without Caffe's 1e-4."""

    differentiable = (0, 1)

    def compute(self, bottom: list[Tensor]) -> list[Tensor]:
        a, b = (blob.reshape(len(blob), -1) for blob in bottom[:2])
        param = self.param.contrastive_loss_param
        similar = _labels(bottom[2]).reshape(-1)[: len(a)] != 0
        squared = ((a - b) ** 2).sum(1)
        apart = F.relu(param.margin - squared) if param.legacy_version else F.relu(param.margin - _length(a - b)) ** 2
        return [torch.where(similar, squared, apart).sum() / (2 * len(a))]


def _length(difference: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(difference, dim=1)
    return length


class MultinomialLogisticLoss(_Autograd):
    """`nll_loss` of the logarithm; probabilities have no floor."""

    def compute(self, bottom: list[Tensor]) -> list[Tensor]:
        p = bottom[0].reshape(len(bottom[0]), -1)
        return [F.nll_loss(torch.log(p), _labels(bottom[1]).reshape(-1), reduction="mean")]


LAYERS: dict[str, type[Any]] = {
    layer.__name__: layer
    for layer in (
        ContrastiveLoss,
        EuclideanLoss,
        HingeLoss,
        InfogainLoss,
        MultinomialLogisticLoss,
        SigmoidCrossEntropyLoss,
        SoftmaxWithLoss,
    )
}
