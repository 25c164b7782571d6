"""What holds for all seven loss layers: gradients, error bounds, weights, labels, overwriting, empty batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance.contract.case import Case, array_from_json
from conformance.judge.reference import build, run_steps
from refimpl.dialect import DEPARTURES, QUIRKS, Dialect
from refimpl.errors import NetError
from refimpl.layers import REGISTRY
from refimpl.net import Net
from refimpl.running_error import Rounding
from tests.recorded import recordings
from tests.small_nets import layer, net_of, run

FLOAT32 = {"unit": 2.0**-24, "tiny": 2.0**-126, "huge": float(np.finfo(np.float32).max)}
X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]])
Y = np.array([2.0, 0.0])
T = np.array([[0.0, 1.0, 0.3], [1.0, 0.7, 0.0]])
P = np.array([[0.2, 0.3, 0.5], [0.7, 0.1, 0.2]])
H = np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.3], [0.1, 0.0, 2.0]])
MAPS = np.linspace(-3, 2, 24).reshape(2, 3, 4) ** 3 / 4
MAP_LABELS = np.array([[0.0, 2, 1, 255], [1, 1, 2, 0]])
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "SoftmaxWithLoss": (layer("SoftmaxWithLoss", "", "x y"), {"x": X, "y": Y}),
    "SoftmaxWithLoss, maps": (
        layer("SoftmaxWithLoss", "loss_param { ignore_label: 255 normalization: FULL }", "x y"),
        {"x": MAPS, "y": MAP_LABELS},
    ),
    "SoftmaxWithLoss, last axis": (
        layer("SoftmaxWithLoss", "softmax_param { axis: -1 } loss_param { normalize: false }", "x y"),
        {"x": MAPS, "y": np.array([[0.0, 3, 1], [2, 2, 1]])},
    ),
    "SigmoidCrossEntropyLoss": (layer("SigmoidCrossEntropyLoss", "", "x t0"), {"x": X, "t0": T}),
    "SigmoidCrossEntropyLoss, ignoring": (
        layer("SigmoidCrossEntropyLoss", "loss_param { ignore_label: 1 normalization: VALID }", "x t0"),
        {"x": 2 * X, "t0": T},
    ),
    "EuclideanLoss": (layer("EuclideanLoss", "", "a b"), {"a": X, "b": T}),
    "HingeLoss, L1": (layer("HingeLoss", "", "x y"), {"x": X / 3, "y": Y}),
    "HingeLoss, L2": (layer("HingeLoss", "hinge_loss_param { norm: L2 }", "x y"), {"x": X, "y": Y}),
    "MultinomialLogisticLoss": (layer("MultinomialLogisticLoss", "", "p y"), {"p": P, "y": Y}),
    "ContrastiveLoss": (
        layer("ContrastiveLoss", "contrastive_loss_param { margin: 2.5 }", "a b s"),
        {"a": X, "b": T, "s": np.array([0.0, 0.0])},
    ),
    "ContrastiveLoss, legacy": (
        layer("ContrastiveLoss", "contrastive_loss_param { margin: 12 legacy_version: true }", "a b s"),
        {"a": X, "b": T, "s": np.array([1.0, 0.0])},
    ),
}
INFOGAIN = 'layer { name: "n" type: "InfogainLoss" bottom: "x" bottom: "y" bottom: "h" top: "t" loss_weight: 2 %s }'
WITH_MATRIX: dict[str, tuple[str, dict[str, Any]]] = {
    "InfogainLoss": (INFOGAIN % "", {"x": X, "y": Y, "h": H}),
    "InfogainLoss, maps": (INFOGAIN % "loss_param { ignore_label: 255 }", {"x": MAPS, "y": MAP_LABELS, "h": -H}),
}
ALL = {**LOSSES, **WITH_MATRIX}
DATA = {"x", "p", "a", "b"}


def true_derivatives(name: str = "documented") -> Dialect:
    return Dialect(name, (), DEPARTURES)


def bvlc() -> Dialect:
    """BVLC Caffe, but for its refusal of the forced gradients that these nets ask for."""
    return Dialect("bvlc", QUIRKS.keys() - {"infogain-matrix-forced"})


def backward(text: str, inputs: dict[str, Any], dtype: Any = "float64", dialect: Any = None) -> Net:
    return run(text, inputs, dtype, dialect or true_derivatives())


def complex_step(text: str, inputs: dict[str, Any], name: str) -> np.ndarray:
    """The derivative of the net's total to one input, entry by entry."""
    net = net_of(text, inputs, "complex128", true_derivatives())
    derivative = np.zeros(np.shape(inputs[name]))
    for index in np.ndindex(*derivative.shape):
        net.blobs[name].data[index] += 1e-30j
        derivative[index] = net.forward().imag / 1e-30
        net.blobs[name].data[index] = net.blobs[name].data[index].real
    return derivative


