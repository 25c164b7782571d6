"""CtcLoss: what the suite knows of it beside its formula (`refimpl.layers.ctc_loss`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance.contract.case import Array
from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, LargeCount, QuirkNet, Refused
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.nets import layer, source
from conformance.losses.options import Options
from conformance.losses.roles import Sequence, Shape, Spelling
from conformance.losses.values import FORMULA, HUGE_WEIGHT, NAN, SUBNORMAL, exact
from conformance.losses.variant import Variant
from refimpl.layers.ctc_loss import CtcLoss

__all__ = ["LOSS"]

_BLANK, _TIMES = "ctc_loss_param.blank_label", "ctc_loss_param.time_step"
_ALPHABET = "ctc_loss_param.alphabet_size"
_CPP = "jolibrain/caffe@23928c02 src/caffe/layers/ctc_loss_layer.cpp"


class _Ctc(Loss):
    """Its layer is made for so many times and symbols, and refuses a batch without any label."""

    def smallest(self, variant: Variant, seed: int) -> tuple[Variant, dict[str, Array]]:
        single = variant.batch(1)
        return single, single.values(seed)


def _needs(shape: Shape) -> Options:
    """As many times and symbols as the activations have."""
    times, _, symbols = Sequence().shape(shape, None)
    return {_ALPHABET: symbols, _TIMES: times}


def _spelling(*rows: tuple[float, ...]) -> Any:
    """Labels drawn as these, over and over."""
    return lambda rng, shape, classes: np.resize(np.array(rows, np.float64), shape)


def _published() -> Iterator[Published]:
    yield Published("plain", (4, 5))
    yield Published("one-sequence", (1, 4))
    yield Published("one-time", (1, 3, 4), shapes={"y": (3, 1)}, fill={"y": _spelling((2.0,), (1.0,), (3.0,))})
    yield Published("long", (9, 2, 4), shapes={"y": (2, 4)}, fill={"y": _spelling((1, 3, 2, 3), (2, 1, 0, 0))})
    yield Published("repeated", (6, 2, 3), shapes={"y": (2, 3)}, fill={"y": _spelling((2, 2, 1), (1, 1, 1))})
    yield Published("cannot-be-spelled", (3, 3, 3), shapes={"y": (3, 2)}, fill={"y": _spelling((1, 1), (2, 2), (1, 2))})
    yield Published("too-long", (2, 2, 4), shapes={"y": (2, 3)}, fill={"y": _spelling((1, 2, 3), (3, 0, 0))})
    yield Published("nothing-said", (4, 2, 3), fill={"y": _spelling((0, 0), (0, 2))})
    yield Published(
        "blanks-between", (5, 2, 4), shapes={"y": (2, 4)}, fill={"y": _spelling((1, 0, 0, 2), (0, 3, 0, 1))}
    )
    yield Published("last-is-blank", (4, 3, 4), {_BLANK: 3}, fill={"y": _spelling((0, 2), (1, 3), (3, 0))})
    yield Published("further-times", (6, 2, 3), {_TIMES: 4})


def _extreme(name: str, facets: tuple[str, ...], x: Any, y: Any, **fields: Any) -> Extreme:
    return Extreme(name, facets, (exact(x), exact(y)), **fields)


def _large_count(terms: int) -> LargeCount:
    return LargeCount((np.zeros((1, terms, 2)), np.ones((terms, 1))), float(np.log(2.0)))


def _scratch() -> Iterator[QuirkNet]:
    """A second backward, and a loss beside it that weighs nothing."""
    x, y = np.random.default_rng(19).integers(-8, 9, (3, 2, 3)) / 4, np.array([[1.0, 2.0], [2.0, 0.0]])
    options = f"ctc_loss_param {{ alphabet_size: 3 time_step: {len(x)} }}"
    net = "force_backward: true\n" + source("x", x.shape) + source("y", y.shape)
    net += layer("loss", CtcLoss.type, ["x", "y"], weights=(2.5,), options=options)
    fed: dict[str, Any] = {"inputs": {"x": x, "y": y}}
    yield QuirkNet("ctc-scratch", net, fields={**fed, "steps": ("forward", "backward", "backward")})


_EQUIVALENTS = {
    "torch": """
