"""Shapes: how large blobs are, as far as the prototxt alone tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from refimpl.messages import BlobShape, LayerParameter
from refimpl.textformat import Block, Scalar

__all__ = ["UNKNOWN", "Size", "sizes_of"]


@dataclass(frozen=True)
class Size:
    """The first dimension of a blob and the further ones; None for a number, or a count of them, that is not known."""

    batch: int | None = None
    rest: tuple[int | None, ...] | None = None

    def before(self, axis: int) -> int | None:
        """The product of the dimensions before an axis."""
        if axis == 1:
            return self.batch
        if self.rest is None:
            return None
        return _product((self.batch, *self.rest)[:axis])

    def without(self, axis: int) -> int | None:
        """The product of the dimensions but one."""
        if self.rest is None or not -len(self.rest) - 1 <= axis <= len(self.rest):
            return None
        dims = [self.batch, *self.rest]
        del dims[axis]
        return _product(dims)

    @property
    def count(self) -> int | None:
        return None if self.rest is None else _product((self.batch, *self.rest))


UNKNOWN = Size()

# fmt: off
_SAME = frozenset([
    "AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log",
    "MVN", "Normalize", "PReLU", "Power", "ReLU", "Scale", "Sigmoid", "Softmax", "Split", "Swish", "TanH", "Threshold",
])
# fmt: on
"""Types whose tops have the first bottom's shape."""

_LABELLED = frozenset(["Data", "ImageData", "MemoryData", "WindowData"])
"""Types of data whose second top has one entry per item."""


def sizes_of(layers: Iterable[LayerParameter]) -> list[tuple[Size, ...]]:
    """For each layer the sizes of its bottoms, as they are when it runs."""
    blobs: dict[str, Size] = {}
    found: list[tuple[Size, ...]] = []
    for layer in layers:
        bottoms = tuple(blobs.get(name, UNKNOWN) for name in layer.bottom)
        found.append(bottoms)
        tops = _tops(layer, bottoms) if bottoms else _source(layer)
        for i, name in enumerate(layer.top):
            blobs[name] = tops[i] if i < len(tops) else UNKNOWN
    return found


def _source(layer: LayerParameter) -> Sequence[Size]:
    """The tops of a layer without bottoms."""
    if layer.type in ("Input", "DummyData"):
        given = layer.input_param.shape if layer.type == "Input" else layer.dummy_data_param.shape
        old = layer.dummy_data_param
        shapes = [_size(shape.dim) for shape in given]
        shapes = shapes or [_size(dims) for dims in zip(old.num, old.channels, old.height, old.width, strict=False)]
        return shapes * len(layer.top) if len(shapes) == 1 else shapes
    batch, crop = _number(layer, "batch_size"), _number(layer, "crop_size")
    data = Size(batch, (None, crop, crop)) if crop else Size(batch)
    return [data, Size(batch, ()) if layer.type in _LABELLED else Size(batch)]


def _size(dims: Sequence[int]) -> Size:
    """Sizes that are no more than 0 are none that a net is trained with."""
    known = [dim if dim > 0 else None for dim in dims]
    return Size(known[0], tuple(known[1:])) if known else UNKNOWN


def _number(layer: LayerParameter, name: str) -> int | None:
    """A positive number in any of the layer's blocks that are kept as written."""
    for blocks in layer.extra.values():
        for block in blocks:
            for value in block.all(name):
                if isinstance(value, Scalar) and value.text.isdecimal() and int(value.text):
                    return int(value.text)
    return None


def _tops(layer: LayerParameter, bottoms: Sequence[Size]) -> Sequence[Size]:
    first = bottoms[0]
    if layer.type in _SAME:
        return [first] * len(layer.top)
    if layer.type == "InnerProduct" and layer.inner_product_param.axis == 1:
        return [Size(first.batch, (layer.inner_product_param.num_output,))]
    if layer.type == "Flatten" and (layer.flatten_param.axis, layer.flatten_param.end_axis) == (1, -1):
        return [Size(first.batch, None if first.rest is None else (_product(first.rest),))]
    if layer.type in ("Convolution", "Deconvolution", "Pooling"):
        return [_windowed(layer, first)] * len(layer.top)
    if layer.type == "Concat":
        return [_joined(layer, bottoms)]
    if layer.type == "Slice":
        return _sliced(layer, first)
    if layer.type == "Crop" and first.rest is not None and bottoms[-1].rest is not None:
        return [Size(first.batch, (*first.rest[:1], *bottoms[-1].rest[1:]))]
    if layer.type == "Reshape":
        return [_reshaped(layer.reshape_param.shape, first)] if layer.reshape_param.axis == 0 else []
    return []


