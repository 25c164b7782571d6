"""CenterLoss: what the suite knows of it beside its formula (`refimpl.layers.center_loss`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conformance.contract.dtypes import FLOAT
from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, LargeCount, Refused
from conformance.losses.expression import NoExpression
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.options import Options
from conformance.losses.roles import Labels, Scores, Shape
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.center_loss import CenterLoss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_CLASSES = "center_loss_param.num_output"
_CPP = "troyliu0105/caffe@63708b33 src/caffe/layers/center_loss_layer.cpp"


def _needs(shape: Shape) -> Options:
    """Four classes, their centres at 0.5."""
    return {_CLASSES: 4, "center_loss_param.center_filler": "{ value: 0.5 }"}


def _extreme(name: str, facets: tuple[str, ...], x: Rows, y: Sequence[float], weight: float = 2.5) -> Extreme:
    return Extreme(name, facets, (exact(x), exact(y)), weight=weight)


def _large_count(terms: int) -> LargeCount:
    tenth = float(FLOAT.rounded(0.1))
    return LargeCount((tenth * np.ones((1, terms)), np.zeros(1)), terms * (tenth - 0.5) ** 2 / 2)


_EQUIVALENTS = {
    "torch": """
def loss(x, y, ignored):
    return ((x.flatten(1) - 0.5) ** 2).sum() / (2 * len(x))
""",
    "jax": """
def loss(x, y, ignored):
    return ((x - 0.5) ** 2).sum() / (2 * len(x))
""",
}


def _expression(param: LayerParameter) -> str:
    raise NoExpression("its centres are arrays of its own, which it updates by a rule that is no gradient")


LOSS = Loss(
    layer=CenterLoss,
    profile="faces",
    forward="The top of CenterLoss is the squared distance of its features from the centres of their labels over twice "
    "the batch size.",
    backward="CenterLoss's gradient is the difference of a sample and its label's centre, times the top's diff over "
    "the batch size; to the diff of each centre it adds the sum of its differences from its samples over one more than "
    "their number.",
    bottoms=(Bottom("x", Scores(), learns=True), Bottom("y", Labels(of="x", classes=_CLASSES))),
    needs=_needs,
    blobs=1,
    traits=frozenset({"batch-mean"}),
    requirements=(
        Requirement(
            "center_loss.centres",
            "CenterLoss's centres are num_output rows that start as center_filler says and that a label picks.",
            MUST,
            f"{_CPP} LayerSetUp, Forward_cpu",
        ),
        Requirement(
            "center_loss.update",
            "A centre's diff of CenterLoss takes its update in addition, whatever the loss weighs, or the derivative.",
            MUST,
            f"{_CPP} Backward_cpu",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("image", (3, 2, 2, 1)),
        Published("one-sample", (1, 4)),
        Published("one-feature", (4, 1)),
    ),
    extremes=(
        _extreme("at-the-centre", ("centres", *FORMULA), [[0.5, 0.5], [0.5, 0.5]], [0, 3]),
        _extreme("one-class", ("centres", "update"), [[1, 2], [3, -4], [0, 0.25], [1, 1]], [2, 2, 2, 2]),
        _extreme("once-twice-thrice", ("update",), [[1], [2], [4], [-1], [0], [8]], [0, 1, 1, 2, 2, 2]),
        _extreme("subnormal", FORMULA, [[SUBNORMAL, 0.5], [-0.0, 1e-42]], [0, 1]),
        _extreme("overflow", ("nonfinite",), [[1e25, 0], [1, 2]], [1, 2]),
        _extreme("nan", ("nonfinite",), [[NAN, 1], [3, -1]], [1, 0]),
        _extreme("infinite", ("nonfinite",), [[INF, 1], [-INF, 0.5]], [3, 0]),
        _extreme("huge-weight", ("loss-weight",), [[0.5, 1.5]], [0], HUGE_WEIGHT),
    ),
    large_count=_large_count,
    refused=(
        Refused("label-with-channels", "label-count", declared={"y": (2, 2)}),
        Refused("five-axes", "axes", declared={"x": (2, 3, 1, 1, 1)}),
    ),
    operations=(0, 4, 1),
    equivalents=_EQUIVALENTS,
    batches=2,
    expression=_expression,
)
