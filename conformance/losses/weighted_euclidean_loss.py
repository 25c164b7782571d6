"""EuclideanLoss with a weight for every entry: what the suite knows of it
(`refimpl.layers.weighted_euclidean_loss`)."""

from __future__ import annotations

from typing import Any

from conformance.contract.requirement import MUST, Requirement
from conformance.losses.euclidean_loss import LOSS as PLAIN
from conformance.losses.examples import Extreme, Refused
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.roles import Scores, Weights
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.weighted_euclidean_loss import WeightedEuclideanLoss

__all__ = ["LOSS"]

_HAPPYNEAR = "happynear/caffe-windows@967eedf2 src/caffe/layers/euclidean_loss_layer.cpp"
_MSRCCS = "MSRCCS/Caffe@2eb05997 src/caffe/layers/euclidean_loss_layer.cpp"
_IMAGE = (2, 3, 2, 2)


def _weighted(name: str, shape: tuple[int, ...], weights: tuple[int, ...] | None = None) -> Published:
    return Published(name, shape, shapes={"w": weights or shape})


def _extreme(name: str, facets: tuple[str, ...], a: Rows, b: Rows, *weights: Rows, **fields: Any) -> Extreme:
    return Extreme(name, facets, tuple(map(exact, (a, b, *weights))), **fields)


_EQUIVALENTS = {
    "torch": """
def loss(x, z, w, ignored):
    once, twice = w * (x - z) ** 2, (w * (x - z)) ** 2
    # happynear's loss has the weight's square, its gradient the weight
    return (once + (twice - once).detach()).sum() / (2 * len(x))
""",
}

LOSS = Loss(
    layer=WeightedEuclideanLoss,
    source="euclidean_loss",
    profile="faces",
    forward="The top of EuclideanLoss with weights is the sum of the squares of its weighted differences, or MSRCCS's "
    "of its weighted squared differences, over twice the batch size.",
    backward="The gradient of EuclideanLoss with weights is the weighted difference of its bottoms, times the top's "
    "diff over the batch size, with opposite sign in the second.",
    bottoms=(
        Bottom("x", Scores(), learns=True),
        Bottom("z", Scores(of="x"), learns=True),
        Bottom("w", Weights(of="x"), optional=True),
    ),
    traits=frozenset({"batch-mean"}),
    requirements=(
        Requirement(
            "weighted_euclidean_loss.weights",
            "EuclideanLoss's third bottom multiplies each difference before it is squared, or each square in MSRCCS's "
            "form; without one all weigh 1, and it takes no gradient.",
            MUST,
            f"{_HAPPYNEAR} Forward_cpu; {_MSRCCS} Forward_cpu",
        ),
        Requirement(
            "weighted_euclidean_loss.gradient-once",
            "In the gradient of EuclideanLoss with weights, a weight counts once in either form, or twice where that "
            "is the derivative.",
            MUST,
            f"{_HAPPYNEAR} Backward_cpu; {_MSRCCS} Backward_cpu",
        ),
        Requirement(
            "weighted_euclidean_loss.equal-bottoms",
            "EuclideanLoss's loss and gradients are 0 where its first two bottoms are equal, whatever they weigh.",
            MUST,
            f"{_HAPPYNEAR} Forward_cpu",
        ),
        Requirement(
            "refusal.weight-count",
            "EuclideanLoss with another number of weights than of differences is refused.",
            MUST,
            f"{_HAPPYNEAR} Reshape",
            "2",
        ),
    ),
    published=(
        _weighted("plain", (4, 5)),
        Published("unweighted", (4, 5)),
        Published("spatial", _IMAGE),
        Published("one-sample", (1, 3)),
        Published("vector", (5,)),
        Published("shapes-differ", (3, 4), shapes={"z": (3, 2, 2)}),
        _weighted("weighted-spatial", _IMAGE),
        _weighted("weighted-one-sample", (1, 3)),
        _weighted("weighted-shapes-differ", (3, 4), (3, 2, 2)),
    ),
    extremes=(
        _extreme(
            "equal",
            ("equal-bottoms",),
            [[1e30, -0.1, SUBNORMAL], [0, 3e38, 7]],
            [[1e30, -0.1, SUBNORMAL], [-0.0, 3e38, 7]],
            [[2, 3, 4], [0, 0.5, -1]],
        ),
        _extreme("bits", ("weights", *FORMULA), [[1, 2, -3, 4]], [[0.5, 1, 1, 1]], [[1, 0, 0, 1]]),
        _extreme("half", ("weights", "gradient-once"), [[3]], [[1]], [[0.5]]),
        _extreme("signs", ("weights", "gradient-once"), [[1, 2], [-1, 4]], [[2, 1], [0, 1]], [[-2, 3], [-0.5, -0.0]]),
        _extreme("cancelling", FORMULA, [[1e4, -1e4, 1e15]], [[1e4 + 2.0**-9, -1e4, 1e15 * (1 + 2.0**-22)]]),
        _extreme("subnormal", FORMULA, [[SUBNORMAL, 0, 1e-38], [0.5, -1, 2]], [[0, SUBNORMAL, 1.5e-38], [0.5, 1, 2]]),
        _extreme("underflow", FORMULA, [[1e-25, -3e-30], [0, 1e-22]], [[0, 0], [2e-25, 0]]),
        _extreme("overflow", ("nonfinite",), [[1e20, -1e25], [1, 2]], [[-1e20, 1e25], [0, 4]]),
        _extreme("nan", ("nonfinite",), [[NAN, 1, 2], [3, -1, 0]], [[1, 0, 0.5], [1, NAN, 0]], [[0, 1, 2], [1, 1, 1]]),
        _extreme("infinite", ("nonfinite",), [[INF, 1, -INF], [3, -1, 0]], [[1, 0, 0.5], [1, INF, 0]]),
        _extreme("weight-nan", ("nonfinite",), [[2, 1], [3, -1]], [[1, 0], [1, 4]], [[NAN, 1], [1, INF]]),
        _extreme("huge-weight", ("loss-weight",), [[1, 0, 0.5, 1]], [[0, 1, 0.5, 2]], weight=HUGE_WEIGHT),
    ),
    large_count=PLAIN.large_count,
    refused=(
        *Refused.counts({"z": (2, 4)}, {"z": (2,)}, {"x": (2, 3, 2)}),
        Refused("too-few-weights", "weight-count", declared={"w": (2, 2)}),
        Refused("a-weight-for-each-item", "weight-count", declared={"w": (2,)}),
    ),
    operations=(0, 6, 0),
    batches=2,
    equivalents=_EQUIVALENTS,
)