def test_every_loss_layer_is_here() -> None:
    types = {name.partition(",")[0] for name in ALL}
    assert types == {kind for kind, made in REGISTRY.items() if made.implicit_weight and not made.forms}
    assert len(types) == 7


@pytest.mark.parametrize("name", ALL)
def test_the_gradient_is_the_derivative_of_the_reported_total(name: str) -> None:
    text, inputs = ALL[name]
    net = backward(text, inputs)
    for x in DATA & inputs.keys():
        assert net.blobs[x].diff.any()
        np.testing.assert_allclose(net.blobs[x].diff, complex_step(text, inputs, x), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ALL)
def test_the_gradient_is_proportional_to_the_diff_of_the_top(name: str) -> None:
    text, inputs = ALL[name]
    one, other = (net_of(text, inputs) for _ in range(2))
    for net, diff in ((one, 1.0), (other, -0.375)):
        net.forward()
        net.blobs["t"].diff[...] = diff
        net.backward()
    for x in DATA & inputs.keys():
        np.testing.assert_allclose(other.blobs[x].diff, -0.375 * one.blobs[x].diff, rtol=1e-15)


@pytest.mark.parametrize("dialect", [lambda: "documented", bvlc], ids=["documented", "bvlc"])
@pytest.mark.parametrize("name", ALL)
def test_backward_overwrites_and_repeats_and_leaves_labels_alone(name: str, dialect: Callable[[], Any]) -> None:
    text, inputs = ALL[name]
    clean, dirty = net_of(text, inputs, dialect=dialect()), net_of(text, inputs, dialect=dialect())
    for x in inputs:
        dirty.blobs[x].diff[...] = np.nan if x in DATA else 7
    for net, passes in ((clean, ["forward", "backward"]), (dirty, ["forward", "forward", "backward"])):
        for step in passes:
            getattr(net, step)()
    for x in inputs:
        expected = clean.blobs[x].diff if x in DATA else 7
        np.testing.assert_array_equal(dirty.blobs[x].diff, np.broadcast_to(expected, np.shape(inputs[x])))
        np.testing.assert_array_equal(dirty.blobs[x].data, inputs[x])


@pytest.mark.parametrize("name", ALL)
def test_the_implicit_weight_is_one(name: str) -> None:
    text, inputs = ALL[name]
    net = net_of(text.replace("loss_weight: 2", ""), inputs)
    assert net.forward() == net.blobs["t"].data == 0.5 * net_of(text, inputs).forward()
    assert net.blobs["t"].diff == 1
    assert net.blobs["t"].shape == ()


@pytest.mark.parametrize("name", ALL)
def test_a_weight_of_zero_keeps_the_loss_out_and_the_gradient_zero_even_beside_nan(name: str) -> None:
    text, inputs = ALL[name]
    broken = {x: np.where(np.arange(value.size).reshape(value.shape) == 0, np.nan, value) if x in DATA else value
              for x, value in inputs.items()}  # fmt: skip
    net = run(text.replace("loss_weight: 2", "loss_weight: 0"), broken)
    assert net.forward() == 0
    for x in DATA & inputs.keys() - {"p"}:
        assert not net.blobs[x].diff.any()


