"""SigmoidCrossEntropyLoss: what the suite knows of it (`refimpl.layers.sigmoid_cross_entropy_loss`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.contract.case import Array
from conformance.losses.examples import Extreme, LargeCount, Refused
from conformance.losses.expression import over
from conformance.losses.loss import Bottom, Loss, Published, by_normalisation
from conformance.losses.options import Options
from conformance.losses.roles import Scores, Shape, Targets
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.normalisation import Normalisation
from refimpl.layers.sigmoid_cross_entropy_loss import SigmoidCrossEntropyLoss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]


def _bits(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
    return np.resize([1.0, 0.0, 0.0, 1.0, 0.0], shape)


def _extreme(name: str, facets: tuple[str, ...], x: Rows, t: Rows, **fields: Any) -> Extreme:
    return Extreme(name, facets, (exact(x), exact(t)), **fields)


_TAILS = [5.0, 17.0, 40.0, 88.0, 90.0, 104.0, 200.0, 710.0, 800.0]
_IGNORING: Options = {"loss_param.ignore_label": 9}

_EQUIVALENTS = {
    "torch": """
def loss(x, t, ignored):
    counted = None if ignored is None else (t != ignored).to(x.dtype)
    return F.binary_cross_entropy_with_logits(x, t, weight=counted, reduction="sum") / len(x)
""",
    "jax": """
def loss(x, t, ignored):
    losses = jnp.log1p(jnp.exp(-jnp.absolute(x))) - x * (t - (x >= 0))
    return (losses if ignored is None else jnp.where(t != ignored, losses, 0)).sum() / len(x)
""",
}


_TORCH_LAYER = """\
# binary_cross_entropy_with_logits with ignored targets masked out; VALID is a mean, NaN over nothing.
def tops(bottom, param):
    mode = normalisation(param)
    targets = bottom[1].detach().reshape(bottom[0].shape)
    counts = counted(integers(targets), mode)
    reduction = "mean" if mode.mode == "VALID" else "sum"
    loss = F.binary_cross_entropy_with_logits(bottom[0][counts], targets[counts], reduction=reduction)
    return [loss / {"FULL": targets.numel(), "BATCH_SIZE": len(bottom[0])}.get(mode.mode, 1)]
"""


def _expression(param: LayerParameter) -> str:
    norm = Normalisation.of(param.loss_param, "BATCH_SIZE")
    if norm.ignored is None and norm.mode in ("VALID", "FULL"):
        return 'F.binary_cross_entropy_with_logits(x, t.reshape(x.shape), reduction="mean")'
    each = 'F.binary_cross_entropy_with_logits(x, t.reshape(x.shape), reduction="sum")'
    if norm.ignored is not None:
        counted = f"(t.long() != {norm.ignored}).to(x.dtype).reshape(x.shape)"
        each = f'F.binary_cross_entropy_with_logits(x, t.reshape(x.shape), weight={counted}, reduction="sum")'
    return each + over(param.loss_param, "BATCH_SIZE", "t")


LOSS = Loss(
    layer=SigmoidCrossEntropyLoss,
    forward="The top of SigmoidCrossEntropyLoss is the sum over the counted entries of -t log s - (1 - t) log(1 - s), "
    "s the sigmoid of the score and t the target, over the normaliser.",
    backward="SigmoidCrossEntropyLoss's gradient at a counted entry is (s - t) times the top's diff over the "
    "normaliser.",
    bottoms=(Bottom("x", Scores(), learns=True), Bottom("t", Targets(of="x"))),
    options={
        "loss_param.normalization": ("BATCH_SIZE", "FULL", "VALID", "NONE"),
        "loss_param.ignore_label": (None, 255),
        "loss_param.normalize": (None, True, False),
    },
    traits=frozenset({"batch-mean", "saturates"}),
    published=(
        Published("plain", (4, 5)),
        Published("bits", (4, 5), fill={"t": _bits}),
        Published("spatial", (2, 3, 2, 2)),
        Published("one-sample", (1, 3)),
        Published("target-shape", (3, 4), shapes={"t": (3, 2, 2)}),
        Published("ignore-first-last", (3, 4), {"loss_param.ignore_label": 255}, (0, -1)),
        *by_normalisation((2, 3, 2, 2), (0, 7, -1)),
        Published("normalize-true", (2, 6), {"loss_param.ignore_label": 255, "loss_param.normalize": True}, (3,)),
        Published("normalize-false", (2, 6), {"loss_param.ignore_label": 255, "loss_param.normalize": False}, (3,)),
    ),
    extremes=(
        _extreme("equal", FORMULA, [[0.0] * 5] * 2, [[0, 1, 0.5, 0.25, 1]] * 2),
        _extreme("subnormal", FORMULA, [[SUBNORMAL, -SUBNORMAL, -0.0]], [[1, 0, 0.5]]),
        _extreme("huge", ("saturation",), [[1e4, -1e4, 1e4], [-1e4, 1e4, -1e4]], [[1, 1, 0], [0, 0.5, 0.5]]),
        *(
            _extreme(
                f"{name}-tail", ("saturation",), [[sign * size for size in _TAILS]] * 3, [[0] * 9, [1] * 9, [0.25] * 9]
            )
            for name, sign in (("right", 1), ("left", -1))
        ),
        _extreme("certain", ("saturation",), [[30, 60, 90, -30, -60, -90]], [[1, 1, 1, 0, 0, 0]]),
        _extreme("targets-outside", FORMULA, [[3, 1, -2], [0.5, -4, 0]], [[2, -1, 100], [-3, 7, 2]]),
        _extreme("overflow", ("nonfinite",), [[1.5e38, -1.5e38, 1.25e38, 1]], [[0, 1, 0, 0]]),
        _extreme("nan", ("nonfinite",), [[NAN, 1, 2], [3, -1, 0]], [[1, 0, 0.5], [NAN, 1, 0]]),
        _extreme("infinite", ("nonfinite",), [[INF, -INF, 2], [3, INF, -INF]], [[1, 0, 0.5], [0, 0, 1]]),
        _extreme("infinite-certain", ("nonfinite",), [[INF, -INF, 2], [3, 1, -2]], [[1, 0, 0.5], [0, 0, 1]]),
        _extreme(
            "nan-ignored",
            ("nonfinite", "ignore-label"),
            [[NAN, 1, INF], [1, 2, 3]],
            [[9, 0, 9], [0, 9, 1]],
            options=_IGNORING,
        ),
        _extreme("huge-weight", ("loss-weight",), [[0.0] * 5], [[1, 0, 1, 0, 1]], weight=HUGE_WEIGHT),
    ),
    large_count=lambda terms: LargeCount((0 * np.ones((1, terms)),) * 2, terms * float(np.log(2.0))),
    refused=tuple(Refused.counts({"t": (2, 4)}, {"t": (2,)}, {"x": (2, 3, 2)})),
    operations=(2, 11, 0),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    expression=_expression,
)
