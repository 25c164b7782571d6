"""LabelSpecificAdd: what the suite knows of it beside its formula (`refimpl.layers.label_specific_add`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, Misreading, Refused
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.options import Options
from conformance.losses.roles import Labels, Scores
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, Rows, exact
from refimpl.layers.label_specific_add import LabelSpecificAdd
from refimpl.layers.softmax_with_loss import SoftmaxWithLoss

__all__ = ["LOSS"]

_CPP = "happynear/caffe-windows@967eedf2 src/caffe/layers/label_specific_add_layer.cpp"
_BIAS = "label_specific_add_param.bias"


def _param(**fields: Any) -> Options:
    return {f"label_specific_add_param.{name}": value for name, value in fields.items()}


_ANNEALED = _param(bias_base=0.5, bias_gamma=0.25, bias_power=2.0, bias_max=8.0, iteration=3)


def _published() -> Iterator[Published]:
    yield Published("plain", (4, 5), {_BIAS: 0.75})
    yield Published("lowered", (4, 5), {_BIAS: -0.375})
    yield Published("image", (3, 4, 1, 1), {_BIAS: -0.375})
    yield Published("no-bias", (3, 4))
    yield Published("one-sample", (1, 6), {_BIAS: 1.5})
    yield Published("in-place", (4, 5), {_BIAS: 0.75}, in_place=True)
    yield Published("transformed-test", (4, 5), {_BIAS: 0.75, **_param(transform_test=True)})
    yield Published("annealed", (4, 5), _ANNEALED)
    yield Published("annealed-to-least", (4, 5), _param(bias_base=-2.5, bias_min=-0.625, bias_max=4.0))
    yield Published("annealed-to-most", (4, 5), _param(bias_base=2.5, bias_gamma=1.0, bias_max=1.25))


def _extreme(
    name: str, facets: tuple[str, ...], x: Rows, y: Sequence[float], bias: float = 0.75, **fields: Any
) -> Extreme:
    return Extreme(name, facets, (exact(x), exact(y)), {_BIAS: bias, **fields.pop("options", {})}, **fields)


_EQUIVALENTS = {
    "torch": """
def loss(x, y, ignored):
    label = F.one_hot(y, x.shape[1]).bool()
    return F.cross_entropy(torch.where(label & (x > -0.75), x + 0.75, x), y)
""",
    "jax": """
def loss(x, y, ignored):
    label = jnp.arange(x.shape[1]) == y[:, None]
    z = jnp.where(label & (x > -0.75), x + 0.75, x)
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean()
""",
}


LOSS = Loss(
    layer=LabelSpecificAdd,
    feeds=SoftmaxWithLoss,
    profile="faces",
    forward="The top of LabelSpecificAdd is its scores, the bias added to the score of each sample's label where that "
    "is above minus the bias.",
    backward="LabelSpecificAdd's gradient is the diff of its top, at labels and elsewhere.",
    bottoms=(Bottom("x", Scores(), learns=True), Bottom("y", Labels(of="x"))),
    options={
        _BIAS: (0.0, 0.75, -0.375, 2.5),
        "label_specific_add_param.transform_test": (False, True),
        "label_specific_add_param.bias_base": (None, 0.5, -2.5, 2.5),
        "label_specific_add_param.bias_gamma": (0.0, 0.25, 1.0),
        "label_specific_add_param.bias_power": (1.0, 2.0, 3.0),
        "label_specific_add_param.bias_min": (0.0, -0.625),
        "label_specific_add_param.bias_max": (0.0, 1.25, 8.0),
        "label_specific_add_param.iteration": (0, 3),
    },
    traits=frozenset({"batch-mean", "flat"}),
    requirements=(
        Requirement(
            "label_specific_add.margin",
            "LabelSpecificAdd's bias is label_specific_add_param.bias, 0 where unset; scores at most minus the bias "
            "and those of other classes stay.",
            MUST,
            f"{_CPP} Forward_cpu",
            "2",
        ),
        Requirement(
            "label_specific_add.annealing",
            "With bias_base LabelSpecificAdd's bias is bias_base + (1 + bias_gamma k)^bias_power - 1, from bias_min to "
            "bias_max, k counting its forward passes in phase TRAIN from iteration on.",
            MUST,
            f"{_CPP} Forward_cpu",
            "2",
        ),
        Requirement(
            "label_specific_add.test-phase",
            "In phase TEST the top of LabelSpecificAdd is its scores, whatever transform_test says.",
            MUST,
            f"{_CPP} Forward_cpu",
            "2",
        ),
    ),
    published=tuple(_published()),
    extremes=(
        _extreme("at-the-jump", ("margin", *FORMULA), [[-0.75, 0, 1], [2, -0.75, -0.75]], [0, 1]),
        _extreme("beside-the-jump", ("margin",), [[-0.75 - 2.0**-12, 0.5], [0.5, -0.75 + 2.0**-12]], [0, 1]),
        _extreme("below-the-jump", ("margin", *FORMULA), [[-1, -2, 4], [-3, -1, -8]], [1, 2]),
        _extreme("raised-score", ("margin",), [[0.25, 0.5], [0.5, 0.125]], [0, 0], -0.375),
        _extreme("others-above", ("margin",), [[-5, 3, 4], [2, -6, 1]], [0, 1]),
        _extreme("annealed-to-nothing", ("annealing",), [[0.5, 2], [1, 0.25]], [1, 0], options=_param(bias_base=-4.0)),
        _extreme("annealed", ("annealing",), [[0.5, -2, 4], [1, 0.25, 3]], [2, 0], options=_ANNEALED),
        _extreme("subnormal", FORMULA, [[SUBNORMAL, 0.5], [-0.0, 1e-42]], [0, 1]),
        _extreme("far-apart", FORMULA, [[1e4, -1e4], [80, -80]], [0, 0]),
        _extreme("nan", ("nonfinite",), [[NAN, 1], [3, -1]], [1, 0]),
        _extreme("nan-at-the-label", ("nonfinite",), [[NAN, 1], [3, -1]], [0, 0]),
        _extreme("infinite", ("nonfinite",), [[-INF, 1, 2], [0.5, 0.25, 1]], [1, 0]),
        _extreme("huge-weight", ("loss-weight",), [[0.5, 1.5]], [0], weight=HUGE_WEIGHT),
    ),
    refused=(Refused("five-axes", "axes", declared={"x": (2, 3, 1, 1, 1)}),),
    misreadings=(Misreading(_BIAS, "margin", lambda bias: (-bias, 2 * bias, bias / 2, 0.0)),),
    operations=(0, 1, 1),
    equivalents=_EQUIVALENTS,
)
