"""The seven loss layers on Numba, for a net: ``refimpl.Net(text, dtype="float32", layers=LAYERS)``.

Each is the reference's layer, which reads the parameters, checks and shapes the blobs, with the numbers from a kernel.
A net of these takes float32 or float64 storage. `refimpl.fast.cuda.layers` puts the same layers on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.fast.cpu import (
    contrastive_loss,
    euclidean_loss,
    hinge_loss,
    infogain_loss,
    multinomial_logistic_loss,
    sigmoid_cross_entropy_loss,
    softmax_with_loss,
)
from refimpl.layer import Layer
from refimpl.layers.contrastive_loss import ContrastiveLoss as _ContrastiveLoss
from refimpl.layers.euclidean_loss import EuclideanLoss as _EuclideanLoss
from refimpl.layers.hinge_loss import HingeLoss as _HingeLoss
from refimpl.layers.infogain_loss import InfogainLoss as _InfogainLoss
from refimpl.layers.multinomial_logistic_loss import MultinomialLogisticLoss as _MultinomialLogisticLoss
from refimpl.layers.sigmoid_cross_entropy_loss import SigmoidCrossEntropyLoss as _SigmoidCrossEntropyLoss
from refimpl.layers.softmax import softmax_gradient
from refimpl.layers.softmax_with_loss import SoftmaxWithLoss as _SoftmaxWithLoss

__all__ = ["LAYERS", "OnCpu", "use_threads"]


class _Threads:
    """How many threads a kernel may use; None: as many as it sees fit."""

    most: ClassVar[int | None] = None


def use_threads(count: int | None) -> None:
    """Let the layers' kernels use at most ``count`` threads each; None leaves the choice to them."""
    _Threads.most = count


@contextmanager
def _refusals() -> Iterator[None]:
    """A kernel's ValueError, in a net's words."""
    try:
        yield
    except ValueError as error:
        raise LayerError(str(error)) from error


def _wanted(bottom: Sequence[Blob], propagate_down: Sequence[bool], i: int) -> Any:
    return bottom[i].diff if propagate_down[i] else None


class OnCpu:
    """Where a layer computes: `kernels` is the module with the functions of its kind."""

    kernels: ClassVar[Any]

    def weight(self, top: Sequence[Blob]) -> Any:
        """The top's diff, as the functions take it."""
        return float(top[0].diff)

    def how(self) -> dict[str, Any]:
        """What the functions take beyond the layer's own parameters."""
        return {"threads": _Threads.most}

    def add_softmax_gradient(self, prob: Blob, axis: int, bottom: Blob) -> None:
        """The part of the gradient that a second top's diff sends through the softmax."""
        bottom.diff[...] += softmax_gradient(prob.wide, prob.wide_diff, axis)


def _normalised(layer: Any) -> dict[str, Any]:
    """What the layers with a ``loss_param`` hand to their functions."""
    return {"ignore_label": layer.normalisation.ignored, "normalization": layer.normalisation.mode, **layer.how()}


class SoftmaxWithLoss(OnCpu, _SoftmaxWithLoss):
    kernels: ClassVar[Any] = softmax_with_loss

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        p = self.probability.data
        with _refusals():
            top[0].data[...] = self.kernels.softmax_with_loss(
                bottom[0].data, bottom[1].data, axis=self.axis, prob=p, **_normalised(self)
            )
        for blob in top[1:]:
            blob.data[...] = p

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        with _refusals():
            self.kernels.backward(
                self.probability.data,
                bottom[1].data,
                axis=self.axis,
                top_diff=self.weight(top),
                out=bottom[0].diff,
                **_normalised(self),
            )
        if self.second_top_asks(top):
            self.add_softmax_gradient(top[1], self.axis, bottom[0])