def loss(x, y, ignored):
    logs = F.log_softmax(x, 2)
    counts = (y != 0).sum(1)
    packed = torch.cat([row[row != 0] for row in y])
    times = torch.full_like(counts, len(x))
    each = F.ctc_loss(logs, packed, times, counts, blank=0, reduction="none", zero_infinity=True)
    return each.mean().detach() + each.sum() - each.sum().detach()  # the gradient lacks the 1/N
""",
}

LOSS = _Ctc(
    layer=CtcLoss,
    profile="sequence",
    forward="The top of CtcLoss is the mean over the sequences of minus the logarithm of the probability of all paths "
    "that spell their labels, 0 where no path of time_step symbols does.",
    backward="CtcLoss's gradient is the softmax of the activations less how likely each symbol is at each time given "
    "the labels, times the top's diff; the derivative has a 1/N beside it.",
    bottoms=(Bottom("x", Sequence(classes_on=-1), learns=True), Bottom("y", Spelling(of="x", classes=_ALPHABET))),
    needs=_needs,
    traits=frozenset({"rows", "shift-invariant", "saturates"}),
    requirements=(
        Requirement(
            "ctc_loss.paths",
            "CtcLoss sums over the paths that give the labels when equal neighbours are merged and blanks dropped.",
            MUST,
            f"{_CPP} Forward_cpu; include/caffe/3rdparty/detail/cpu_ctc.h",
        ),
        Requirement(
            "ctc_loss.blank",
            "CtcLoss takes the symbol blank_label, 0 unless given, for the blank, and leaves it out of the labels "
            "wherever it stands.",
            MUST,
            f"{_CPP} LayerSetUp, Forward_cpu",
        ),
        Requirement(
            "ctc_loss.impossible",
            "A sequence whose labels no path can spell has the cost 0 and the gradient 0, and is counted.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
    ),
    published=tuple(_published()),
    extremes=(
        _extreme("equal", ("paths", *FORMULA), np.full((4, 2, 3), 0.75), [[1, 2], [2, 2]]),
        _extreme("cannot-be-spelled", ("impossible",), np.eye(3)[None].repeat(2, 0), [[1, 1], [1, 2], [2, 2]]),
        _extreme("blank-in-the-middle", ("blank",), [[[1, 2, 3]], [[0, 1, 0]], [[2, 0, 1]]], [[1, 0, 2]]),
        _extreme("subnormal", FORMULA, [[[SUBNORMAL, 0, -SUBNORMAL]], [[-0.0, 0, 1e-42]]], [[1, 0]]),
        _extreme("certain", ("saturation",), [[[0, 40, 0]], [[0, 0, 60]]], [[1, 2]]),
        _extreme(
            "rows-far-apart", ("saturation", *FORMULA), [[[1e4, 1e4 + 2, 1e4]], [[-1e4, 1 - 1e4, -1e4]]], [[1, 0]]
        ),
        _extreme("nan-beside-impossible", ("impossible",), [[[NAN, 1, 2], [1, 2, 0]]], [[1, 1], [1, 0]]),
        _extreme("huge-weight", ("loss-weight",), np.full((2, 1, 3), 0.75), [[1, 2]], weight=HUGE_WEIGHT),
    ),
    quirk_nets=tuple(_scratch()),
    large_count=_large_count,
    refused=(
        Refused("no-label-at-all", "label-count", "forward"),
        Refused("labels-of-one-axis", "axes", declared={"y": (2,)}),
        Refused("too-few-times", "axes", options={_TIMES: 5}),
        Refused("another-alphabet", "axes", options={_ALPHABET: 2}),
    ),
    operations=(2, 12, 4),
    equivalents=_EQUIVALENTS,
)
