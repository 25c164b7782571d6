"""Paper layers: what is known of a layer type without building it: its learnable blobs, its backward, its weight."""

from __future__ import annotations

import numpy as np

from conformance.losses import loss_of_type
from refimpl.dialect import Dialect
from refimpl.errors import LayerError
from refimpl.layer import Layer, LayerContext
from refimpl.layers import FORMS, REGISTRY
from refimpl.messages import LayerParameter

__all__ = ["DATA", "KNOWN", "PaperLayer", "is_known", "refusal"]

DATA = frozenset(
    {"AnnotatedData", "Data", "DummyData", "HDF5Data", "ImageData", "Input", "MemoryData", "Parameter", "WindowData"}
)
"""Types without bottoms."""

_LEARNT = {
    "Convolution": ("convolution_param", 2),
    "Deconvolution": ("convolution_param", 2),
    "InnerProduct": ("inner_product_param", 2),
    "Embed": ("embed_param", 2),
}
"""Types with weights and, unless ``bias_term`` is false, a bias: the block that says so, and how many blobs."""

_COUNTS = {"BatchNorm": 3, "PReLU": 1, "Normalize": 1, "LSTM": 3, "RNN": 5, "Parameter": 1}
_FIXED = frozenset({"BatchNorm"})
"""Types whose blobs are updated by the layer itself, and by no gradient."""

_PLAIN = frozenset(
    [
        "AbsVal",
        "Accuracy",
        "ArgMax",
        "BatchReindex",
        "BNLL",
        "Clip",
        "Concat",
        "Convolution",
        "Crop",
        "CuDNNConvolution",
        "Data",
        "Deconvolution",
        "Dropout",
        "DummyData",
        "ELU",
        "Eltwise",
        "Embed",
        "Exp",
        "Filter",
        "Flatten",
        "HDF5Data",
        "HDF5Output",
        "Im2col",
        "ImageData",
        "LRN",
        "LSTM",
        "LSTMUnit",
        "Log",
        "MVN",
        "MemoryData",
        "Pooling",
        "Power",
        "PReLU",
        "Python",
        "RNN",
        "ReLU",
        "Recurrent",
        "SPP",
        "Sigmoid",
        "Silence",
        "Slice",
        "Softmax",
        "Split",
        "Swish",
        "TanH",
        "Threshold",
        "Tile",
        "WindowData",
        "BatchNorm",
        "Bias",
        "Scale",
        "Input",
        "Parameter",
        "Reduction",
        "Reshape",
        "InnerProduct",
    ]
)
"""Layer types of BVLC Caffe."""

KNOWN = _PLAIN | REGISTRY.keys()


def is_known(kind: str) -> bool:
    """Whether BVLC Caffe has the type, or the reference does."""
    return kind in KNOWN


class PaperLayer:
    """A layer by its parameters alone, with what a plan of the backward pass asks of a layer."""

    def __init__(self, param: LayerParameter, weights: list[float], dialect: Dialect | None = None) -> None:
        self.param = param
        self.loss_weights = weights
        self.blobs: list[None] = [None] * _learnt(param)
        self.param_propagate_down = [True] * len(self.blobs)
        self.own = REGISTRY.get(param.type)
        self.dialect = dialect or Dialect.named("bvlc")
        self.has_backward = self.own.has_backward if self.own else True

    def allow_force_backward(self, index: int) -> bool:
        """Whether ``force_backward`` asks for a gradient into this bottom; a loss of no known kind takes none of its
        labels."""
        if self.own is not None:
            return _bare(self.own, self.param, self.dialect).allow_force_backward(index)
        return not (index == 1 and self.param.type.endswith("Loss"))


def refusal(param: LayerParameter, tops: int, dialect: Dialect) -> tuple[str, bool]:
    """Why nothing that is known by the type sets up a layer of these fields, with so many bottoms and tops, and whether
    a fork may, for they are more than are known; empty where something does."""
    reason, more = "", False
    for kind in FORMS.get(param.type, ()):
        layer = _bare(kind, param, dialect)
        for form in kind.forms or (layer.form,):
            layer.form = form
            try:
                layer.check_counts(len(param.bottom), tops)
            except LayerError as error:
                reason = reason or error.message
                fewer = len(param.bottom) < (kind.exact_bottoms or kind.min_bottoms or 0)
                more = more or not (fewer or tops < (kind.exact_tops or kind.min_tops or 0))
                continue
            try:
                layer.check_fields(tops)
            except LayerError as error:
                reason = reason or error.message
                continue
            return "", False
    return reason, more


def _bare(kind: type[Layer], param: LayerParameter, dialect: Dialect) -> Layer:
    """A layer of the reference that has seen no blob."""
    return kind(param, LayerContext(dialect, np.zeros))


def _learnt(param: LayerParameter) -> int:
    if param.type in _FIXED:
        return 0
    if param.type in _COUNTS:
        return _COUNTS[param.type]
    if param.type in ("Scale", "Bias"):
        return int(len(param.bottom) == 1) + int(param.type == "Scale" and param.scale_param.bias_term)
    if param.type in _LEARNT:
        block, count = _LEARNT[param.type]
        return count - int(_says_no_bias(param, block))
    loss = loss_of_type(param.type)
    if loss is not None:
        return loss.blobs
    return len(param.param) if not is_known(param.type) else 0


def _says_no_bias(param: LayerParameter, block: str) -> bool:
    known = getattr(param, block, None)
    if known is not None:
        return not known.bias_term
    return any(str(value) == "false" for raw in param.extra.get(block, ()) for value in raw.all("bias_term"))
