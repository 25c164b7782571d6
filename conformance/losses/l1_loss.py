"""L1Loss: what the suite knows of it beside its formula (`refimpl.layers.l1_loss`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.contract.dtypes import FLOAT
from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, LargeCount, Refused
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.roles import Scores
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.l1_loss import L1Loss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]


def _extreme(name: str, facets: tuple[str, ...], a: Rows, b: Rows, **fields: Any) -> Extreme:
    return Extreme(name, facets, (exact(a), exact(b)), **fields)


def _large_count(terms: int) -> LargeCount:
    tenth = float(FLOAT.rounded(0.1))
    row = np.ones((1, terms))
    return LargeCount((tenth * row, 0 * row), terms * tenth)


_EQUIVALENTS = {
    "torch": """
def loss(x, z, ignored):
    return F.l1_loss(x, z, reduction="sum") / len(x)
""",
    "jax": """
def loss(x, z, ignored):
    return jnp.absolute(x - z).sum() / len(x)
""",
}

_TORCH_LAYER = """\
# l1_loss, summed, over the batch; its slope at 0 is 0.
def tops(bottom, param):
    return [F.l1_loss(bottom[0], bottom[1].reshape(bottom[0].shape), reduction="sum") / len(bottom[0])]
"""


def _expression(param: LayerParameter) -> str:
    return 'F.l1_loss(x, z.reshape(x.shape), reduction="sum") / x.shape[0]'


LOSS = Loss(
    layer=L1Loss,
    profile="dense",
    forward="The top of L1Loss is the sum of the absolute differences of its bottoms over the batch size.",
    backward="L1Loss's gradient is the sign of the difference of its bottoms, 0 where they are equal, times the top's "
    "diff over the batch size, with opposite sign in the second.",
    bottoms=(Bottom("x", Scores(), learns=True), Bottom("z", Scores(of="x"), learns=True)),
    traits=frozenset({"batch-mean"}),
    requirements=(
        Requirement(
            "l1_loss.equal-bottoms",
            "L1Loss's loss and gradients are 0 where its bottoms are equal.",
            MUST,
            "NVIDIA/caffe@87a25543 src/caffe/layers/l1_loss_layer.cpp Backward_cpu",
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
        _extreme("overflow", ("nonfinite",), [[3e38, -3e38], [1, 2]], [[-3e38, 3e38], [0, 4]]),
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
    expression=_expression,
)
