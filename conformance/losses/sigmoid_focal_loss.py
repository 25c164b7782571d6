"""FocalLoss over sigmoids: what the suite knows of it (`refimpl.layers.sigmoid_focal_loss`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, LargeCount, Misreading, Refused
from conformance.losses.expression import number, over, own
from conformance.losses.loss import Bottom, Loss, Published, by_normalisation
from conformance.losses.roles import Marks, Scores
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.sigmoid_focal_loss import SigmoidFocalLoss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_CU = "GuohongWu/caffe-windows@d3c5786c src/caffe/layers/focal_loss_layer.cu"
_ALPHA, _GAMMA, _IGNORE = "focal_loss_param.alpha", "focal_loss_param.gamma", "loss_param.ignore_label"
_IMAGE = (2, 3, 2, 2)


def _extreme(name: str, facets: tuple[str, ...], x: Rows, t: Rows, **fields: Any) -> Extreme:
    return Extreme(name, facets, (exact(x), exact(t)), **fields)


_TAILS = [1.0, 5.0, 17.0, 40.0, 88.0, 90.0, 104.0, 200.0, 800.0]

_EQUIVALENTS = {
    "torch": """
def loss(x, t, ignored):
    ones = (t == 1) | ((t > 1) & (t < 2))
    p = torch.where(ones, torch.sigmoid(x), torch.sigmoid(-x))
    losses = torch.where(ones, 0.25, 0.75) * (1 - p) ** 2 * F.binary_cross_entropy_with_logits(x, t, reduction="none")
    return (losses if ignored is None else torch.where(t != ignored, losses, 0)).sum() / len(x)
""",
}


def _expression(param: LayerParameter) -> str:
    given = own(param, SigmoidFocalLoss, "focal_loss_param")
    ignored = param.loss_param.ignore_label if param.loss_param.has("ignore_label") else None
    counted = "each" if ignored is None else f"torch.where(t.long().reshape(x.shape) != {ignored}, each, 0)"
    return f"""target = t.reshape(x.shape)
ones = target.long() == 1
rest = torch.sigmoid(torch.where(ones, -x, x))
each = torch.where(ones, {number(given.alpha)}, 1 - {number(given.alpha)}) * rest ** {number(given.gamma)} * \
F.binary_cross_entropy_with_logits(x, target, reduction="none")
{counted}.sum(){over(param.loss_param, "BATCH_SIZE", "t")}"""


LOSS = Loss(
    layer=SigmoidFocalLoss,
    source="focal_loss",
    profile="detection",
    recorded=False,
    forward="The top of FocalLoss of sigmoids is the sum over the counted entries of a (1 - p)^gamma times the "
    "cross entropy of sigmoid and target, over the normaliser; p is the sigmoid where the target is 1 and 1 less it "
    "elsewhere, a is alpha there and 1 - alpha elsewhere.",
    backward="The gradient of FocalLoss of sigmoids at a counted entry is a times the derivative of (1 - p)^gamma "
    "times the cross entropy, both factors derived, times the top's diff over the normaliser.",
    bottoms=(Bottom("x", Scores(), learns=True), Bottom("t", Marks(of="x"))),
    options={
        _ALPHA: (0.25, 1.0, 0.625),
        _GAMMA: (2.0, 1.5, 3.0, 0.0),
        "loss_param.normalization": ("BATCH_SIZE", "FULL", "VALID", "NONE"),
        _IGNORE: (None, 255, -1),
        "loss_param.normalize": (None, True, False),
    },
    traits=frozenset({"batch-mean", "saturates"}),
    requirements=(
        Requirement(
            "sigmoid_focal_loss.alpha",
            "The alpha of FocalLoss of sigmoids, 0.25 unless given, multiplies loss and gradient where the target is "
            "1, and 1 - alpha those elsewhere; in the layer's first version alpha multiplies all.",
            MUST,
            f"{_CU} FocalLossForwardGPU",
        ),
        Requirement(
            "sigmoid_focal_loss.gamma",
            "FocalLoss of sigmoids raises 1 - p to the power of gamma, 2 unless given; with gamma 0 and alpha 0.5 it "
            "is half the cross entropy of sigmoids.",
            MUST,
            f"{_CU} FocalLossForwardGPU",
        ),
        Requirement(
            "sigmoid_focal_loss.other-targets",
            "A target of FocalLoss of sigmoids that, truncated, is not 1 has 1 less the sigmoid for p, whatever it is; "
            "the cross entropy takes every target as it is.",
            MUST,
            f"{_CU} FocalLossForwardGPU",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("bits", (4, 5), fill={"t": lambda rng, shape, classes: np.resize([1.0, 0.0, 0.0, 1.0, 0.0], shape)}),
        Published("spatial", _IMAGE),
        Published("one-sample", (1, 3)),
        Published("target-shape", (3, 4), shapes={"t": (3, 2, 2)}),
        Published("sigmoid", (4, 5), {_ALPHA: 0.5, _GAMMA: 0}),
        Published("gamma-fraction", (4, 5), {_ALPHA: 0.75, _GAMMA: 1.5}),
        Published("gamma-3", _IMAGE, {_GAMMA: 3}),
        Published("ignore-first-last", (3, 4), {_IGNORE: 255}, (0, -1)),
        *by_normalisation(_IMAGE, (0, 7, -1)),
    ),
    extremes=(
        _extreme("equal", FORMULA, [[0.0] * 5] * 2, [[0, 1, 0.5, 1, 0]] * 2),
        _extreme("subnormal", FORMULA, [[SUBNORMAL, -SUBNORMAL, -0.0]], [[1, 0, 1]]),
        *(
            _extreme(f"{name}-tail", ("saturation",), [[sign * size for size in _TAILS]] * 2, [[0] * 9, [1] * 9])
            for name, sign in (("right", 1), ("left", -1))
        ),
        _extreme("unlikely", FORMULA, [[-8, 12, -20], [3, -5, 0.5]], [[1, 0, 1], [0, 1, 0]]),
        _extreme("beside", ("other-targets",), [[2, -1, 0.5, 3, -1, 0.25]], [[1.5, 0.75, 2, -1, 1 - 2.0**-24, 0.5]]),
        _extreme("nan", ("nonfinite",), [[NAN, 1, 2], [3, -1, 0]], [[1, 0, 1], [1, 0, 0]]),
        _extreme("infinite", ("nonfinite",), [[INF, 1, -INF], [3, -1, 0]], [[0, 0, 1], [1, 0, 0]]),
        _extreme(
            "nan-ignored",
            ("nonfinite", "ignore-label"),
            [[NAN, 1, INF], [1, 2, 3]],
            [[9, 0, 9], [0, 9, 1]],
            options={_IGNORE: 9},
        ),
        _extreme("huge-weight", ("loss-weight",), [[0.5, 1]], [[1, 0]], weight=HUGE_WEIGHT),
    ),
    large_count=lambda terms: LargeCount((np.zeros((1, terms)),) * 2, terms * 3 / 16 * float(np.log(2.0))),
    refused=tuple(Refused.counts({"t": (2, 4)}, {"t": (2,)}, {"x": (2, 3, 2)})),
    misreadings=(
        Misreading(_ALPHA, "option-ignored", lambda alpha: (0.25, 0.5) if alpha not in (0.25, 0.5) else ()),
        Misreading(_GAMMA, "option-ignored", lambda gamma: (2.0, 0.0) if gamma not in (0, 2) else ()),
    ),
    operations=(2, 14, 0),
    equivalents=_EQUIVALENTS,
    expression=_expression,
)
