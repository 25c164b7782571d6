"""WingLoss: what the suite knows of it beside its formula (`refimpl.layers.wing_loss`)."""

from __future__ import annotations

import numpy as np

from conformance.contract.dtypes import FLOAT
from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, LargeCount, Misreading, Refused
from conformance.losses.expression import number, own
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.options import Options
from conformance.losses.roles import Scores
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, SUBNORMAL, Rows, exact
from refimpl.layers.wing_loss import WingLoss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_W, _EPSILON = "wing_loss_param.w", "wing_loss_param.epsilon"
_CPP = "xialuxi/arcface-caffe@7cbe27c0 landmark_and_pose/wing_loss_layer.cpp"


def _extreme(
    name: str, facets: tuple[str, ...], x: Rows, t: Rows, options: Options | None = None, weight: float = 2.5
) -> Extreme:
    return Extreme(name, facets, (exact(x), exact(t)), options or {}, weight)


def _large_count(terms: int) -> LargeCount:
    tenth = float(FLOAT.rounded(0.1))
    row = np.ones((1, terms))
    return LargeCount((tenth * row, 0 * row), terms * 10 * float(np.log1p(tenth / 2)))


_EQUIVALENTS = {
    "torch": """
def loss(x, t, ignored):
    size = (x - t).abs()
    far = size - 10 + 10 * math.log(6)
    return torch.where(size < 10, 10 * torch.log1p(size / 2), far).sum() / len(x)
""",
    "jax": """
def loss(x, t, ignored):
    size = jnp.absolute(x - t)
    return jnp.where(size < 10, 10 * jnp.log1p(size / 2), size - 10 + 10 * jnp.log(6.0)).sum() / len(x)
""",
}


def _expression(param: LayerParameter) -> str:
    given = own(param, WingLoss, "wing_loss_param")
    w, epsilon = number(given.w), number(given.epsilon)
    return f"""size = (x - t.reshape(x.shape)).abs()
far = size - {w} + {w} * math.log1p({w} / {epsilon})
torch.where(size < {w}, {w} * torch.log1p(size / {epsilon}), far).sum() / len(x)"""


LOSS = Loss(
    layer=WingLoss,
    profile="dense",
    recorded=False,
    forward="The top of WingLoss is the sum of w ln(1 + |d| / epsilon) where |d| < w, and of |d| - w + w ln(1 + w / "
    "epsilon) elsewhere, over the batch size, d the differences of its bottoms.",
    backward="WingLoss's gradient is sign(d) w / (|d| + epsilon) where |d| < w, and sign(d) elsewhere, times the top's "
    "diff over the batch size.",
    bottoms=(Bottom("x", Scores(), learns=True), Bottom("t", Scores(of="x"))),
    options={_W: (10.0, 1.0, 3.0), _EPSILON: (2.0, 0.5)},
    traits=frozenset({"batch-mean"}),
    requirements=(
        Requirement(
            "wing_loss.w",
            "WingLoss's two branches meet at wing_loss_param.w, 10 where unset.",
            MUST,
            f"src/caffe/layers/wing_loss_layer.cpp in {_CPP}",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("narrow", (4, 5), {_W: 1.0, _EPSILON: 0.5}),
        Published("spatial", (2, 3, 2, 2), {_W: 3.0}),
        Published("one-sample", (1, 3), {_W: 1.0}),
    ),
    extremes=(
        _extreme("beside-w", ("w", *FORMULA), [[9.75, 10.25, -9.75, -10.25]], [[0, 0, 0, 0]]),
        _extreme("subnormal", FORMULA, [[SUBNORMAL, 1e-38, 0.5]], [[-SUBNORMAL, 1.5e-38, 1]]),
        _extreme("far", FORMULA, [[1e4, -1e4, 1e15]], [[0, 3, 1]]),
        _extreme("overflow", ("nonfinite",), [[3e38, -3e38], [1, 2]], [[-3e38, 3e38], [0, 4]]),
        _extreme("infinite", ("nonfinite",), [[INF, 1, -INF]], [[1, 0, 0.5]]),
        _extreme("huge-weight", ("loss-weight",), [[20, 0, 30]], [[0, 20, 0.5]], weight=HUGE_WEIGHT),
    ),
    large_count=_large_count,
    refused=tuple(Refused.counts({"t": (2, 4)}, {"x": (2, 3, 2)})),
    misreadings=(Misreading(_W, "margin", lambda w: (2 * w, w / 2)),),
    operations=(1, 6, 0),
    equivalents=_EQUIVALENTS,
    expression=_expression,
)
