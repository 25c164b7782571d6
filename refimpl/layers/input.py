"""Input: blobs that the user fills (``src/caffe/layers/input_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence

from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import Layer

__all__ = ["Input"]


class Input(Layer):
    """Tops of the declared shapes: one for all, one per top, or none. Afterwards the user may reshape and fill them."""

    type = "Input"
    exact_bottoms = 0
    min_tops = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        shapes = self.param.input_param.shape
        if len(shapes) not in (0, 1, len(top)):
            raise LayerError(
                f"{len(shapes)} shapes for {len(top)} top(s)", "give shape once, once per top, or not at all"
            )
        for i, blob in enumerate(top):
            if shapes:
                blob.reshape(*shapes[i if len(shapes) > 1 else 0].dim)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Shapes are the user's after set-up."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The tops hold what the user put there."""

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """There is nothing below."""
