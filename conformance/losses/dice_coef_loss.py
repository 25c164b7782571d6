"""DiceCoefLoss: what the suite knows of it beside its formula (`refimpl.layers.dice_coef_loss`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, LargeCount, Misreading, Refused
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.roles import NearestLabels, Scores
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.dice_coef_loss import DiceCoefLoss

__all__ = ["LOSS"]

_MODE = "dice_coef_loss_param.generalization"
_IGNORED = "dice_coef_loss_param.ignore_label"
_WEIGHTS = "dice_coef_loss_param.weight_mode"
_CPP = "jolibrain/caffe@23928c02 src/caffe/layers/dice_coef_loss_layer.cpp"
_IMAGE = (2, 3, 2, 2)


def _published() -> Iterator[Published]:
    """Every generalization; of those with weights, every weight; with a class that is ignored."""
    yield Published("plain", (4, 5))
    yield Published("spatial", _IMAGE)
    yield Published("one-image", (1, 2, 3, 3))
    yield Published("one-class", (3, 1, 2, 2))
    yield Published("multiclass", _IMAGE, {_MODE: "MULTICLASS"})
    yield Published("multiclass-ignoring", _IMAGE, {_MODE: "MULTICLASS", _IGNORED: 0})
    for weights in ("INVERSE_VOLUME", "EXTRA_SMALL_VOLUMES", "EQUALIZE_CLASSES"):
        name = weights.lower().replace("_", "-")
        yield Published(f"weighted-{name}", _IMAGE, {_MODE: "MULTICLASS_WEIGHTED", _WEIGHTS: weights})
    yield Published("weighted-ignoring", _IMAGE, {_MODE: "MULTICLASS_WEIGHTED", _IGNORED: 1})
    yield Published("batch", (3, 3, 2, 2), {_MODE: "MULTICLASS_WEIGHTED_BATCH"})
    yield Published("all-batches", (3, 3, 2, 2), {_MODE: "MULTICLASS_WEIGHTED_ALL", _WEIGHTS: "EQUALIZE_CLASSES"})


def _extreme(name: str, facets: tuple[str, ...], x: Rows, y: Sequence[float], **fields: Any) -> Extreme:
    return Extreme(name, facets, (exact(x), exact([[label] for label in y])), **fields)


def _large_count(terms: int) -> LargeCount:
    """One class at as many positions as a square image has, predicted at one half."""
    side = int(terms**0.5)
    bottoms = (0.5 * np.ones((1, 1, side, side)), np.zeros((1, 1, side, side)))
    return LargeCount(bottoms, 1 - (1 + terms) / (1 + 1.25 * terms))


_EQUIVALENTS = {
    "torch": """
def loss(x, y, ignored):
    t = F.one_hot(y.flatten(), x.shape[1]).to(x.dtype)
    smooth = 1 / len(x)
    ratio = (smooth + 2 * (x * t).sum(1)) / (smooth + (x * x).sum(1) + t.sum(1))
    value = 1 - ratio.abs().mean()
    slope = -ratio.sum()  # the gradient lacks the 1/N, and the sign of the ratio
    return value.detach() + slope - slope.detach()
""",
}

LOSS = Loss(
    layer=DiceCoefLoss,
    profile="dense",
    forward="The top of DiceCoefLoss is 1 less the mean over the images of |(e + 2 sum m x t) / (e + sum m x^2 + sum m "
    "t)|, t the labels as ones, m and e as the generalization has them.",
    backward="DiceCoefLoss's gradient is 2 m (r x - t) / (e + sum m x^2 + sum m t) times the top's diff, r its image's "
    "ratio; the derivative has a 1/N beside it, the mask of MULTICLASS and the sign of r.",
    bottoms=(Bottom("x", Scores(classes_on=1), learns=True), Bottom("y", NearestLabels(of="x", one_channel=True))),
    options={
        _MODE: (
            "NONE",
            "MULTICLASS",
            "MULTICLASS_WEIGHTED",
            "MULTICLASS_WEIGHTED_BATCH",
            "MULTICLASS_WEIGHTED_ALL",
        ),
        _WEIGHTS: ("INVERSE_VOLUME", "EXTRA_SMALL_VOLUMES", "EQUALIZE_CLASSES"),
        _IGNORED: (None, 0),
    },
    requirements=(
        Requirement(
            "dice_coef_loss.spatial",
            "DiceCoefLoss adds up over all positions and classes of an image, whose classes lie along axis 1.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
        Requirement(
            "dice_coef_loss.generalization",
            "DiceCoefLoss weights classes as dice_coef_loss_param.generalization says: alike, without an ignored one, "
            "or by a power of what they hold in the image, in the batch or in all batches so far.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
        Requirement(
            "dice_coef_loss.weight",
            "DiceCoefLoss's weights of classes are 1 + n, n what they hold, to the power of -2, -3 with "
            "EXTRA_SMALL_VOLUMES and -1 with EQUALIZE_CLASSES.",
            MUST,
            f"{_CPP} LayerSetUp",
        ),
        Requirement(
            "dice_coef_loss.ignored-class",
            "A class that DiceCoefLoss ignores is left out with MULTICLASS, weighs next to nothing with weights, and "
            "counts without a generalization.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
    ),
    published=tuple(_published()),
    extremes=(
        _extreme("certain", FORMULA, [[1, 0, 0], [0, 0, 1]], [0, 2]),
        _extreme("nothing", FORMULA, [[0, 0, 0], [0, 0, 0]], [0, 2]),
        _extreme("negative", FORMULA, [[-8, 0, 1], [-2, 0, 0]], [0, 0]),
        _extreme("one-class", ("single-class", *FORMULA), [[0.5], [1.5], [-4]], [0, 0, 0]),
        _extreme(
            "ignored-class",
            ("ignored-class",),
            [[0.5, 1, 0.25], [0, 2, 0.5]],
            [0, 2],
            options={_MODE: "MULTICLASS", _IGNORED: 0},
        ),
        _extreme("ignored-in-vain", ("ignored-class",), [[0.5, 1], [0, 2]], [0, 1], options={_IGNORED: 0}),
        _extreme("subnormal", FORMULA, [[SUBNORMAL, 0.5], [-0.0, 1e-42]], [0, 1]),
        _extreme("nan", ("nonfinite",), [[NAN, 1], [3, 1]], [1, 0]),
        _extreme("infinite", ("nonfinite",), [[1, INF], [3, 0.5]], [0, 0]),
        _extreme("huge-weight", ("loss-weight",), [[1, 0]], [0], weight=HUGE_WEIGHT),
    ),
    large_count=_large_count,
    refused=(
        Refused("label-with-channels", "label-count", declared={"y": (2, 2)}),
        Refused("label-of-other-positions", "label-count", declared={"x": (2, 3, 2, 2), "y": (2, 1, 2, 1)}),
        Refused("more-labels-than-images", "batch-mismatch", declared={"y": (3,)}),
        Refused("five-axes", "axes", declared={"x": (2, 3, 1, 1, 1)}),
    ),
    misreadings=(Misreading(_WEIGHTS, "option-ignored", lambda mode: ("INVERSE_VOLUME",)),),
    operations=(0, 7, 1),
    equivalents=_EQUIVALENTS,
)
