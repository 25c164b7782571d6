"""EuclideanLoss: what the suite knows of it beside its formula (`refimpl.layers.euclidean_loss`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.contract.dtypes import FLOAT
from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, LargeCount, Refused
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.roles import Scores
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.euclidean_loss import EuclideanLoss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]


def _extreme(name: str, facets: tuple[str, ...], a: Rows, b: Rows, **fields: Any) -> Extreme:
    return Extreme(name, facets, (exact(a), exact(b)), **fields)


def _large_count(terms: int) -> LargeCount:
    tenth = float(FLOAT.rounded(0.1))
    row = np.ones((1, terms))
    return LargeCount((tenth * row, 0 * row), terms * tenth**2 / 2)


_EQUIVALENTS = {
    "torch": """
def loss(x, z, ignored):
    return F.mse_loss(x, z, reduction="sum") / (2 * len(x))
""",
    "jax": """
def loss(x, z, ignored):
    return ((x - z) ** 2).sum() / (2 * len(x))
""",
}


_TORCH_LAYER = """\
# mse_loss, summed, over twice the batch.
def tops(bottom, param):
    return [F.mse_loss(bottom[0], bottom[1].reshape(bottom[0].shape), reduction="sum") / (2 * len(bottom[0]))]
"""


def _expression(param: LayerParameter) -> str:
    return 'F.mse_loss(x, z.reshape(x.shape), reduction="sum") / (2 * x.shape[0])'


LOSS = Loss(
    layer=EuclideanLoss,
    forward="The top of EuclideanLoss is the squared distance of its bottoms over twice the batch size.",
    backward="EuclideanLoss's gradient is the difference of its bottoms, times the top's diff over the batch size, "
    "with opposite sign in the second.",
    bottoms=(Bottom("x", Scores(), learns=True), Bottom("z", Scores(of="x"), learns=True)),
    traits=frozenset({"batch-mean"}),
    requirements=(
        Requirement(
            "euclidean_loss.equal-bottoms",
            "EuclideanLoss's loss and gradients are 0 where its bottoms are equal.",
            MUST,
            "src/caffe/layers/euclidean_loss_layer.cpp Forward_cpu",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("spatial", (2, 3, 2, 2)),
        Published("one-sample", (1, 3)),
        Published("vector", (5,)),
        Published("shapes-differ", (3, 4), shapes={"z": (3, 2, 2)}),
    ),
    extremes=(
        _extreme(
            "equal",
            ("equal-bottoms",),
            [[1e30, -0.1, SUBNORMAL], [0, 3e38, 7]],
            [[1e30, -0.1, SUBNORMAL], [-0.0, 3e38, 7]],
        ),
        _extreme("cancelling", FORMULA, [[1e4, -1e4, 1e15]], [[1e4 + 2.0**-9, -1e4, 1e15 * (1 + 2.0**-22)]]),
        _extreme("subnormal", FORMULA, [[SUBNORMAL, 0, 1e-38], [0.5, -1, 2]], [[0, SUBNORMAL, 1.5e-38], [0.5, 1, 2]]),
        _extreme("underflow", FORMULA, [[1e-25, -3e-30], [0, 1e-22]], [[0, 0], [2e-25, 0]]),
        _extreme("overflow", ("nonfinite",), [[1e20, -1e25], [1, 2]], [[-1e20, 1e25], [0, 4]]),
        _extreme("nan", ("nonfinite",), [[NAN, 1, 2], [3, -1, 0]], [[1, 0, 0.5], [1, NAN, 0]]),
        _extreme("infinite", ("nonfinite",), [[INF, 1, -INF], [3, -1, 0]], [[1, 0, 0.5], [1, INF, 0]]),
        _extreme("infinite-twice", ("nonfinite",), [[INF, 1], [3, -1]], [[INF, 0], [1, 0]]),
        _extreme("huge-weight", ("loss-weight",), [[1, 0, 0.5, 1]], [[0, 1, 0.5, 2]], weight=HUGE_WEIGHT),
    ),
    large_count=_large_count,
    refused=(
        *Refused.counts({"z": (2, 4)}, {"z": (2,)}, {"x": (2, 3, 2)}),
        Refused("five-axes", "axes", "forward", declared={"x": (2, 3, 1, 1, 1), "z": (2, 3, 1, 1, 1)}),
    ),
    operations=(0, 5, 0),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    batches=2,
    expression=_expression,
)
