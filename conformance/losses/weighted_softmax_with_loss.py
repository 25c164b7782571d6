"""WeightedSoftmaxWithLoss: what the suite knows of it beside its formula
(`refimpl.layers.weighted_softmax_with_loss`)."""

from __future__ import annotations

import numpy as np

from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import LABEL_COUNTS, Extreme, LargeCount, Misreading, Refused
from conformance.losses.loss import Bottom, Loss, Published, by_normalisation
from conformance.losses.roles import Labels, Scores
from conformance.losses.values import FORMULA, HUGE_WEIGHT, exact, extreme_logits, halves
from refimpl.layers.weighted_softmax_with_loss import WeightedSoftmaxWithLoss

__all__ = ["LOSS"]

_FACTOR, _CLASS, _AXIS = (f"softmax_param.{name}" for name in ("pos_mult", "pos_cid", "axis"))
_IGNORE = "loss_param.ignore_label"
_CPP = "lswzjuer/caffe-adas@cd119fe1 src/caffe/layers/weighted_softmax_loss_layer.cpp"
_IMAGE = (2, 3, 2, 2)
_TRIPLE = {_FACTOR: 3.0}

_EQUIVALENTS = {
    "torch": """
def loss(x, y, ignored):
    weights = torch.ones(x.shape[1], dtype=x.dtype)
    weights[1] = 1  # pos_mult, of class pos_cid
    losses = F.cross_entropy(x, y, weights, ignore_index=-100 if ignored is None else ignored, reduction="sum")
    return losses / (y.numel() if ignored is None else (y != ignored).sum())
""",
}

LOSS = Loss(
    layer=WeightedSoftmaxWithLoss,
    source="weighted_softmax_loss",
    profile="dense",
    recorded=False,
    forward="The first top of WeightedSoftmaxWithLoss is the sum of -c log p over the counted positions, p the label's "
    "softmax probability, c the factor pos_mult where the label is pos_cid and else 1, over the normaliser.",
    backward="WeightedSoftmaxWithLoss's gradient at a counted position is (p - 1 at the label, p elsewhere) times c, "
    "times the top's diff over the normaliser.",
    bottoms=(Bottom("x", Scores(axis=_AXIS), learns=True), Bottom("y", Labels(of="x"))),
    options={
        _AXIS: (1, -1, 2),
        _FACTOR: (1.0, 3.0, 0.25, 0.0),
        _CLASS: (1, 0, 2),
        "loss_param.normalization": ("VALID", "FULL", "BATCH_SIZE", "NONE"),
        _IGNORE: (None, 255, -1),
        "loss_param.normalize": (None, True, False),
    },
    traits=frozenset({"batch-mean", "shift-invariant", "saturates"}),
    requirements=(
        Requirement(
            "weighted_softmax_with_loss.pos",
            "WeightedSoftmaxWithLoss multiplies loss and gradient of the positions with the label pos_cid, 1 unless "
            "given, by pos_mult, 1 unless given, and no others.",
            MUST,
            f"{_CPP} Forward_cpu, Backward_cpu",
        ),
        Requirement(
            "weighted_softmax_with_loss.count",
            "WeightedSoftmaxWithLoss divides by the number of positions, whatever they weigh.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
        Requirement(
            "weighted_softmax_with_loss.log-floor",
            "WeightedSoftmaxWithLoss takes no probability below FLT_MIN into the logarithm, in float64 too.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("triple", (4, 5), _TRIPLE),
        Published("background", (4, 3), {_FACTOR: 0.25, _CLASS: 0}),
        Published("spatial", _IMAGE, _TRIPLE, shapes={"y": (2, 1, 2, 2)}),
        Published("axis-last", (2, 2, 4), {_AXIS: -1, **_TRIPLE}),
        Published("axis-2", (2, 3, 4, 2), {_AXIS: 2, _FACTOR: 3.0, _CLASS: 2}),
        Published("one-sample", (1, 3), _TRIPLE),
        Published("one-class", (3, 1)),
        Published("ignore-first-last", (5, 3), {_IGNORE: 255, **_TRIPLE}, (0, -1)),
        *by_normalisation(_IMAGE, (0, -1)),
    ),
    extremes=(
        *(Extreme(name, facets, (x, y), options) for name, facets, x, y, options in extreme_logits(floor=87.3365)),
        Extreme("all-positive", ("pos", "count", *FORMULA), (exact([[1, 2], [3, 1]]), exact([1, 1])), {_FACTOR: 8.0}),
        Extreme("none-positive", ("pos", "count"), (exact([[1, 2], [3, 1]]), exact([0, 0])), {_FACTOR: 8.0}),
        Extreme("without-weight", ("pos", "count"), (exact([[1, 2], [3, 1]]), exact([0, 1])), {_FACTOR: 0.0}),
        Extreme("negative", ("pos",), (exact([[1, 2], [3, 1]]), exact([0, 1])), {_FACTOR: -2.0}),
        Extreme("no-such-class", ("pos",), (exact([[1, 2], [3, 1]]), exact([0, 1])), {_FACTOR: 8.0, _CLASS: 7}),
        Extreme("huge-weight", ("loss-weight",), (exact([[0.75] * 5]), exact([2])), weight=HUGE_WEIGHT),
    ),
    large_count=lambda terms: LargeCount(halves(terms), float(np.log(2.0))),
    refused=(
        *LABEL_COUNTS,
        Refused("scores-as-labels", "label-count", bottoms=("x", "x")),
    ),
    misreadings=(Misreading(_FACTOR, "option-ignored", lambda factor: (1.0,) if factor != 1 else ()),),
    operations=(1, 5, 1),
    equivalents=_EQUIVALENTS,
)
