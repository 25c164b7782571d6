"""SoftmaxWithLoss with a weight for every label: what the suite knows of it
(`refimpl.layers.position_weighted_softmax_with_loss`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.contract.case import Array
from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import LABEL_COUNTS, Extreme, LargeCount, Refused
from conformance.losses.loss import Bottom, Loss, Published, by_normalisation
from conformance.losses.options import Options
from conformance.losses.roles import Labels, Scores, Shape, Weights
from conformance.losses.values import FORMULA, HUGE_WEIGHT, NAN, exact, extreme_logits, halves
from refimpl.layers.position_weighted_softmax_with_loss import PositionWeightedSoftmaxWithLoss

__all__ = ["LOSS"]

_AXIS, _CLASSES, _LENGTH = (f"softmax_param.{name}" for name in ("axis", "class_weight", "normalize_type"))
_IGNORE = "loss_param.ignore_label"
_CPP = "happynear/caffe-windows@967eedf2 src/caffe/layers/softmax_loss_layer.cpp"
_IMAGE = (2, 3, 2, 2)
_OF_THREE: Options = {_CLASSES: "[0.5, 2, 3]"}


def _weighted(published: Published) -> Published:
    """With a third bottom beside it."""
    axis = int(str(published.options.get(_AXIS, 1)))
    return replace(published, shapes={"w": Labels().shape(published.shape, axis % len(published.shape))})


def _positive(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
    """Scores whose lengths have logarithms."""
    return rng.integers(8, 193, shape) / 64.0


_EQUIVALENTS = {
    "torch": """
def loss(x, y, w, ignored):
    losses = F.cross_entropy(x, y, reduction="none", ignore_index=-100 if ignored is None else ignored)
    return (w * losses).sum() / w.sum().clamp(min=1)
""",
}

LOSS = Loss(
    layer=PositionWeightedSoftmaxWithLoss,
    source="softmax_loss",
    profile="faces",
    forward="The first top of SoftmaxWithLoss with a third bottom is the sum of -m c log p over the counted positions, "
    "p the label's softmax probability, m the third bottom's entry, c the weight of the label's class, over the "
    "normaliser.",
    backward="The gradient of SoftmaxWithLoss with a third bottom at a counted position is (p - 1 at the label, p "
    "elsewhere) times m c, times the top's diff over the normaliser, which under VALID is the sum of m.",
    bottoms=(
        Bottom("x", Scores(axis=_AXIS), learns=True),
        Bottom("y", Labels(of="x")),
        Bottom("w", Weights(of="y", each="position"), optional=True),
    ),
    options={
        _AXIS: (1, -1, 2),
        "loss_param.normalization": ("VALID", "FULL", "BATCH_SIZE", "NONE"),
        _IGNORE: (None, 255, -1),
        "loss_param.normalize": (None, True, False),
    },
    traits=frozenset({"shift-invariant", "saturates"}),
    requirements=(
        Requirement(
            "position_weighted_softmax_with_loss.weight",
            "SoftmaxWithLoss's third bottom has a number for each label, a factor of the position's loss and gradient; "
            "it takes no gradient.",
            MUST,
            f"{_CPP} Forward_cpu, Backward_cpu",
        ),
        Requirement(
            "position_weighted_softmax_with_loss.class-weight",
            "SoftmaxWithLoss with a third bottom multiplies a position by the class_weight of its label, and without "
            "one by 1.",
            MUST,
            f"{_CPP} LayerSetUp, Forward_cpu",
        ),
        Requirement(
            "position_weighted_softmax_with_loss.weighted-count",
            "Under VALID the loss of SoftmaxWithLoss with a third bottom is divided by the sum of m c over the counted "
            "positions, the gradient by that of m, or of m c as its derivative is; by no less than 1.",
            MUST,
            f"{_CPP} Forward_cpu, Backward_cpu",
        ),
        Requirement(
            "position_weighted_softmax_with_loss.unit-length",
            "With normalize_type L2 or L1 the loss of SoftmaxWithLoss is that of its scores over their Euclidean "
            "length, its gradient that of a softmax with these values, or the derivative.",
            MUST,
            f"{_CPP}:37",
        ),
        Requirement(
            "position_weighted_softmax_with_loss.log-floor",
            "SoftmaxWithLoss with a third bottom takes no probability below FLT_MIN into the logarithm, in float64 "
            "too.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
        Requirement(
            "refusal.position-weights",
            "SoftmaxWithLoss with another number of weights than of labels, or of class_weight than of classes, is "
            "refused.",
            MUST,
            f"{_CPP} LayerSetUp, Reshape",
            "2",
        ),
    ),
    published=(
        _weighted(Published("plain", (4, 5))),
        Published("unweighted", (4, 5)),
        Published("unweighted-classes", (4, 3), _OF_THREE),
        _weighted(Published("classes", (4, 3), _OF_THREE)),
        _weighted(Published("spatial", _IMAGE)),
        _weighted(Published("axis-last", (2, 2, 4), {_AXIS: -1})),
        _weighted(Published("axis-2", (2, 3, 3, 2), {_AXIS: 2, **_OF_THREE})),
        _weighted(Published("one-sample", (1, 3))),
        _weighted(Published("one-class", (3, 1))),
        _weighted(Published("ignore-first-last", (5, 3), {_IGNORE: 255}, (0, -1))),
        *map(_weighted, by_normalisation(_IMAGE, (0, -1))),
        Published("unit-length", (4, 3), {_LENGTH: '"L2"'}, fill={"x": _positive}),
        replace(_weighted(Published("unit-length-weighted", (3, 4), {_LENGTH: '"L1"'})), fill={"x": _positive}),
    ),
    extremes=(
        *(Extreme(name, facets, (x, y), options) for name, facets, x, y, options in extreme_logits(floor=87.3365)),
        Extreme(
            "weights", ("weight", *FORMULA), (exact([[1, 2], [3, 1], [0, 1]]), exact([0, 1, 1]), exact([0, 3, -1]))
        ),
        Extreme("little", ("weight", "weighted-count"), (exact([[1, 2], [3, 1]]), exact([0, 1]), exact([0.125, 0.25]))),
        Extreme(
            "two-normalisers",
            ("class-weight", "weighted-count"),
            (exact([[1, 2, 0], [3, 1, 1]]), exact([0, 2]), exact([2, 0.5])),
            _OF_THREE,
        ),
        Extreme("direction", ("unit-length",), (exact([[3, 4], [0.5, 12]]), exact([0, 1])), {_LENGTH: '"L2"'}),
        Extreme("weight-nan", ("nonfinite",), (exact([[1, 2], [3, 1]]), exact([0, 1]), exact([NAN, 1]))),
        Extreme("huge-weight", ("loss-weight",), (exact([[0.75] * 5]), exact([2])), weight=HUGE_WEIGHT),
    ),
    large_count=lambda terms: LargeCount(halves(terms), float(np.log(2.0))),
    refused=(
        *LABEL_COUNTS,
        Refused("too-many-weights", "position-weights", declared={"w": (2, 2)}),
        Refused("too-many-classes", "position-weights", options={_CLASSES: "[1, 2, 3, 4]"}),
    ),
    operations=(1, 6, 1),
    equivalents=_EQUIVALENTS,
)
