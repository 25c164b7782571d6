"""Several tops, several losses: every combination of weights, the order of weights, consumed tops, deep supervision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.losses import LOSSES, Loss, Variant
from conformance.losses.nets import layer, source
from conformance.losses.values import exact
from conformance.suite.judged import bundle
from conformance.suite.stock import CLASSIFIER, CROSS_ENTROPY, DISTANCE, MARGINS

__all__ = ["checks"]

FAMILY = "multi_top"
WEIGHTS = (0.0, 1.0, -1.0, 2.5, 1e-3)
_REQUIRED = ["net.multi-top", "net.total-loss"]
_X = "force_backward: true\n" + source("x", (2, 6))
_VALUES = np.array([[0.5, -1.25, 2.0, 0.25, 1.0, -0.75], [1.5, 0.75, -0.25, -2.0, 0.125, 3.0]])


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    if losses is LOSSES:
        yield from _tops("slice-2", "Slice", 2, "slice_param { slice_point: 2 }")
        yield from _tops("slice-3", "Slice", 3, "slice_param { slice_point: 1 slice_point: 3 }")
        yield from _tops("split-2", "Split", 2, "")
        yield from _tops("split-3", "Split", 3, "")
    for loss in losses.values():
        if loss.two_tops:
            yield from (_second_top(variant) for variant in loss.variants[:2])
    if losses is LOSSES:
        yield _consumed()
        yield _siblings()
        yield _several_losses()
        yield _deep_supervision()
        yield _unlike_diffs()


def _combinations(tops: int) -> Iterator[tuple[float, ...]]:
    """No weights at all, and every combination of one per top."""
    yield ()
    yield from product(WEIGHTS, repeat=tops)


def _named(weights: Sequence[float]) -> str:
    return ",".join(f"{weight:g}" for weight in weights) or "absent"


def _tops(name: str, kind: str, count: int, options: str) -> Iterator[Check]:
    """Non-scalar tops of a layer that is no loss: each weight times the sum over all entries of its top."""
    tops = [f"t{i}" for i in range(count)]
    cases = []
    for weights in _combinations(count):
        net = _X + layer("f", kind, "x", tops, weights, options)
        cases.append((Case(f"{FAMILY}/net/{name}/{_named(weights)}", net, {"x": _VALUES}), _REQUIRED))
    yield bundle(f"{FAMILY}/net/{name}", "net", cases, needs_net=True)


def _second_top(variant: Variant) -> Check:
    """The second top of a loss: weight 0 unasked, and part of the gradient where it has one."""
    two, loss = replace(variant, tops=("loss", "prob")), variant.loss
    check_id = f"{FAMILY}/{loss.stem}/{variant.name}-two-tops"
    served = [f"{loss.stem}.softmax-top", "net.multi-top"]
    cases = [(two.case(f"{check_id}/{_named(w)}", weights=w), served) for w in _combinations(2)]
    cases += [(_softmax_read(two, f"{check_id}/{_named(w)}-read", w), served) for w in ((), (1.0, 0.0), (0.0, 0.5))]
    return bundle(check_id, loss.stem, cases, layer_types=(loss.type,))


def _softmax_read(two: Variant, case_id: str, weights: Sequence[float]) -> Case:
    """Another loss reads the second top: what it sends down is not the same for all classes, as a weight is."""
    shape = two.shapes[two.first]
    target = exact(np.linspace(0, 1, int(np.prod(shape))).round(3)).reshape(shape)
    reader = layer("reader", DISTANCE.type, ["prob", "target"], weights=(1.5,))
    fed = two.feed(two.values())
    fed["inputs"]["target"] = target
    net = two.sources() + source("target", shape) + two.layer(weights=weights) + reader
    return Case(case_id, net, **fed, forms=two.loss.forms)


_TENFOLD = "power_param { scale: 10 }"
_CONSUMERS = {
    "silence": layer("c", "Silence", ["loss"], ()),
    "power": layer("c", "Power", ["loss"], options=_TENFOLD),
    "power-weighted": layer("c", "Power", ["loss"], weights=(1.0,), options=_TENFOLD),
}


def _consumed() -> Check:
    """A loss top that another layer consumes counts once, keeps its weight, and takes the consumer's gradient."""
    cases = []
    for loss, (consumer, above), weights in product((CLASSIFIER, DISTANCE), _CONSUMERS.items(), ((), (0.0,), (3.0,))):
        learnt = replace(loss.plain, only_first=True, unforced=True)
        net = learnt.sources() + learnt.layer(weights=weights) + above
        case_id = f"{FAMILY}/net/consumed/{loss.stem}-{_named(weights)}-{consumer}"
        case = Case(case_id, net, **learnt.feed(learnt.values()), steps=("forward", "backward") * 2)
        cases.append((case, ["net.consumed-loss-top", "net.total-loss"]))
    return bundle(f"{FAMILY}/net/consumed", "net", cases, needs_net=True)


