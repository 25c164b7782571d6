"""SoftmaxWithLossOHEM: what the suite knows of it beside its formula (`refimpl.layers.softmax_with_loss_ohem`)."""

from __future__ import annotations

import numpy as np

from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import LABEL_COUNTS, Extreme, LargeCount, QuirkNet, Refused
from conformance.losses.expression import batch_before, cross_entropy, over, own
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.nets import layer, source
from conformance.losses.roles import Labels, Scores
from conformance.losses.values import HUGE_WEIGHT, exact, extreme_logits, halves
from refimpl.layers.normalisation import Normalisation
from refimpl.layers.softmax_with_loss_ohem import SoftmaxWithLossOHEM
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_CPP = "intel/caffe@44d53638 src/caffe/layers/softmax_loss_ohem_layer.cpp"
_IMAGE = (2, 3, 2, 2)
_MODE, _FIXED, _IGNORE = "loss_param.normalization", "loss_param.pre_fixed_normalizer", "loss_param.ignore_label"

_FED = {"inputs": {"x": np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]]), "y": np.array([2.0, 0.0])}}
_SOURCES = "force_backward: true\n" + source("x", (2, 3)) + source("y", (2,))


def _tops(count: int, *weights: float, options: str = "") -> str:
    tops = ("loss", "probability", "losses")[:count]
    return _SOURCES + layer("loss", SoftmaxWithLossOHEM.type, ["x", "y"], tops, weights, options)


_EQUIVALENTS = {
    "torch": """
def loss(x, y, ignored):
    return F.cross_entropy(x, y, ignore_index=-100 if ignored is None else ignored)
""",
}


_TORCH_LAYER = """\
# cross_entropy of each position; ignored ones are 0.
def tops(bottom, param):
    given = own(param, "loss_param")
    mode = given.normalization if given.has("normalization") or not given.has("normalize") else (
        "VALID" if given.normalize else "BATCH_SIZE"
    )
    axis = param.softmax_param.axis % bottom[0].ndim
    logits = bottom[0].movedim(axis, -1)
    labels = integers(bottom[1]).reshape(logits.shape[:-1])
    ignored = given.ignore_label if given.has("ignore_label") else -100
    if not given.has("ignore_label") and bool((labels < 0).any()):
        raise ValueError(f"label {int(labels.min())} is no class")
    each = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=ignored, reduction="none"
    )
    sizes = {
        "FULL": labels.numel(),
        "VALID": max(1, int((labels != ignored).sum())),
        "BATCH_SIZE": max(1, int(torch.tensor(bottom[0].shape[:axis]).prod())),
        "NONE": 1,
        "PRE_FIXED": max(1, given.pre_fixed_normalizer),
    }
    return [each.sum() / sizes[mode], F.softmax(bottom[0], dim=axis), each.reshape(bottom[1].shape)]
"""


def _expression(param: LayerParameter) -> str:
    axis, given = param.softmax_param.axis, own(param, SoftmaxWithLossOHEM, "loss_param")
    norm = Normalisation.of(given, "VALID")
    return cross_entropy(axis, norm.ignored, "sum") + over(given, "VALID", "y", batch_before(axis))


LOSS = Loss(
    layer=SoftmaxWithLossOHEM,
    source="softmax_loss_ohem",
    profile="detection",
    forward="The first top of SoftmaxWithLossOHEM is the sum of -log p over the counted positions, p the label's "
    "softmax probability, over the normaliser.",
    backward="SoftmaxWithLossOHEM's gradient at a counted position is (p - 1 at the label, p elsewhere) times the "
    "top's diff over the normaliser.",
    bottoms=(Bottom("x", Scores(axis="softmax_param.axis"), learns=True), Bottom("y", Labels(of="x"))),
    options={
        "softmax_param.axis": (1, -1, 2),
        _MODE: ("VALID", "FULL", "BATCH_SIZE", "NONE", "PRE_FIXED"),
        _FIXED: (1.0, 0.5, 3.0),
        _IGNORE: (None, 255, -1),
        "loss_param.normalize": (None, True, False),
    },
    traits=frozenset({"shift-invariant", "saturates"}),
    requirements=(
        Requirement(
            "softmax_with_loss_ohem.log-floor",
            "SoftmaxWithLossOHEM takes no probability below FLT_MIN into the logarithm, in float64 too.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
        Requirement(
            "softmax_with_loss_ohem.pre-fixed",
            "SoftmaxWithLossOHEM with PRE_FIXED divides by pre_fixed_normalizer, and never by less than 1.",
            MUST,
            f"{_CPP} get_normalizer",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("spatial", _IMAGE, shapes={"y": (2, 1, 2, 2)}),
        Published("axis-last", (2, 2, 4), {"softmax_param.axis": -1}),
        Published("one-sample", (1, 3)),
        Published("one-class", (3, 1)),
        Published("ignore-last", (5, 3), {_IGNORE: 255}, (-1,)),
        Published("ignore-first-last", (5, 3), {_IGNORE: 255}, (0, -1)),
        *(Published(mode.lower().replace("_", "-"), _IMAGE, {_MODE: mode}) for mode in ("FULL", "BATCH_SIZE", "NONE")),
        Published("pre-fixed", _IMAGE, {_MODE: "PRE_FIXED", _FIXED: 3}),
        Published("pre-fixed-half", (3, 4), {_MODE: "PRE_FIXED", _FIXED: 0.5}),
    ),
    extremes=(
        *(Extreme(name, facets, (x, y), options) for name, facets, x, y, options in extreme_logits(floor=87.3365)),
        Extreme("huge-weight", ("loss-weight",), (exact([[0.75] * 5]), exact([2])), weight=HUGE_WEIGHT),
    ),
    large_count=lambda terms: LargeCount(halves(terms), float(np.log(2.0))),
    refused=(
        *LABEL_COUNTS,
        Refused("scores-as-labels", "label-count", bottoms=("x", "x")),
    ),
    quirk_nets=(
        QuirkNet("implicit-weight-once", _tops(2), "ohem", fields=_FED),
        QuirkNet("softmax-ohem-second-of-three", _tops(3, 1.0, 0.0, 0.0), fields=_FED),
        QuirkNet("softmax-ohem-scratch", _tops(1, options="loss_param { ignore_label: 2 }"), fields=_FED),
    ),
    operations=(1, 4, 1),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    expression=_expression,
)