@pytest.mark.parametrize("name", ALL)
def test_an_automatic_top_counts(name: str) -> None:
    text, inputs = ALL[name]
    net = net_of(text.replace('top: "t" loss_weight: 2', ""), inputs)
    assert net.forward() == net.blobs["(automatic)"].data == 0.5 * net_of(text, inputs).forward()
    assert net.outputs == []


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith(("Euclidean", "Contrastive"))])
def test_a_label_that_needs_a_gradient_is_refused_in_backward(name: str) -> None:
    text, inputs = ALL[name]
    copied = text.replace('bottom: "y"', 'bottom: "z"').replace('bottom: "t0"', 'bottom: "z"')
    source = "y" if "y" in inputs else "t0"
    scale = f'layer {{ name: "s" type: "Bias" bottom: "{source}" top: "z" bias_param {{ axis: 0 }} }}'
    net = net_of(scale + copied, inputs)
    net.forward()
    with pytest.raises(NetError, match="label") as refusal:
        net.backward()
    assert (refusal.value.stage, refusal.value.layer) == ("backward", "n")


@pytest.mark.parametrize("name", ALL)
def test_first_dimensions_must_agree(name: str) -> None:
    text, inputs = ALL[name]
    second = [x for x in inputs if x != "h"][1]
    longer = {**inputs, second: np.concatenate([inputs[second], inputs[second][:1]])}
    with pytest.raises(NetError, match="first dimension") as refusal:
        net_of(text, longer)
    assert refusal.value.stage == "setup"


@pytest.mark.parametrize("name", ALL)
def test_a_batch_of_nothing_is_refused(name: str) -> None:
    text, inputs = ALL[name]
    with pytest.raises(NetError, match="empty batch") as refusal:
        net_of(text, {x: value if x == "h" else value[:0] for x, value in inputs.items()}).forward()
    assert refusal.value.stage == ("setup" if name.startswith(("Softmax", "Infogain")) else "forward")


@pytest.mark.parametrize("name", ALL)
def test_a_batch_that_shrinks_and_grows_back_is_followed(name: str) -> None:
    text, inputs = ALL[name]
    net = net_of(text, inputs, dialect=bvlc())
    first = net.forward()
    for rows in (1, 2):
        for x, value in inputs.items():
            if x != "h":
                net.blobs[x].reshape(*value[:rows].shape)
                net.blobs[x].data[...] = value[:rows]
        part = {x: value if x == "h" else value[:rows] for x, value in inputs.items()}
        assert net.forward() == net_of(text, part).forward()
        net.backward()
        again = run(text, part)
        for x in DATA & inputs.keys():
            np.testing.assert_array_equal(net.blobs[x].diff, again.blobs[x].diff)
    assert net.forward() == first


@pytest.mark.parametrize("bad", [3.0, -1.0, np.nan, np.inf, 1e9])
@pytest.mark.parametrize("name", ["SoftmaxWithLoss", "HingeLoss, L1", "MultinomialLogisticLoss", "InfogainLoss"])
def test_a_label_that_is_no_class_is_refused_with_its_place(name: str, bad: float) -> None:
    text, inputs = ALL[name]
    with pytest.raises(NetError, match=r"label -?\d+ at \(1,\) is outside 0\.\.2") as refusal:
        net_of(text, {**inputs, "y": np.array([0, bad])}).forward()
    assert refusal.value.stage == "forward"


