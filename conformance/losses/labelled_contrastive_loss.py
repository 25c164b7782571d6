"""ContrastiveLoss of labelled items: what the suite knows of it (`refimpl.layers.labelled_contrastive_loss`).

Values, margins and refusals are those of ContrastiveLoss, its similarities a label for either of a pair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.contract.case import Array
from conformance.contract.dtypes import FLOAT
from conformance.contract.requirement import MUST, Requirement
from conformance.losses.contrastive_loss import LOSS as PAIRS
from conformance.losses.examples import Extreme, LargeCount, QuirkNet, Refused
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.nets import layer, source
from conformance.losses.roles import Counterpart, Identities, Scores, Shape
from conformance.losses.values import FORMULA, exact
from refimpl.layers.labelled_contrastive_loss import LabelledContrastiveLoss

__all__ = ["LOSS"]

_MARGIN, _LEGACY = PAIRS.options
_CPP = "happynear/caffe-windows@967eedf2 src/caffe/layers/contrastive_loss_layer.cpp"


_LABELS = ([0, 0, -1, -1, 2.5, 1e6, 5, 255], [0, -0.5, -1, 1, 2, 1e6, 6, -1])
"""Of eight pairs, those that are alike once they are cut off and those that are not."""


def _labelled(similar: Array) -> tuple[Array, Array]:
    """Labels of which those of similar pairs are equal: 3 beside 3, and 3 beside 1, 0 and -2."""
    others = np.resize([1.0, 0.0, -2.0], similar.shape)
    return np.full(similar.shape, 3.0), np.where(similar != 0, 3.0, others)


def _large_count(terms: int) -> LargeCount:
    tenth = float(FLOAT.rounded(0.1))
    column = np.ones((terms, 1))
    return LargeCount((tenth * column, 0 * column, np.ones(terms), np.ones(terms)), tenth**2 / 2)


def _grown_pairs() -> QuirkNet:
    """A thousand times the declared batch: little enough to send, too much to fit by chance."""
    a, b = (np.random.default_rng(11).integers(-64, 65, (2, 4000, 4)) * 2 + 1) / 64
    bottoms = {"x": (4, 4), "z": (4, 4), "y": (4,), "v": (4,)}
    net = "force_backward: true\n" + "".join(source(name, shape) for name, shape in bottoms.items())
    net += layer("loss", LabelledContrastiveLoss.type, bottoms, options="contrastive_loss_param { margin: 2 }")
    inputs = {"x": a, "z": b * 0.75, "y": np.resize([1.0, 2.0], 4000), "v": np.resize([1.0, 0.0, 2.0], 4000)}
    return QuirkNet("contrastive-buffers-sized-once", net, "labelled", {"inputs": inputs}, undefined=True)


def _fractions(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
    """Labels 0, 2, 0 and 1, cut off."""
    return np.resize([0.75, 2.5, -0.5, 1.0], shape)


_EQUIVALENTS = {
    "torch": """
def loss(x, z, y, v, ignored):
    difference = (x - z).flatten(1)
    squared = (difference * difference).sum(1)
    distance = squared.sqrt()
    # Caffe divides by d + 1e-4 in the gradient alone
    pushed = -(F.relu(1 - distance) / (distance + 1e-4)).detach() * squared
    apart = F.relu(1 - distance) ** 2
    return torch.where(y == v, squared, pushed + (apart - pushed).detach()).sum() / (2 * len(x))
""",
}

LOSS = Loss(
    layer=LabelledContrastiveLoss,
    source="contrastive_loss",
    profile="faces",
    forward="The top of ContrastiveLoss of labelled items is the sum of d^2 over the pairs whose labels are equal and "
    "of max(margin - d, 0)^2 over the others, over twice the batch size.",
    backward="The gradient of ContrastiveLoss of labelled items is Caffe's, which divides by d + 1e-4 for a pair of "
    "two labels, or the derivative.",
    bottoms=(
        Bottom("x", Scores(), learns=True),
        Bottom("z", Counterpart(of="x"), learns=True),
        Bottom("y", Identities(of="x")),
        Bottom("v", Identities(of="z")),
    ),
    options={_MARGIN: (1.0, 3.5, 20.0), _LEGACY: (False, True)},
    traits=PAIRS.traits,
    requirements=(
        Requirement(
            "labelled_contrastive_loss.labels",
            "A pair of ContrastiveLoss with four bottoms is similar where its two labels, truncated toward zero, are "
            "equal, whichever they are.",
            MUST,
            f"{_CPP}:48,79",
        ),
        *(
            Requirement(
                f"labelled_contrastive_loss.{own.id.partition('.')[2]}",
                own.statement.replace(PAIRS.type, f"{PAIRS.type} of labelled items"),
                own.level,
                f"{_CPP}; {own.citation}",
            )
            for own in PAIRS.requirements
            if own.id.startswith(f"{PAIRS.stem}.")
        ),
    ),
    published=(
        *PAIRS.published,
        Published("fractional-labels", (8, 4), fill={"y": _fractions}),
    ),
    extremes=(
        *(replace(each, bottoms=(*each.bottoms[:2], *_labelled(each.bottoms[2]))) for each in PAIRS.extremes),
        Extreme(
            "labels",
            ("labels", *FORMULA),
            (exact([[0.25, 0]] * 8), exact([[0, 0]] * 8), *map(exact, _LABELS)),
        ),
    ),
    large_count=_large_count,
    refused=(
        *(refused for refused in PAIRS.refused if "s" not in refused.declared),
        Refused("a-label-for-each-half", "pair-shape", declared={"y": (2, 2)}),
        Refused("too-few-labels", "pair-shape", "forward", declared={"v": (1,)}),
    ),
    quirk_nets=(_grown_pairs(),),
    misreadings=PAIRS.misreadings,
    operations=(0, 6, 1),
    batches=2,
    equivalents=_EQUIVALENTS,
)
