"""Parameter: a learnable blob as a top (``include/caffe/layers/parameter_layer.hpp``)."""

from __future__ import annotations

from collections.abc import Sequence

from refimpl.blob import Blob
from refimpl.layer import Layer
from refimpl.quirk import LOSS_TUTORIAL, Quirk

__all__ = ["Parameter"]


class Parameter(Layer):
    """The top has the declared shape; from the first forward on it shares the learnable blob's data.

    Caffe shares the diff too, which matters where the top carries a weight and where a second backward adds to the
    gradient: quirk ``parameter-layer-shares-diff``.
    """

    type = "Parameter"
    exact_bottoms = 0
    exact_tops = 1
    quirks = (
        Quirk(
            "parameter-layer-shares-diff",
            "a Parameter layer's top shares its diff with the parameter: each backward overwrites the parameter's "
            "gradient, and a loss_weight of the top is lost",
            "parameter diffs accumulate until they are cleared, and every weighted top counts",
            "include/caffe/layers/parameter_layer.hpp Forward_cpu; include/caffe/net.hpp ClearParamDiffs; "
            f"{LOSS_TUTORIAL}",
            number=18,
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        shape = self.param.parameter_param.shape.dim
        self.blobs = [self.context.blob(*shape)]
        self.param_propagate_down = [True]
        self.backwards = 0
        top[0].reshape(*shape)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The shape is set once, at set-up."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        top[0].share_data(self.blobs[0])
        if self._shares_diff():
            top[0].share_diff(self.blobs[0])

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.backwards += 1
        if not self._shares_diff() and self.param_propagate_down[0]:
            self.blobs[0].diff[...] = self.blobs[0].wide_diff + top[0].wide_diff

    def _shares_diff(self) -> bool:
        """Caffe's side; the quirk shows once a weight would be lost or a gradient not be added."""
        if any(self.loss_weights) or self.backwards > 1:
            return self.dialect.takes("parameter-layer-shares-diff")
        return self.dialect.leans("parameter-layer-shares-diff")