@pytest.mark.parametrize("name", ["SoftmaxWithLoss", "HingeLoss, L2", "MultinomialLogisticLoss", "InfogainLoss"])
def test_labels_truncate_toward_zero_and_are_read_live(name: str) -> None:
    text, inputs = ALL[name]
    assert net_of(text, {**inputs, "y": np.array([2.9, -0.999])}).forward() == net_of(text, inputs).forward()
    net = net_of(text, inputs)
    net.forward()
    net.blobs["y"].data[...] = [0, 1]
    net.backward()
    other = run(text, {**inputs, "y": np.array([0.0, 1.0])})
    x = next(iter(DATA & inputs.keys()))
    np.testing.assert_array_equal(net.blobs[x].diff, other.blobs[x].diff)


@pytest.mark.parametrize("option", ["ignore_label: 0", "normalization: NONE", "normalize: false"])
@pytest.mark.parametrize(
    "name", ["HingeLoss, L1", "MultinomialLogisticLoss", "EuclideanLoss", "ContrastiveLoss", "ContrastiveLoss, legacy"]
)
def test_loss_param_means_nothing_to_four_of_them(name: str, option: str) -> None:
    text, inputs = ALL[name]
    assert net_of(text[:-2] + f"loss_param {{ {option} }} }}", inputs).forward() == net_of(text, inputs).forward()


@pytest.mark.parametrize("tops", ["t u", "t u v"])
@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith(("Softmax", "Infogain"))])
def test_five_of_them_take_one_top(name: str, tops: str) -> None:
    text, inputs = ALL[name]
    more = " ".join(f'top: "{top}"' for top in tops.split()[1:])
    with pytest.raises(NetError, match="exactly 1 top") as refusal:
        net_of(text.replace('top: "t"', f'top: "t" {more}'), inputs)
    assert refusal.value.stage == "setup"


@pytest.mark.parametrize("name", ["HingeLoss, L1", "MultinomialLogisticLoss", "EuclideanLoss"])
def test_five_axes_are_refused_at_forward(name: str) -> None:
    text, inputs = ALL[name]
    first, second = list(inputs)
    deep = {first: inputs[first].reshape(2, 3, 1, 1, 1), second: inputs[second]}
    with pytest.raises(NetError, match="5 axes") as refusal:
        net_of(text, deep).forward()
    assert refusal.value.stage == "forward"


# Error bounds


@pytest.mark.parametrize("name", ALL)
def test_the_bound_comes_with_the_value_and_is_tight(name: str) -> None:
    text, inputs = ALL[name]
    exact, bounded = backward(text, inputs), backward(text, inputs, Rounding(**FLOAT32))
    arrays = [(bounded.blobs["t"].data, exact.blobs["t"].data)]
    arrays += [(bounded.blobs[x].diff, exact.blobs[x].diff) for x in DATA & inputs.keys()]
    for approx, value in arrays:
        np.testing.assert_array_equal(approx.value, value)
        assert (approx.error[value != 0] > 0).all()
        assert (approx.error <= 60 * 2.0**-24 * max(np.abs(value).max(), 0.1)).all()


def test_the_bounds_accept_every_recorded_float32_outcome_layer_by_layer() -> None:
    seen: Counter[str] = Counter()
    outside: list[str] = []
    for fixture in recordings():
        case, want = Case.from_json(fixture["id"], fixture["case"]), fixture["expected"]["float32"]
        if "error" in want or len(case.steps) > 2:
            continue
        net = build(case, dialect="bvlc", dtype=Rounding(**FLOAT32))
        run_steps(net, case)
        for node in net.layers:
            if REGISTRY[node.type].implicit_weight and want["data"].keys() >= {*node.bottoms, *node.tops}:
                seen[node.type] += 1
                outside += [f"{case.id}: {what}" for what in _outside(net, node, want)]
    assert outside == []
    assert len(seen) == 7
    assert sum(seen.values()) > 700


