"""Parameter: a learnable blob as a top (``include/caffe/layers/parameter_layer.hpp``)."""

from __future__ import annotations

from collections.abc import Sequence

from refimpl.blob import Blob
from refimpl.layer import Layer

__all__ = ["Parameter"]


class Parameter(Layer):
    """The top has the declared shape; from the first forward on it shares data and diff with the learnable blob.

    So the gradient that arrives at the top is the parameter's, overwritten by each backward and not accumulated.
    """

    type = "Parameter"
    exact_bottoms = 0
    exact_tops = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        shape = self.param.parameter_param.shape.dim
        self.blobs = [self.context.blob(*shape)]
        self.param_propagate_down = [True]
        top[0].reshape(*shape)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The shape is set once, at set-up."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        top[0].share_data(self.blobs[0])
        top[0].share_diff(self.blobs[0])

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """The diff is shared: there is nothing to pass on."""
