"""Loss weights and who runs backward, derived a second time from what Caffe was seen to do; of the product only the
parser is used."""

from __future__ import annotations

from dataclasses import dataclass

from refimpl.messages import LayerParameter, NetParameter
from tests.plain_caffe.net import with_splits

__all__ = ["Row", "derived"]

BVLC_LOSSES = {
    "SoftmaxWithLoss",
    "SigmoidCrossEntropyLoss",
    "InfogainLoss",
    "MultinomialLogisticLoss",
    "HingeLoss",
    "EuclideanLoss",
    "ContrastiveLoss",
}
WITH_BIAS = ("Convolution", "Deconvolution", "InnerProduct", "Embed")
COUNTED = {"CenterLoss": 1, "Normalize": 1, "PReLU": 1, "LSTM": 3, "RNN": 5, "Parameter": 1}
NONE = {
    "AbsVal",
    "Accuracy",
    "ArgMax",
    "BNLL",
    "BatchNorm",
    "BatchReindex",
    "Clip",
    "Concat",
    "Crop",
    "Data",
    "Dropout",
    "DummyData",
    "ELU",
    "Eltwise",
    "Exp",
    "Filter",
    "Flatten",
    "HDF5Data",
    "HDF5Output",
    "Im2col",
    "ImageData",
    "Input",
    "LRN",
    "Log",
    "MVN",
    "MemoryData",
    "Pooling",
    "Power",
    "Python",
    "ReLU",
    "Reduction",
    "Reshape",
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
    *BVLC_LOSSES,
}


@dataclass(frozen=True)
class Row:
    """One layer after splitting: its weights, and whether it runs backward."""

    name: str
    weights: tuple[float, ...]
    backward: bool


def admits(layer: LayerParameter, phase: str) -> bool:
    def holds(rule) -> bool:
        if "phase" in rule.present and rule.phase != phase:
            return False
        return not rule.stage and ("min_level" not in rule.present or rule.min_level <= 0)

    if layer.include:
        return any(map(holds, layer.include))
    return not any(map(holds, layer.exclude))


def counts_unasked(kind: str) -> bool:
    return kind in BVLC_LOSSES or ("Loss" in kind and kind not in NONE)


def learnable(layer: LayerParameter) -> int:
    if layer.type in WITH_BIAS:
        block = {"InnerProduct": "inner_product_param", "Embed": "embed_param"}.get(layer.type, "convolution_param")
        known = getattr(layer, block, None)
        if known is not None:
            return 1 + bool(known.bias_term)
        biased = [str(value) for raw in layer.extra.get(block, ()) for value in raw.all("bias_term")]
        return 1 if biased == ["false"] else 2
    if layer.type == "Scale":
        return (len(layer.bottom) == 1) + bool(layer.scale_param.bias_term)
    if layer.type == "Bias":
        return int(len(layer.bottom) == 1)
    if layer.type in COUNTED:
        return COUNTED[layer.type]
    return 0 if layer.type in NONE else len(layer.param)


def derived(net: NetParameter, phase: str = "TRAIN") -> list[Row]:
    """Every layer after splitting. Raises `Refused` for a bottom that nobody makes."""
    layers = with_splits([layer for layer in net.layer if admits(layer, phase)])
    weights = []
    for layer in layers:
        tops = len(layer.top) or int(counts_unasked(layer.type))
        given = list(layer.loss_weight) or ([1.0] if counts_unasked(layer.type) else [])
        weights.append((given + [0.0] * tops)[:tops])
    learns = []
    carrying: set[str] = set()
    asked = []
    for layer in layers:
        below = [name in carrying for name in layer.bottom]
        rates = [layer.param[i].lr_mult if i < len(layer.param) else 1.0 for i in range(learnable(layer))]
        need = any(below) or any(rates)
        learns.append(need)
        asked.append(
            list(layer.propagate_down) if len(layer.propagate_down) == len(layer.bottom) and layer.bottom else below
        )
        for name in layer.top:
            carrying.discard(name)
            if need:
                carrying.add(name)
    counted: set[str] = set()
    given_up: set[str] = set()
    rows = []
    for layer, need, own, down in reversed(list(zip(layers, learns, weights, asked, strict=True))):
        tops = layer.top or (("(automatic)",) if own else ())
        leads = any(own) or any(name in counted for name in layer.top)
        if need and all(name in given_up for name in tops):
            need, down = False, [False] * len(down)
        for name, wanted in zip(layer.bottom, down, strict=True):
            if leads:
                counted.add(name)
            if not (wanted and leads):
                given_up.add(name)
        rows.append(Row(layer.name, tuple(own), net.force_backward or (need and leads)))
    return rows[::-1]