class InfogainLoss(OnCpu, _InfogainLoss):
    kernels: ClassVar[Any] = infogain_loss

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        p = self.probability.data
        with _refusals():
            top[0].data[...] = self.kernels.infogain_loss(
                bottom[0].data, bottom[1].data, self._matrix(bottom).data, axis=self.axis, prob=p, **_normalised(self)
            )
        for blob in top[1:]:
            blob.data[...] = p

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        self.refuse_matrix_gradient(propagate_down)
        if not propagate_down[0]:
            return
        with _refusals():
            self.kernels.backward(
                self.probability.data,
                bottom[1].data,
                self._matrix(bottom).data,
                axis=self.axis,
                top_diff=self.weight(top),
                out=bottom[0].diff,
                **_normalised(self),
            )
        if self.second_top_asks(top):
            self.add_softmax_gradient(top[1], self.axis, bottom[0])


class SigmoidCrossEntropyLoss(OnCpu, _SigmoidCrossEntropyLoss):
    kernels: ClassVar[Any] = sigmoid_cross_entropy_loss

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        with _refusals():
            top[0].data[...] = self.kernels.sigmoid_cross_entropy_loss(
                bottom[0].data, bottom[1].data, **_normalised(self)
            )

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if propagate_down[0]:
            with _refusals():
                self.kernels.backward(
                    bottom[0].data, bottom[1].data, top_diff=self.weight(top), out=bottom[0].diff, **_normalised(self)
                )


class EuclideanLoss(OnCpu, _EuclideanLoss):
    kernels: ClassVar[Any] = euclidean_loss

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        bottom[0].refuse_more_than_four_axes()
        with _refusals():
            top[0].data[...] = self.kernels.euclidean_loss(bottom[0].data, bottom[1].data, **self.how())

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if any(propagate_down):
            out_a, out_b = (_wanted(bottom, propagate_down, i) for i in range(2))
            with _refusals():
                self.kernels.backward(
                    bottom[0].data,
                    bottom[1].data,
                    top_diff=self.weight(top),
                    out_a=out_a,
                    out_b=out_b,
                    **self.how(),
                )


class HingeLoss(OnCpu, _HingeLoss):
    kernels: ClassVar[Any] = hinge_loss

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        bottom[0].refuse_more_than_four_axes()
        norm = self.param.hinge_loss_param.norm
        with _refusals():
            top[0].data[...] = self.kernels.hinge_loss(bottom[0].data, bottom[1].data, norm=norm, **self.how())

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if propagate_down[0]:
            norm = self.param.hinge_loss_param.norm
            with _refusals():
                self.kernels.backward(
                    bottom[0].data,
                    bottom[1].data,
                    norm=norm,
                    top_diff=self.weight(top),
                    out=bottom[0].diff,
                    **self.how(),
                )


class MultinomialLogisticLoss(OnCpu, _MultinomialLogisticLoss):
    kernels: ClassVar[Any] = multinomial_logistic_loss

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        bottom[0].refuse_more_than_four_axes()
        with _refusals():
            top[0].data[...] = self.kernels.multinomial_logistic_loss(bottom[0].data, bottom[1].data, **self.how())

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.refuse_label_gradient(propagate_down)
        if propagate_down[0]:
            with _refusals():
                self.kernels.backward(
                    bottom[0].data,
                    bottom[1].data,
                    top_diff=self.weight(top),
                    out=bottom[0].diff,
                    **self.how(),
                )


class ContrastiveLoss(OnCpu, _ContrastiveLoss):
    kernels: ClassVar[Any] = contrastive_loss

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        with _refusals():
            top[0].data[...] = self.kernels.contrastive_loss(*self._pairs(bottom), **self._settings())

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if any(propagate_down[:2]):
            a, b, similar = self._pairs(bottom)
            out_a, out_b = (_wanted(bottom, propagate_down, i) for i in range(2))
            with _refusals():
                self.kernels.backward(
                    a, b, similar, top_diff=self.weight(top), out_a=out_a, out_b=out_b, **self._settings()
                )

    def _pairs(self, bottom: Sequence[Blob]) -> tuple[Any, Any, Any]:
        return bottom[0].data, bottom[1].data, bottom[2].data

    def _settings(self) -> dict[str, Any]:
        return {"margin": self.margin, "legacy_version": self.legacy, **self.how()}


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