def _windowed(layer: LayerParameter, bottom: Size) -> Size:
    """What a convolution or a pooling makes of an image."""
    name = "pooling_param" if layer.type == "Pooling" else "convolution_param"
    block = next(iter(layer.extra.get(name, ())), Block())
    made = None if layer.type == "Pooling" else _last(block, "num_output")
    if bottom.rest is None or len(bottom.rest) != 3:
        return Size(bottom.batch)
    channels = bottom.rest[0] if layer.type == "Pooling" else made
    if any(str(value) == "true" for value in block.all("global_pooling")):
        return Size(bottom.batch, (channels, 1, 1))
    return Size(bottom.batch, (channels, *(_along(layer.type, block, bottom.rest, axis) for axis in (0, 1))))


def _along(kind: str, block: Block, rest: tuple[int | None, ...], axis: int) -> int | None:
    length = rest[1 + axis]
    kernel, stride, pad, dilation = (
        _last(block, f"{short}_{'hw'[axis]}", _nth(block, name, axis, default))
        for short, name, default in (
            ("kernel", "kernel_size", 0),
            ("stride", "stride", 1),
            ("pad", "pad", 0),
            ("dilation", "dilation", 1),
        )
    )
    if length is None or not kernel or not stride or pad is None or dilation is None:
        return None
    reach = dilation * (kernel - 1) + 1
    if kind == "Deconvolution":
        return stride * (length - 1) + reach - 2 * pad
    if kind == "Convolution":
        return (length + 2 * pad - reach) // stride + 1
    steps = length + 2 * pad - kernel
    floor = any(str(value) == "FLOOR" for value in block.all("round_mode"))
    made = (steps if floor else steps + stride - 1) // stride + 1
    return made - 1 if pad and (made - 1) * stride >= length + pad else made


def _nth(block: Block, name: str, index: int, default: int) -> int | None:
    """A repeated number's entry; its last one where there are fewer."""
    given = [int(value.text) for value in block.all(name) if isinstance(value, Scalar) and value.text.isdecimal()]
    return given[min(index, len(given) - 1)] if given else default


def _last(block: Block, name: str, default: int | None = None) -> int | None:
    given = [int(value.text) for value in block.all(name) if isinstance(value, Scalar) and value.text.isdecimal()]
    return given[-1] if given else default


def _joined(layer: LayerParameter, bottoms: Sequence[Size]) -> Size:
    given = layer.concat_param
    axis = given.axis if given.has("axis") or not given.has("concat_dim") else given.concat_dim
    first = bottoms[0]
    if axis == 0:
        return Size(_sum(bottom.batch for bottom in bottoms), first.rest)
    if first.rest is None or not 0 < axis <= len(first.rest):
        return Size(first.batch)
    parts = [bottom.rest[axis - 1] if bottom.rest and len(bottom.rest) >= axis else None for bottom in bottoms]
    return Size(first.batch, (*first.rest[: axis - 1], _sum(parts), *first.rest[axis:]))


def _sliced(layer: LayerParameter, bottom: Size) -> list[Size]:
    given = layer.slice_param
    axis = given.axis if given.has("axis") or not given.has("slice_dim") else given.slice_dim
    if axis > 0 and (bottom.rest is None or axis > len(bottom.rest)):
        return [Size(bottom.batch)] * len(layer.top)
    if axis < 0:
        return []
    dims = [bottom.batch, *(bottom.rest or ())]
    whole, count = dims[axis], len(layer.top)
    ends: list[int | None] = [*given.slice_point, whole]
    if not given.slice_point:
        ends = [None if whole is None else whole * (i + 1) // count for i in range(count)]
    found = []
    for start, end in zip([0, *ends], ends, strict=False):
        part = None if start is None or end is None else end - start
        rest = bottom.rest if bottom.rest is None or axis == 0 else tuple([*dims[:axis], part, *dims[axis + 1 :]][1:])
        found.append(Size(part if axis == 0 else bottom.batch, rest))
    return found


def _reshaped(shape: BlobShape, bottom: Size) -> Size:
    old = None if bottom.rest is None else (bottom.batch, *bottom.rest)
    dims: list[int | None] = []
    for i, dim in enumerate(shape.dim):
        if dim == 0:
            dims.append(bottom.batch if i == 0 else old[i] if old is not None and i < len(old) else None)
        else:
            dims.append(dim if dim > 0 else None)
    whole = bottom.count
    if whole is not None and shape.dim.count(-1) == 1:
        at = shape.dim.index(-1)
        others = _product([*dims[:at], *dims[at + 1 :]])
        dims[at] = whole // others if others else None
    return Size(dims[0], tuple(dims[1:])) if dims else UNKNOWN


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = list(numbers)
    return None if None in known else sum(number for number in known if number is not None)


def _product(numbers: Iterable[int | None]) -> int | None:
    known = list(numbers)
    return None if None in known else prod(number for number in known if number is not None)