def _siblings() -> Check:
    """Consuming one weighted top leaves the other tops' weights alone."""
    cases = []
    for weights in ((2.0, 5.0), (0.5, -1.0), (1.0, 0.0)):
        slices = layer("f", "Slice", "x", ("a", "b"), weights, "slice_param { slice_point: 2 }")
        net = _X + slices + layer("c", "Silence", "a", ())
        cases.append(
            (
                Case(f"{FAMILY}/net/siblings/{_named(weights)}", net, {"x": _VALUES}),
                ["net.sibling-weights", "net.total-loss"],
            )
        )
    return bundle(f"{FAMILY}/net/siblings", "net", cases, needs_net=True)


def _several_losses() -> Check:
    """Losses on one blob: each loss counts with its weight, and the gradients add."""
    cases = []
    losses = [loss.plain for loss in (CLASSIFIER, MARGINS, CROSS_ENTROPY)]
    labelled, _, targeted = losses
    for weights in ((1.0, -1.0, 0.25), (0.3, 0.3, 1.0), (2.5, 0.0, 1.0)):
        net = labelled.sources() + targeted.source(targeted.loss.answer.name)
        net += "".join(
            variant.layer(name=f"loss{i}", weights=(weight,))
            for i, (variant, weight) in enumerate(zip(losses, weights, strict=True))
        )
        inputs = {**targeted.values(), **labelled.values()}
        cases.append((Case(f"{FAMILY}/net/one-blob/{_named(weights)}", net, inputs), ["net.split", "net.total-loss"]))
    return bundle(f"{FAMILY}/net/one-blob", "net", cases, needs_net=True)


def _deep_supervision() -> Check:
    """Three classifiers at growing depth, as GoogLeNet weights them: each trunk gets all heads' gradients."""
    rng = np.random.default_rng(7)
    cases = []
    for weights in ((0.3, 0.3, 1.0), (0.0, 0.0, 1.0), (1.0, 0.0, -0.5)):
        net = source("x", (3, 4)) + source("y", (3,))
        params: dict[str, tuple[Array, ...]] = {}
        below, width = "x", 4
        for i, weight in enumerate(weights):
            net += layer(f"t{i}", "InnerProduct", [below], options="inner_product_param { num_output: 3 }")
            net += layer(f"r{i}", "ReLU", [f"t{i}"], [f"t{i}"])
            net += layer(f"c{i}", "InnerProduct", [f"t{i}"], options="inner_product_param { num_output: 4 }")
            net += layer(f"loss{i}", CLASSIFIER.type, [f"c{i}", "y"], weights=(weight,))
            params[f"t{i}"] = (rng.integers(-16, 32, (3, width)) / 16, rng.integers(-8, 24, 3) / 16)
            params[f"c{i}"] = (rng.integers(-16, 17, (4, 3)) / 16, rng.integers(-8, 9, 4) / 16)
            below, width = f"t{i}", 3
        inputs = {"x": rng.integers(-32, 33, (3, 4)) / 16, "y": np.array([3.0, 0.0, 2.0])}
        cases.append(
            (
                Case(f"{FAMILY}/net/deep/{_named(weights)}", net, inputs, params=params),
                ["net.split", "net.total-loss", "net.parameter-gradient", "net.who-runs-backward"],
            )
        )
    return bundle(f"{FAMILY}/net/deep", "net", cases, needs_net=True)


def _unlike_diffs() -> Check:
    """Layers around a loss whose tops' diffs are all unlike: three factors, rows added up, ten readers of a blob."""
    rng = np.random.default_rng(12)
    a, b, c, target = (exact(rng.random((2, 6)) * 4 - 2) for _ in range(4))
    inputs = {"x": a, "b": b, "c": c, "z": target}
    factors = _X + source("b", a.shape) + source("c", a.shape) + source("z", a.shape)
    product_ = layer("f", "Eltwise", ["x", "b", "c"], options="eltwise_param { operation: PROD }")
    rows = layer("f", "Reduction", ["x"], options="reduction_param { operation: SUMSQ axis: 1 coeff: 0.75 }")
    readers = "".join(
        layer(f"p{i}", "Power", ["x"], weights=(0.25 * i - 1,), options=f"power_param {{ power: 2 shift: {i / 4} }}")
        for i in range(10)
    )
    nets = {
        "three-factors": (factors + product_ + layer("loss", DISTANCE.type, ["f", "z"]), inputs, "layer.Eltwise"),
        "rows-added-up": (
            _X + source("r", (2,)) + rows + layer("loss", DISTANCE.type, ["f", "r"]),
            {"x": a, "r": exact([0.75, -2.5])},
            "layer.Reduction",
        ),
        "ten-readers": (_X + readers, {"x": a}, "net.split"),
    }
    check_id = f"{FAMILY}/net/unlike-diffs"
    cases = [
        (Case(f"{check_id}/{name}", net, fed), [requirement, "net.total-loss"])
        for name, (net, fed, requirement) in nets.items()
    ]
    return bundle(check_id, "net", cases, needs_net=True, layer_types=("Eltwise", "Reduction", "Split"))
