"""The seven loss layers on a GPU, for a net: ``refimpl.Net(text, dtype="float32", layers=LAYERS)``.

They are the CPU path's layers (`refimpl.fast.layers`) with these kernels; a net's blobs are the host's, so they travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from refimpl.blob import Blob
from refimpl.fast import layers
from refimpl.fast.cuda import (
    contrastive_loss,
    euclidean_loss,
    hinge_loss,
    infogain_loss,
    multinomial_logistic_loss,
    sigmoid_cross_entropy_loss,
    softmax,
    softmax_with_loss,
)
from refimpl.layer import Layer

__all__ = ["LAYERS"]


class _OnGpu(layers.OnCpu):
    """The same layer on the current device (`refimpl.fast.cuda.device`)."""

    def weight(self, top: Sequence[Blob]) -> Any:
        """The top's diff as it is: the device reads it."""
        return top[0].diff

    def how(self) -> dict[str, Any]:
        return {}

    def add_softmax_gradient(self, prob: Blob, axis: int, bottom: Blob) -> None:
        softmax.backward(prob.data, prob.diff, axis=axis, out=bottom.diff)


class ContrastiveLoss(_OnGpu, layers.ContrastiveLoss):
    kernels: ClassVar[Any] = contrastive_loss


class EuclideanLoss(_OnGpu, layers.EuclideanLoss):
    kernels: ClassVar[Any] = euclidean_loss


class HingeLoss(_OnGpu, layers.HingeLoss):
    kernels: ClassVar[Any] = hinge_loss


class InfogainLoss(_OnGpu, layers.InfogainLoss):
    kernels: ClassVar[Any] = infogain_loss


class MultinomialLogisticLoss(_OnGpu, layers.MultinomialLogisticLoss):
    kernels: ClassVar[Any] = multinomial_logistic_loss


class SigmoidCrossEntropyLoss(_OnGpu, layers.SigmoidCrossEntropyLoss):
    kernels: ClassVar[Any] = sigmoid_cross_entropy_loss


class SoftmaxWithLoss(_OnGpu, layers.SoftmaxWithLoss):
    kernels: ClassVar[Any] = softmax_with_loss


LAYERS: dict[str, type[Layer]] = {
    layer.type: layer
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
"""Layer type to class."""
