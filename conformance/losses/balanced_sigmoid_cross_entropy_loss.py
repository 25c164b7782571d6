"""SigmoidCrossEntropyLoss that balances edges and background: what the suite knows of it
(`refimpl.layers.balanced_sigmoid_cross_entropy_loss`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, LargeCount, Refused
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.roles import Marks, Scores
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.balanced_sigmoid_cross_entropy_loss import BalancedSigmoidCrossEntropyLoss

__all__ = ["LOSS"]

_HED = "s9xie/hed@912632b9 src/caffe/layers/sigmoid_cross_entropy_loss_layer.cpp"
_RCF = "yun-liu/RCF@fc9e0f9f src/caffe/layers/sigmoid_cross_entropy_loss_layer.cpp"


def _extreme(name: str, facets: tuple[str, ...], x: Rows, t: Rows, **fields: Any) -> Extreme:
    return Extreme(name, facets, (exact(x), exact(t)), **fields)


def _large_count(terms: int) -> LargeCount:
    """Half of the entries are ones at score 0, the others zeros that cost nothing, whatever they weigh."""
    ones = np.resize([1.0, 0.0], (1, terms))
    return LargeCount((-100.0 * (1.0 - ones), ones), terms / 4 * float(np.log(2.0)))


_TAILS = [5.0, 17.0, 40.0, 88.0, 90.0, 104.0, 200.0, 710.0, 800.0]

_EQUIVALENTS = {
    "torch": """
def loss(x, t, ignored):
    ones, zeros = ((t == value).flatten(1).sum(1, keepdim=True).to(x.dtype) for value in (1, 0))
    shares = torch.where(t == 1, zeros / (ones + zeros), torch.where(t == 0, ones / (ones + zeros), 0))
    return F.binary_cross_entropy_with_logits(x, t, weight=shares, reduction="sum") / len(x)
""",
}

LOSS = Loss(
    layer=BalancedSigmoidCrossEntropyLoss,
    source="sigmoid_cross_entropy_loss",
    profile="dense",
    forward="The top of SigmoidCrossEntropyLoss that balances is the sum of the cross entropies of its targets 1, "
    "times the share of the targets 0 in their image, and of those of its targets 0, times the share of the targets 1, "
    "over the batch size; RCF's targets 0 count 1.1 times as much.",
    backward="The gradient of SigmoidCrossEntropyLoss that balances is (s - t) times what its target's cross entropy "
    "is multiplied by, times the top's diff over the batch size, s the sigmoid of the score and t the target.",
    bottoms=(Bottom("x", Scores(), learns=True), Bottom("t", Marks(of="x"))),
    traits=frozenset({"batch-mean"}),
    requirements=(
        Requirement(
            "balanced_sigmoid_cross_entropy_loss.balance",
            "Each target 1 weighs as the share of the targets 0 in its own image, each target 0 as that of the targets "
            "1; an image of one kind alone costs nothing.",
            MUST,
            f"{_HED} Forward_cpu; {_RCF} Forward_cpu",
        ),
        Requirement(
            "balanced_sigmoid_cross_entropy_loss.other-targets",
            "A target that is neither 0 nor 1 is counted nowhere and costs nothing; its gradient is 0, HED's (s - t) "
            "times the top's diff over the batch size.",
            MUST,
            f"{_HED} Backward_cpu; {_RCF} Backward_cpu",
        ),
        Requirement(
            "balanced_sigmoid_cross_entropy_loss.saturation",
            "Scores of any finite size have finite losses and gradients.",
            MUST,
            f"{_HED} Forward_cpu",
        ),
    ),
    published=(
        Published("plain", (4, 5), fill={"t": lambda rng, shape, classes: np.resize([1.0, 0.0, 0.0, 1.0, 0.0], shape)}),
        Published("spatial", (2, 3, 2, 2)),
        Published("others", (3, 8), fill={"t": lambda rng, shape, classes: np.resize([1, 0, 0.5, 0, 2, 1, -1], shape)}),
        Published("one-sample", (1, 6), fill={"t": lambda rng, shape, classes: np.resize([0.0, 1.0, 0.0], shape)}),
        Published("shapes-differ", (3, 4), shapes={"t": (3, 2, 2)}),
    ),
    extremes=(
        _extreme("one-in-many", ("balance", *FORMULA), [[0.5, -1, 2, 0.25, -3, 1]], [[0, 0, 1, 0, 0, 0]]),
        _extreme("images-unlike", ("balance",), [[0.5, -1, 2, 3], [1, 1, -2, 0]] * 2, [[1, 1, 1, 0], [0, 0, 0, 1]] * 2),
        _extreme("ones-alone", ("balance",), [[0.5, -1, 2], [1, 3, -2]], [[1, 1, 1], [1, 0, 1]]),
        _extreme("zeros-alone", ("balance",), [[0.5, -1, 2], [1, 3, -2]], [[0, 0, 0], [1, 0, 1]]),
        _extreme("beside", ("other-targets",), [[2, -1, 0.5, 3, 1]], [[1, 0, 1 - 2.0**-24, 2.0**-40, 255]]),
        _extreme("none-of-them", ("other-targets",), [[2, -1], [1, 0.5]], [[0.5, 2], [1, 0]]),
        _extreme("tails", ("saturation", *FORMULA), [_TAILS, [-x for x in _TAILS]], [[1, 0, 0, 1, 0, 1, 1, 0, 1]] * 2),
        _extreme("huge", ("saturation",), [[1e4, -1e4, 3e38, -3e38]], [[0, 1, 1, 0]]),
        _extreme("subnormal", FORMULA, [[SUBNORMAL, -SUBNORMAL, -0.0]], [[0, 1, 1]]),
        _extreme("nan", ("nonfinite",), [[NAN, 1, 2], [3, -1, 0]], [[1, 0, 1], [1, 0, 0]]),
        _extreme("infinite", ("nonfinite",), [[INF, 1, -INF], [3, -1, 0]], [[0, 0, 1], [1, 0, 0]]),
        _extreme("huge-weight", ("loss-weight",), [[0.5, 1]], [[1, 0]], weight=HUGE_WEIGHT),
    ),
    large_count=_large_count,
    refused=tuple(Refused.counts({"t": (2, 4)}, {"x": (2, 3, 2)})),
    operations=(1, 6, 0),
    equivalents=_EQUIVALENTS,
)
