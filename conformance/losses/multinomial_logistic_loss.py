"""MultinomialLogisticLoss: what the suite knows of it (`refimpl.layers.multinomial_logistic_loss`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conformance.contract.dtypes import FLOAT
from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, LargeCount, Refused
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.roles import Labels, Probabilities
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.multinomial_logistic_loss import MultinomialLogisticLoss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_SHAPES = {"plain": (4, 5), "flattened": (2, 3, 2, 2), "one-sample": (1, 3), "one-class": (3, 1)}


def _extreme(name: str, facets: tuple[str, ...], p: Rows, y: Sequence[float], **fields: Any) -> Extreme:
    return Extreme(name, facets, (exact(p), exact(y)), **fields)


def _large_count(terms: int) -> LargeCount:
    tenth = float(FLOAT.rounded(0.1))
    return LargeCount((tenth * np.ones((terms, 1)), np.zeros(terms)), -float(np.log(tenth)))


_EQUIVALENTS = {
    "torch": """
def loss(x, y, ignored):
    return F.nll_loss(torch.log(x.flatten(1)), y)
""",
    "jax": """
def loss(x, y, ignored):
    return -jnp.log(jnp.take_along_axis(x.reshape(len(x), -1), y[:, None], axis=1)).mean()
""",
}


_TORCH_LAYER = """\
# nll_loss of the logarithm; probabilities have no floor.
def tops(bottom, param):
    p = bottom[0].reshape(len(bottom[0]), -1)
    return [F.nll_loss(torch.log(p), integers(bottom[1]).reshape(-1), reduction="mean")]
"""


def _expression(param: LayerParameter) -> str:
    return 'F.nll_loss(x.flatten(1).clamp(min=1e-20).log(), y.long().flatten(), reduction="mean")'


LOSS = Loss(
    layer=MultinomialLogisticLoss,
    forward="The top of MultinomialLogisticLoss is the sum of -log p over the batch size, p the label's entry.",
    backward="MultinomialLogisticLoss's gradient is -1 / p at the label, times the top's diff over the batch size, and "
    "0 elsewhere.",
    bottoms=(Bottom("x", Probabilities(), learns=True), Bottom("y", Labels(of="x"))),
    traits=frozenset({"batch-mean"}),
    requirements=(
        Requirement(
            "multinomial_logistic_loss.log-floor",
            "MultinomialLogisticLoss takes no probability below float32's 1e-20 into the logarithm, in float64 too.",
            MUST,
            "include/caffe/layers/loss_layer.hpp kLOG_THRESHOLD; "
            "src/caffe/layers/multinomial_logistic_loss_layer.cpp Forward_cpu",
        ),
        Requirement(
            "refusal.label-shape",
            "MultinomialLogisticLoss with more than one label for an item is refused.",
            MUST,
            "include/caffe/layers/multinomial_logistic_loss_layer.hpp class comment",
        ),
    ),
    published=tuple(Published(name, shape) for name, shape in _SHAPES.items()),
    extremes=(
        _extreme("equal", FORMULA, [[0.25] * 4] * 3, [0, 3, 1]),
        _extreme("last-class", FORMULA, [[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]], [2, 2]),
        _extreme("one-class", ("single-class",), [[1], [0.5], [0.25]], [0, 0, 0]),
        _extreme(
            "floor", ("log-floor",), [[1.1e-20, 1], [0.9e-20, 1], [1e-38, 1], [1, SUBNORMAL], [0, 1]], [0, 0, 0, 1, 0]
        ),
        _extreme("negative", ("log-floor",), [[-1, 0.5], [0.5, -1e10], [-0.0, 1]], [0, 1, 0]),
        _extreme("above-one", FORMULA, [[1, 0.5], [1.5, 0.5], [0.5, 1e20], [3e38, 1]], [0, 0, 1, 0]),
        _extreme("nan", ("nonfinite",), [[NAN, 0.5, 0.25], [0.5, 0.25, 0.25]], [0, 1]),
        _extreme("nan-elsewhere", ("nonfinite",), [[NAN, 0.5, INF], [0.5, -INF, 0.25]], [1, 2]),
        _extreme("infinite", ("nonfinite",), [[INF, 0.5], [0.5, 0.25]], [0, 1]),
        _extreme("minus-infinite", ("nonfinite", "log-floor"), [[-INF, 0.5], [0.5, 0.25]], [0, 1]),
        _extreme("huge-weight", ("loss-weight",), [[0.25, 0.5, 0.25]], [2], weight=HUGE_WEIGHT),
    ),
    large_count=_large_count,
    refused=(
        *(
            Refused(f"labels-{'x'.join(map(str, shape))}", "label-shape", declared={"y": shape})
            for shape in ((2, 2), (2, 1, 2), (2, 1, 1, 2))
        ),
        Refused("five-axes", "axes", "forward", declared={"x": (2, 3, 1, 1, 1)}),
        Refused("labels-of-five-axes", "axes", declared={"y": (2, 1, 1, 1, 1)}),
    ),
    operations=(0, 0, 1),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    expression=_expression,
)
