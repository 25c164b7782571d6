"""SmoothL1Loss: what the suite knows of it beside its formula (`refimpl.layers.smooth_l1_loss`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance.contract.dtypes import FLOAT
from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, FormNet, LargeCount, Misreading, QuirkNet, Refused
from conformance.losses.expression import NoExpression, number, own
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.nets import layer, source
from conformance.losses.options import Options
from conformance.losses.roles import Scores, Weights
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.smooth_l1_loss import SmoothL1Loss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_SIGMA, _ABSSUM = "smooth_l1_loss_param.sigma", "smooth_l1_loss_param.abssum"
_SSD = "weiliu89/caffe@4817bf8b src/caffe/layers/smooth_L1_loss_layer.cpp"
_SYNOPSYS = "foss-for-synopsys-dwc-arc-processors/synopsys-caffe@977ba36a src/caffe/layers/smooth_L1_loss_layer.cpp"
_IMAGE = (2, 3, 2, 2)


def _weighted(name: str, shape: tuple[int, ...], weights: int, options: Options | None = None) -> Published:
    return Published(name, shape, options or {}, shapes=dict.fromkeys(("u", "v")[:weights], shape))


def _extreme(name: str, facets: tuple[str, ...], x: Rows, t: Rows, **fields: Any) -> Extreme:
    return Extreme(name, facets, (exact(x), exact(t)), **fields)


def _large_count(terms: int) -> LargeCount:
    tenth = float(FLOAT.rounded(0.1))
    row = np.ones((1, terms))
    return LargeCount((tenth * row, 0 * row), terms * tenth**2 / 2)


_TWICE = "force_backward: true\n" + source("x", (2, 3)) + source("t", (2, 3))
_TWICE += layer("loss", SmoothL1Loss.type, ["x", "t"], options="smooth_l1_loss_param { sigma: 2 }")
_FED = {"x": np.array([[0.125, 2.0, 3.0], [0.5, -1.0, 0.25]]), "t": np.zeros((2, 3))}


def _form_nets() -> Iterator[FormNet]:
    """Differences on both sides of every knee, weights that are neither 0 nor 1, and what only some forms read."""
    rng = np.random.default_rng(7)
    x, t = (rng.integers(-24, 25, (3, 2, 2, 1)) / 8.0 for _ in "xt")
    u, v = (rng.choice([0.5, 2.0, 0.25, 3.0], x.shape) for _ in "uv")
    bottoms = {"x": x, "t": t, "u": u, "v": v}

    def net(name: str, count: int, options: str = "", **fields: Any) -> FormNet:
        return FormNet(name, dict(list(bottoms.items())[:count]), "xt", options, **fields)

    for count, word in ((2, "two"), (3, "three"), (4, "four")):
        yield net(f"{word}-bottoms", count)
        yield net(f"{word}-bottoms-sigma", count, "smooth_l1_loss_param { sigma: 3 }")
    for count in (2, 3):
        yield net(f"turn-point-{count}", count, "smoothl1_param { turn_point: 2 }")
        yield net(f"full-{count}", count, "loss_param { normalization: FULL }")
        yield net(f"pre-fixed-{count}", count, "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 5 }")
        yield net(f"second-top-{count}", count, tops=("loss", "each"))
    yield net("second-top-4", 4, tops=("loss", "each"))
    yield net("sum", 3, "smooth_l1_loss_param { abssum: false }")
    signed = rng.choice([-1.0, 1.0], x.shape)
    yield FormNet("negative-weights", {"x": x, "t": t, "u": u * signed}, "xt")
    yield FormNet("negative-outside-weights", {**bottoms, "v": v * signed}, "xt")
    yield FormNet("little-weight", {"x": x, "t": t, "u": u / 64}, "xt")
    many = {name: np.tile(array, (8, 1, 1, 1)) for name, array in bottoms.items() if name != "v"}
    yield FormNet("much-weight", many, "xt")


_EQUIVALENTS = {
    "torch": """
def loss(x, t, ignored):
    return F.smooth_l1_loss(x, t, reduction="sum") / len(x)
""",
    "jax": """
def loss(x, t, ignored):
    size = jnp.absolute(x - t)
    return jnp.where(size < 1, 0.5 * size * size, size - 0.5).sum() / len(x)
""",
}


_TORCH_LAYER = """\
# smooth_l1_loss with beta 1 / sigma^2, of weighted differences; the outside weights multiply what comes out.
def tops(bottom, param):
    beta = 1 / own(param, "smooth_l1_loss_param").sigma ** 2
    shape = bottom[0].shape
    inside = bottom[2].reshape(shape) if len(bottom) > 2 else 1
    outside = bottom[3].reshape(shape) if len(bottom) > 3 else 1
    each = F.smooth_l1_loss(inside * bottom[0], inside * bottom[1].reshape(shape), reduction="none", beta=beta)
    return [(outside * each).sum() / shape[0]]
