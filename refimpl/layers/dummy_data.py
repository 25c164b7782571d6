"""DummyData: constant blobs (``src/caffe/layers/dummy_data_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.filler import fill_value, filled
from refimpl.layer import Layer
from refimpl.messages import FillerParameter

__all__ = ["DummyData"]

T = TypeVar("T")
_LEGACY = ("num", "channels", "height", "width")


class DummyData(Layer):
    """Tops of the declared shapes, filled at set-up with the value of a constant filler (0 without one).

    Random fillers are refused: their values are not defined by the net.
    """

    type = "DummyData"
    exact_bottoms = 0
    min_tops = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        fillers = self.param.dummy_data_param.data_filler or (FillerParameter(),)
        for blob, shape, filler in zip(
            top, self._shapes(len(top)), _per_top("data_filler", fillers, len(top)), strict=True
        ):
            blob.reshape(*shape)
            filled(blob, fill_value(filler))

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Shapes are set once, at set-up."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Constants are filled once, at set-up."""

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """There is nothing below."""

    def _shapes(self, tops: int) -> list[tuple[int, ...]]:
        param = self.param.dummy_data_param
        legacy = {name: getattr(param, name) for name in _LEGACY}
        if not any(legacy.values()):
            return [shape.dim for shape in _per_top("shape", param.shape, tops)]
        if param.shape:
            raise LayerError("both shape and the legacy num, channels, height, width are given", "give shape only")
        return list(zip(*(_per_top(name, values, tops) for name, values in legacy.items()), strict=True))


def _per_top(what: str, values: Sequence[T], tops: int) -> list[T]:
    """One value per top, of values given once or once per top."""
    if len(values) not in (1, tops):
        raise LayerError(f"{what} is given {len(values)} times for {tops} top(s)", "give it once, or once per top")
    return list(values) * tops if len(values) == 1 else list(values)
