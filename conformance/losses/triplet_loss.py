"""TripletLoss: what the suite knows of it beside its formula (`refimpl.layers.triplet_loss`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance.contract.case import Array
from conformance.contract.dtypes import FLOAT
from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import Extreme, FormNet, LargeCount, Misreading, QuirkNet, Refused
from conformance.losses.expression import number, own
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.nets import layer, source
from conformance.losses.options import Options
from conformance.losses.roles import Counterpart, Scores, Shape
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, Rows, exact
from refimpl.layers.triplet_loss import TripletLoss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_MARGIN = "triplet_loss_param.margin"
_CPP = "happynear/caffe-windows@967eedf2 src/caffe/layers/triplet_loss_layer.cpp"


def _close(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
    """Little ones, so that every triplet is inside the margin."""
    return rng.integers(-16, 17, size=shape) / 64.0


def _published() -> Iterator[Published]:
    close = {name: _close for name in ("a", "p", "n")}
    for name, options in (("plain", {}), ("margin", {_MARGIN: 3.5}), ("no-margin", {_MARGIN: 0.0})):
        yield Published(name, (5, 4), options)
        yield Published(f"{name}-4d", (3, 2, 1, 1), options)
    yield Published("inside-margin", (4, 3), {_MARGIN: 2.0}, fill=close)
    yield Published("one-sample", (1, 3), {_MARGIN: 20.0})


def _extreme(name: str, facets: tuple[str, ...], a: Rows, p: Rows, n: Rows, margin: float, **fields: Any) -> Extreme:
    options: Options = {_MARGIN: margin}
    return Extreme(name, facets, (exact(a), exact(p), exact(n)), options, **fields)


def _large_count(terms: int) -> LargeCount:
    tenth = float(FLOAT.rounded(0.1))
    column = np.ones((terms, 1))
    return LargeCount((0 * column, tenth * column, tenth * column), 0.5)


def _grown() -> QuirkNet:
    """A thousand times the declared batch: little enough to send, too much to fit by chance."""
    a, p, n = (np.random.default_rng(12).integers(-64, 65, (3, 4000, 4)) * 2 + 1) / 64
    net = "force_backward: true\n" + "".join(source(name, (4, 4)) for name in "apn")
    net += layer("loss", TripletLoss.type, ["a", "p", "n"], options="triplet_loss_param { margin: 2 }")
    return QuirkNet("triplet-buffers-sized-once", net, fields={"inputs": {"a": a, "p": p, "n": n}}, undefined=True)


def _form_nets() -> Iterator[FormNet]:
    """Three bottoms or four, and one batch in which the triplets are found, given by indices, or lie in groups."""
    rng = np.random.default_rng(5)
    a, p, n, x = (rng.integers(-12, 13, (6, 3)) / 8.0 for _ in "apnx")
    three = {"a": a, "p": p, "n": n}
    for name, further in (("three", {}), ("four", {"s": np.array([0.5, 2.0, 1.0, 3.0, 0.25, 4.0])})):
        yield FormNet(name, {**three, **further}, "apn")
        for option in ("margin", "alpha"):
            yield FormNet(f"{name}-{option}", {**three, **further}, "apn", f"triplet_loss_param {{ {option}: 3.5 }}")
    image = {bottom: array.reshape(3, 2, 3, 1) for bottom, array in three.items()}
    yield FormNet("spatial", image, "apn")
    little = 2.0**-20 * np.eye(3)
    barely = {"a": 0 * little[:1], "p": little[:1], "n": little[1:2]}
    yield FormNet("barely-active", barely, "apn", "triplet_loss_param { margin: 5e-10 }")
    for name, second in (
        ("labels", {"y": np.array([2.0, 2.0, 2.0, 0.0, 1.0, 0.0])}),
        ("indices", {"i": np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])}),
        ("indices-shared", {"i": np.array([[0.0, 1.0, 2.0], [1.0, 4.0, 0.0], [5.0, 1.0, 3.0]])}),
        ("groups", {}),
    ):
        yield FormNet(name, {"x": x, **second}, "x")
        yield FormNet(f"{name}-margin", {"x": x, **second}, "x", "triplet_loss_param { margin: 3.5 }")
    eight = {"x": rng.integers(-12, 13, (8, 3)) / 8.0}
    yield FormNet("groups-of-four", eight, "x", "triplet_loss_param { margin: 3.5 num_triplets: 4 }")


_EQUIVALENTS = {
    "torch": """
def loss(a, p, n, ignored):
    a, p, n = a.flatten(1), p.flatten(1), n.flatten(1)
    return F.relu(1 + ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1)).sum() / (2 * len(a))
""",
    "jax": """
def loss(a, p, n, ignored):
    a, p, n = a.reshape(len(a), -1), p.reshape(len(a), -1), n.reshape(len(a), -1)
    return jnp.maximum(1 + ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1), 0).sum() / (2 * len(a))