"""


def _expression(param: LayerParameter) -> str:
    given = own(param, SmoothL1Loss, "smooth_l1_loss_param")
    if not given.sigma:
        raise NoExpression("its sigma is 0")
    inside = "u.reshape(x.shape) * " if len(param.bottom) > 2 else ""
    both = f"{inside}x, {inside}t.reshape(x.shape)"
    summed = "each.sum()"
    if len(param.bottom) > 3:
        summed = f"(v.reshape(x.shape) * each){'.abs()' if given.abssum else ''}.sum()"
    return f"""each = F.smooth_l1_loss({both}, reduction="none", beta=1 / {number(given.sigma)} ** 2)
{summed} / x.shape[0]"""


LOSS = Loss(
    layer=SmoothL1Loss,
    source="smooth_L1_loss",
    profile="detection",
    forward="The top of SmoothL1Loss is the sum of f over the differences of its first two bottoms, over the batch "
    "size, f(d) half the square of sigma d where |d| is below 1 / sigma^2 and |d| - 1 / (2 sigma^2) elsewhere.",
    backward="SmoothL1Loss's gradient is sigma^2 d, held between -1 and 1, times the top's diff over the batch size, "
    "with opposite sign in the second bottom.",
    bottoms=(
        Bottom("x", Scores(), learns=True),
        Bottom("t", Scores(of="x"), learns=True),
        Bottom("u", Weights(of="x"), optional=True),
        Bottom("v", Weights(of="x"), optional=True),
    ),
    options={_SIGMA: (1.0, 3.0, 0.5), _ABSSUM: (True, False)},
    traits=frozenset({"batch-mean"}),
    requirements=(
        Requirement(
            "smooth_l1_loss.sigma",
            "SmoothL1Loss, where it knows sigma, is a parabola where the difference is below 1 / sigma^2.",
            MUST,
            f"{_SYNOPSYS}:76",
        ),
        Requirement(
            "smooth_l1_loss.weights",
            "SmoothL1Loss, where it takes weights, multiplies the differences with the inside weights before f is "
            "taken of them, and what comes out with the outside ones.",
            MUST,
            f"{_SYNOPSYS}:66-87",
        ),
        Requirement(
            "smooth_l1_loss.equal-bottoms",
            "SmoothL1Loss's loss and gradients are 0 where its bottoms are equal.",
            MUST,
            f"{_SSD} Forward_cpu",
        ),
        Requirement(
            "smooth_l1_loss.knee",
            "SmoothL1Loss's gradient is 1 or -1 at and beyond the end of the parabola, and continuous there.",
            MUST,
            f"{_SSD} Backward_cpu",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("spatial", _IMAGE),
        Published("one-sample", (1, 3)),
        Published("vector", (5,)),
        Published("axes-of-one", (3, 4), shapes={"t": (3, 4, 1, 1)}),
        Published("sigma-3", (4, 5), {_SIGMA: 3}),
        Published("sigma-half", _IMAGE, {_SIGMA: 0.5}),
        _weighted("inside-weights", (4, 5), 1),
        _weighted("weights", (4, 5), 2),
        _weighted("weights-spatial", _IMAGE, 2, {_SIGMA: 3}),
        _weighted("weights-sum", (3, 4), 2, {_ABSSUM: False}),
    ),
    extremes=(
        _extreme(
            "equal",
            ("equal-bottoms",),
            [[1e30, -0.1, SUBNORMAL], [0, 3e38, 7]],
            [[1e30, -0.1, SUBNORMAL], [-0.0, 3e38, 7]],
        ),
        _extreme("knee", ("knee", *FORMULA), [[1, -1, 2, 0.5]], [[0, 0, 1, 1.5]]),
        _extreme("beside-knee", ("knee",), [[1 + 2.0**-23, 1 - 2.0**-24, -1 - 2.0**-23]], [[0, 0, 0]]),
        _extreme("subnormal", FORMULA, [[SUBNORMAL, 0, 1e-38], [0.5, -1, 2]], [[0, SUBNORMAL, 1.5e-38], [0.5, 1, 2]]),
        _extreme("underflow", FORMULA, [[1e-25, -3e-30], [0, 1e-22]], [[0, 0], [2e-25, 0]]),
        _extreme("far", FORMULA, [[1e20, -1e25], [1, 2]], [[-1e20, 1e25], [0, 4]]),
        _extreme("overflow", ("nonfinite",), [[2e38, -3e38], [1, 2]], [[-2e38, 3e38], [0, 4]]),
        _extreme("infinite", ("nonfinite",), [[INF, 1, -INF], [3, -1, 0]], [[1, 0, 0.5], [1, INF, 0]]),
        _extreme("nan", ("nonfinite",), [[NAN, 1, 2], [3, -1, 0]], [[1, 0, 0.5], [1, NAN, 0]]),
        _extreme("huge-weight", ("loss-weight",), [[1, 0, 0.5, 1]], [[0, 1, 0.5, 2]], weight=HUGE_WEIGHT),
    ),
    large_count=_large_count,
    refused=(
        *Refused.counts({"t": (2, 4)}, {"x": (2, 3, 2)}),
        Refused("five-axes", "axes", declared={"x": (2, 3, 1, 1, 1), "t": (2, 3, 1, 1, 1)}),
    ),
    quirk_nets=(
        QuirkNet(
            "smooth-l1-backward-overwrites",
            _TWICE,
            fields={"inputs": _FED, "steps": ("forward", "backward", "backward")},
        ),
    ),
    form_nets=tuple(_form_nets()),
    misreadings=(
        Misreading(_SIGMA, "option-ignored", lambda sigma: (1.0,) if sigma != 1 else ()),
        Misreading(_SIGMA, "margin", lambda sigma: (sigma**2, sigma**0.5) if sigma != 1 else ()),
    ),
    operations=(0, 7, 0),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    expression=_expression,
)