def _outside(net: Net, node: Any, want: dict[str, Any]) -> list[str]:
    """The blobs of a layer, run on what was recorded below it, that are not within the bound of what was recorded."""
    bottom, top = net.bottoms_of(node), net.tops_of(node)
    for name, made in zip(node.bottoms, bottom, strict=True):
        made.data[...] = array_from_json(want["data"][name])
    with np.errstate(all="ignore"):
        node.layer.run_forward(bottom, top)
        for name, made in zip(node.tops, top, strict=True):
            made.diff[...] = array_from_json(want["diff"][name])
        checks = [(f"{name}.data", made.data, want["data"][name]) for name, made in zip(node.tops, top, strict=True)]
        if node.need_backward:
            node.layer.backward(top, node.bottom_need_backward, bottom)
            for name, made, wanted in zip(node.bottoms, bottom, node.bottom_need_backward, strict=True):
                checks += [(f"{name}.diff", made.diff, want["diff"][name])] if wanted else []
    found = []
    for what, approx, recorded in checks:
        value, expected = np.where(np.isfinite(approx.value), approx.value, 0), array_from_json(recorded)
        same = np.array_equal(np.isnan(approx.value), np.isnan(expected))
        error = np.abs(value - np.where(np.isfinite(expected), expected, 0))
        if not same or not (error <= approx.error).all():
            found.append(what)
    return found


def softmax_losses_in_float32(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Usual ways to evaluate a softmax loss and its gradient in single precision."""
    shifted = x - x.max(1, keepdims=True)
    powers = np.exp(shifted)
    p = powers / powers.sum(1, keepdims=True)
    rows = np.arange(len(y))
    scale = np.float32(1) / np.float32(len(y))
    hot = np.zeros_like(x)
    hot[rows, y] = 1
    return {
        "log of the softmax": -np.log(np.maximum(p[rows, y], np.float32(2.0**-126))).sum() * scale,
        "log-softmax": np.minimum(np.log(powers.sum(1)) - shifted[rows, y], np.float32(87.33655)).mean(),
        "diff, scaled last": (p - hot) * scale,
        "diff, scaled first": p * scale - hot * scale,
    }


@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_softmax_bounds_accept_the_usual_formulas(spread: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        x = (spread * rng.standard_normal((4, 10))).astype(np.float32)
        y = rng.integers(0, 10, 4)
        net = run(layer("SoftmaxWithLoss", "", "x y", weight=""), {"x": x, "y": y}, Rounding(**FLOAT32))
        for name, got in softmax_losses_in_float32(x, y).items():
            approx = net.blobs["x"].diff if name.startswith("diff") else net.blobs["t"].data
            assert got.dtype == np.float32
            assert (np.abs(got - approx.value) <= approx.error).all(), name


@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_sigmoid_bounds_accept_the_usual_formulas(spread: float) -> None:
    rng = np.random.default_rng(2)
    one = np.float32(1)
    for _ in range(20):
        x = (spread * rng.standard_normal((4, 5))).astype(np.float32)
        t = rng.random((4, 5), np.float32)
        net = run(layer("SigmoidCrossEntropyLoss", "", "x t0", weight=""), {"x": x, "t0": t}, Rounding(**FLOAT32))
        tail = np.log1p(np.exp(-np.abs(x)))
        left = (x < 0).astype(np.float32)
        losses = [tail + np.maximum(x, 0) - x * t, np.log(one + np.exp(-np.abs(x))) - x * (t - (one - left))]
        for each in losses:
            got, approx = each.sum() / np.float32(4), net.blobs["t"].data
            assert got.dtype == np.float32
            assert abs(got - approx.value) <= approx.error
        for sigmoid in (one / (one + np.exp(-x)), np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)):
            got, approx = (sigmoid - t) / np.float32(4), net.blobs["x"].diff
            assert got.dtype == np.float32
            assert (np.abs(got - approx.value) <= approx.error).all()


def test_the_documentation_strings_cite_caffe() -> None:
    for name in {name.partition(",")[0] for name in ALL}:
        module = __import__(REGISTRY[name].__module__, fromlist=["x"])
        assert "src/caffe/layers/" in str(module.__doc__)
        assert "dL/d" in str(REGISTRY[name].__doc__)