""",
}

_TORCH_LAYER = """\
# relu(margin + squared distance - squared distance), not triplet_margin_loss, which takes roots.
def tops(bottom, param):
    a, p, n = (blob.reshape(len(blob), -1) for blob in bottom[:3])
    apart = own(param, "triplet_loss_param").margin + ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1)
    return [F.relu(apart).sum() / (2 * len(a))]
"""


def _expression(param: LayerParameter) -> str:
    margin = own(param, TripletLoss, "triplet_loss_param").margin
    return f"""a, p, n = a.flatten(1), p.flatten(1), n.flatten(1)
apart = {number(margin)} + (a - p).square().sum(1) - (a - n).square().sum(1)
F.relu(apart).sum() / (2 * len(a))"""


LOSS = Loss(
    layer=TripletLoss,
    profile="faces",
    forward="The top of TripletLoss is the sum of max(0, margin + ||a - p||^2 - ||a - n||^2) over twice the batch "
    "size.",
    backward="TripletLoss's gradients of an active triplet are n - p, p - a and a - n, times the top's diff over the "
    "batch size.",
    bottoms=(
        Bottom("a", Scores(), learns=True),
        Bottom("p", Counterpart(of="a"), learns=True),
        Bottom("n", Counterpart(of="a"), learns=True),
    ),
    options={_MARGIN: (1.0, 3.5, 0.0, -0.5)},
    traits=frozenset({"batch-mean", "flat", "margin", "sized-once"}),
    requirements=(
        Requirement(
            "triplet_loss.margin",
            "TripletLoss's margin is triplet_loss_param.margin, 1 where unset, and a triplet beyond it adds nothing.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
        Requirement(
            "refusal.spatial-triplets",
            "TripletLoss with bottoms of a height or width other than 1 is refused.",
            MUST,
            f"{_CPP} LayerSetUp",
            "2",
        ),
        Requirement(
            "refusal.triplet-shape",
            "TripletLoss with an anchor, a positive and a negative of several lengths or numbers is refused.",
            MUST,
            f"{_CPP} LayerSetUp",
            "2",
        ),
    ),
    published=tuple(_published()),
    extremes=(
        _extreme("inactive", ("margin", *FORMULA), [[0, 0], [1, 1]], [[0, 0.5], [1, 1]], [[3, 0], [-2, 5]], 1),
        _extreme("all-equal", ("margin", *FORMULA), [[1, 2]] * 2, [[1, 2]] * 2, [[1, 2]] * 2, 1),
        _extreme("beside-margin", ("margin",), [[0, 0]] * 2, [[0, 0]] * 2, [[1 - 2.0**-12, 0], [1 + 2.0**-12, 0]], 1),
        _extreme("negative-margin", ("margin",), [[0, 0]] * 2, [[2, 0], [0.5, 0]], [[1, 0], [1, 0]], -1),
        _extreme("far", FORMULA, [[1e4, -1e4]], [[1e4 + 1, -1e4]], [[1e4, -1e4 + 2]], 9),
        _extreme("overflow", ("nonfinite",), [[1e20, 0], [1, 0]], [[-1e20, 0], [0, 0]], [[1e20, 0], [1, 1]], 1),
        _extreme("nan", ("nonfinite",), [[NAN, 0.25], [0, 1]], [[0.5, 0.25], [1, 1]], [[0, 0], [0.5, 1]], 1),
        _extreme("infinite", ("nonfinite",), [[INF, 0.25], [0, 1]], [[0.5, 0.25], [1, 1]], [[0, 0], [0.5, 1]], 1),
        _extreme("huge-weight", ("loss-weight",), [[0, 0]], [[1, 0]], [[0, 1]], 1, weight=HUGE_WEIGHT),
    ),
    large_count=_large_count,
    refused=(
        *(
            Refused(f"{name}-triplets", "spatial-triplets", declared=dict.fromkeys("apn", shape))
            for name, shape in (("high", (2, 3, 2, 1)), ("wide", (2, 3, 1, 2)))
        ),
        Refused("positives-of-another-length", "triplet-shape", declared={"p": (2, 4)}),
        Refused("negatives-of-another-length", "triplet-shape", declared={"n": (2, 4)}),
        Refused("negatives-of-another-number", "triplet-shape", declared={"n": (3, 3)}),
        Refused("five-axes", "axes", declared=dict.fromkeys("apn", (2, 3, 1, 1, 1))),
    ),
    quirk_nets=(_grown(),),
    form_nets=tuple(_form_nets()),
    misreadings=(Misreading(_MARGIN, "margin", lambda margin: (margin**2, 2 * margin, margin / 2, 0.0)),),
    operations=(0, 8, 1),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    batches=2,
    expression=_expression,
)
