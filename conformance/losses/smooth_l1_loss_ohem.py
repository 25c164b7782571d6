"""SmoothL1LossOHEM: what the suite knows of it beside its formula (`refimpl.layers.smooth_l1_loss_ohem`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, LargeCount, Refused
from conformance.losses.expression import over, own
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.roles import Scores, Weights
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, Rows, exact
from refimpl.layers.smooth_l1_loss_ohem import SmoothL1LossOHEM
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_CPP = "intel/caffe@44d53638 src/caffe/layers/smooth_L1_loss_ohem_layer.cpp"
_MODE, _FIXED = "loss_param.normalization", "loss_param.pre_fixed_normalizer"
_IMAGE = (2, 3, 2, 2)


def _extreme(name: str, facets: tuple[str, ...], x: Rows, t: Rows, **fields: Any) -> Extreme:
    return Extreme(name, facets, (exact(x), exact(t)), **fields)


def _large_count(terms: int) -> LargeCount:
    row = np.ones((1, terms))
    return LargeCount((0.5 * row, 0 * row), terms / 8)


_EQUIVALENTS = {
    "torch": """
def loss(x, t, ignored):
    return F.smooth_l1_loss(x, t, reduction="sum") / (x.numel() / x.shape[1])
""",
}


_TORCH_LAYER = """\
# smooth_l1_loss of weighted differences; the errors of a position are added over the channels.
def tops(bottom, param):
    given = own(param, "loss_param")
    mode = given.normalization if given.has("normalization") or not given.has("normalize") else (
        "VALID" if given.normalize else "BATCH_SIZE"
    )
    shape = [*bottom[0].shape, 1, 1, 1][:4]
    weight = bottom[2] if len(bottom) > 2 else 1
    each = F.smooth_l1_loss(weight * bottom[0], weight * bottom[1].reshape(bottom[0].shape), reduction="none")
    positions = shape[0] * shape[2] * shape[3]
    sizes = {"BATCH_SIZE": shape[0], "NONE": 1, "PRE_FIXED": max(1, given.pre_fixed_normalizer)}
    return [each.sum() / sizes.get(mode, positions), each.reshape(shape).sum(1, keepdim=True)]
"""


def _expression(param: LayerParameter) -> str:
    inside = "u.reshape(x.shape) * " if len(param.bottom) > 2 else ""
    each = f'F.smooth_l1_loss({inside}x, {inside}t.reshape(x.shape), reduction="sum")'
    return each + over(own(param, SmoothL1LossOHEM, "loss_param"), "VALID", "x[:, 0]", ignores=False)


LOSS = Loss(
    layer=SmoothL1LossOHEM,
    source="smooth_L1_loss_ohem",
    profile="detection",
    forward="The top of SmoothL1LossOHEM is the sum of f over the differences of its first two bottoms over the "
    "normaliser, f(d) half the square of d where |d| is below 1 and |d| - 1/2 elsewhere.",
    backward="SmoothL1LossOHEM's gradient is the difference, held between -1 and 1, times the top's diff over the "
    "normaliser, with opposite sign in the second bottom.",
    bottoms=(
        Bottom("x", Scores(), learns=True),
        Bottom("t", Scores(of="x"), learns=True),
        Bottom("u", Weights(of="x"), optional=True),
    ),
    options={
        _MODE: ("VALID", "FULL", "BATCH_SIZE", "NONE", "PRE_FIXED"),
        _FIXED: (1.0, 0.5, 3.0),
        "loss_param.normalize": (None, True, False),
    },
    requirements=(
        Requirement(
            "smooth_l1_loss_ohem.pre-fixed",
            "SmoothL1LossOHEM with PRE_FIXED divides by pre_fixed_normalizer, and never by less than 1.",
            MUST,
            f"{_CPP} get_normalizer",
        ),
        Requirement(
            "smooth_l1_loss_ohem.weights",
            "SmoothL1LossOHEM with three bottoms multiplies the differences with the third before f is taken of them.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("spatial", _IMAGE),
        Published("one-sample", (1, 3)),
        *(Published(mode.lower().replace("_", "-"), _IMAGE, {_MODE: mode}) for mode in ("FULL", "BATCH_SIZE", "NONE")),
        Published("pre-fixed", _IMAGE, {_MODE: "PRE_FIXED", _FIXED: 3}),
        Published("pre-fixed-half", (3, 4), {_MODE: "PRE_FIXED", _FIXED: 0.5}),
        Published("weights", _IMAGE, shapes={"u": _IMAGE}),
    ),
    extremes=(
        _extreme("knee", FORMULA, [[1, -1, 2, 0.5]], [[0, 0, 1, 1.5]]),
        _extreme("far", FORMULA, [[1e20, -1e25], [1, 2]], [[-1e20, 1e25], [0, 4]]),
        _extreme("nan", ("nonfinite",), [[NAN, 1, 2], [3, -1, 0]], [[1, 0, 0.5], [1, NAN, 0]]),
        _extreme("infinite", ("nonfinite",), [[INF, 1, -INF], [3, -1, 0]], [[1, 0, 0.5], [1, INF, 0]]),
        _extreme("huge-weight", ("loss-weight",), [[1, 0, 0.5, 1]], [[0, 1, 0.5, 2]], weight=HUGE_WEIGHT),
    ),
    large_count=_large_count,
    refused=(
        *Refused.counts({"t": (2, 4)}, {"x": (2, 3, 2)}),
        Refused("five-axes", "axes", declared={"x": (2, 3, 1, 1, 1), "t": (2, 3, 1, 1, 1)}),
    ),
    operations=(0, 7, 0),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    expression=_expression,
    counts="position",
)
