"""HingeLoss: what the suite knows of it beside its formula (`refimpl.layers.hinge_loss`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from conformance.contract.dtypes import FLOAT
from conformance.contract.requirement import MUST, PROTO, Requirement
from conformance.losses.examples import Extreme, LargeCount, Misreading, QuirkNet, Refused
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.nets import layer, source
from conformance.losses.options import Options
from conformance.losses.roles import Labels, Scores
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.hinge_loss import HingeLoss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_NORM = "hinge_loss_param.norm"
_SHAPES = {"plain": (4, 5), "flattened": (2, 3, 2, 2), "one-sample": (1, 3), "one-class": (3, 1)}
_CPP = "src/caffe/layers/hinge_loss_layer.cpp"


def _extremes() -> Iterator[Extreme]:
    def of(name: str, norm: str, facets: tuple[str, ...], x: Rows, y: Sequence[float], **fields: Any) -> Extreme:
        options: Options = {_NORM: norm}
        return Extreme(f"{name}-{norm.lower()}", facets, (exact(x), exact(y)), options, **fields)

    near = 2.0**-23
    for norm in ("L1", "L2"):
        yield of("kink", norm, ("kink", *FORMULA), [[1, -1, -1, 0.5], [-1, 1, -1, -1]], [0, 3])
        sides: Rows = [[1 + near, -1 + near, -1 - near], [-1 + near, -1 - near, 1 - near]]
        yield of("beside-kink", norm, ("kink",), sides, [0, 2])
        yield of("last-class", norm, FORMULA, [[1, 2, 3], [0.5, -1, 0.25]], [2, 2])
        yield of("subnormal", norm, FORMULA, [[SUBNORMAL, -SUBNORMAL, -0.0]], [1])
        yield of("huge", norm, FORMULA, [[1e4, -1e4, 1e4], [-1e4, 1e4, -1e4]], [0, 2])
        yield of("overflow", norm, ("nonfinite",), [[2e38, 3e38, -3e38], [0.5, -1, 0.25]], [1, 0])
        yield of("infinite", norm, ("nonfinite",), [[INF, -INF, 0.5], [0.5, INF, -1], [1, 2, -INF]], [2, 1, 0])
        yield of("infinite-label", norm, ("nonfinite",), [[INF, -2, 0.5], [-INF, 0.5, -1]], [0, 0])
    # L1's slope at NaN is a comparison's, and differs from one right program to the next; L2's is the margin.
    yield of("nan", "L2", ("nonfinite",), [[NAN, 1, 2], [3, 0.5, 0], [0.5, -1, NAN]], [1, 1, 2])
    yield of("huge-weight", "L1", ("loss-weight",), [[0.0] * 5], [2], weight=HUGE_WEIGHT)


def _large_count(terms: int) -> LargeCount:
    """All margins equal but the label's."""
    score = float(FLOAT.rounded(0.9))
    return LargeCount((-score * np.ones((1, terms)), np.zeros(1)), (terms - 1) * (1 - score) + (1 + score))


_SCORES, _LABELS = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]]), np.array([2.0, 0.0])
_L2 = "hinge_loss_param { norm: L2 }"
_ALONE = (
    "force_backward: true\n"
    + source("x", (2, 3))
    + source("y", (2,))
    + layer("loss", HingeLoss.type, ["x", "y"], options=_L2)
)


def _beside_a_loss() -> QuirkNet:
    """The margins of a loss without weight in the gradient of another."""
    net = source("x", (2, 3)) + layer("h", "InnerProduct", ["x"], options="inner_product_param { num_output: 3 }")
    net += source("y", (2,)) + source("zero", (2, 3)) + layer("main", "EuclideanLoss", ["h", "zero"])
    net += layer("aside", HingeLoss.type, ["h", "y"], weights=(0.0,))
    fields = {
        "inputs": {"x": _SCORES, "y": _LABELS, "zero": np.zeros((2, 3))},
        "params": {"h": (np.eye(3), np.zeros(3))},
    }
    return QuirkNet("hinge-scratch", net, "leaks", fields)


_EQUIVALENTS = {
    "torch": """
def loss(x, y, ignored):
    scores, labels = x.flatten(1), y[:, None]
    signed = scores.scatter(1, labels, -scores.gather(1, labels))
    return F.relu(1 + signed).sum() / len(x)
""",
    "jax": """
def loss(x, y, ignored):
    scores = x.reshape(len(x), -1)
    signed = jnp.where(jnp.arange(scores.shape[1]) == y[:, None], -scores, scores)
    return jnp.maximum(1 + signed, 0).sum() / len(x)
""",
}


_TORCH_LAYER = """\
# relu of one-against-all margins, squared for L2.
def tops(bottom, param):
    x = bottom[0].reshape(len(bottom[0]), -1)
    labels = integers(bottom[1]).reshape(-1)[: len(x)]
    margins = F.relu(1 - x * (2 * F.one_hot(labels, x.shape[1]) - 1))
    squared = param.hinge_loss_param.norm == "L2"
    return [(margins * margins if squared else margins).sum() / len(x)]
"""


def _expression(param: LayerParameter) -> str:
    squared = ".square()" if param.hinge_loss_param.norm == "L2" else ""
    return f"""scores, labels = x.flatten(1), y.long().flatten()[: len(x)]
margins = F.relu(1 - scores * (2 * F.one_hot(labels, scores.shape[1]) - 1))
margins{squared}.sum() / len(x)"""


LOSS = Loss(
    layer=HingeLoss,
    forward="The top of HingeLoss is the sum of the margins max(0, 1 - x) at the label and max(0, 1 + x) elsewhere "
    "over the batch size.",
    backward="HingeLoss's gradient is -1 at the label and 1 elsewhere, times the top's diff over the batch size, where "
    "the margin is positive.",
    bottoms=(Bottom("x", Scores(), learns=True), Bottom("y", Labels(of="x"))),
    options={_NORM: ("L1", "L2")},
    traits=frozenset({"batch-mean", "margin"}),
    requirements=(
        Requirement(
            "hinge_loss.norm",
            "HingeLoss sums margins with norm L1, the default, and their squares with L2.",
            MUST,
            f"{PROTO} HingeLossParameter.norm",
        ),
        Requirement(
            "hinge_loss.kink",
            "Where a margin of HingeLoss is exactly 0 its L1 gradient is one of its subgradients.",
            MUST,
            f"{_CPP} Backward_cpu",
        ),
    ),
    published=(
        *(
            Published(f"{norm.lower()}-{name}", shape, {_NORM: norm})
            for norm in ("L1", "L2")
            for name, shape in _SHAPES.items()
        ),
        Published("default", (3, 4)),
    ),
    extremes=tuple(_extremes()),
    large_count=_large_count,
    refused=(Refused("five-axes", "axes", "forward", declared={"x": (2, 3, 1, 1, 1)}),),
    quirk_nets=(
        QuirkNet(
            "hinge-scratch",
            _ALONE,
            fields={"inputs": {"x": _SCORES, "y": _LABELS}, "steps": ("forward", "backward", "backward")},
        ),
        _beside_a_loss(),
        QuirkNet(
            "hinge-swallows-nan",
            _ALONE,
            fields={"inputs": {"x": np.where(_SCORES == 2.0, np.nan, _SCORES), "y": _LABELS}},
        ),
    ),
    misreadings=(Misreading(_NORM, "option-ignored", lambda norm: ("L2",) if norm == "L1" else ()),),
    operations=(0, 4, 0),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    expression=_expression,
)
