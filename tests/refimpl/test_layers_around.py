"""The layers around a loss: values, gradients, bounds, shared buffers, quirks, kinks and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refimpl.errors import NetError
from refimpl.layers import REGISTRY
from refimpl.net import Net
from refimpl.running_error import Rounding
from tests.small_nets import blob, layer, net_of, run

FLOAT32 = {"unit": 2.0**-24, "tiny": 2.0**-126, "huge": float(np.finfo(np.float32).max)}
X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]])
POSITIVE = np.array([[0.5, 1.25, 3.0], [2.0, 0.75, 0.125]])
SMOOTH = {
    "relu": (layer("ReLU", "relu_param { negative_slope: 0.25 }"), {"x": X}),
    "sigmoid": (layer("Sigmoid"), {"x": X}),
    "tanh": (layer("TanH"), {"x": X}),
    "absval": (layer("AbsVal"), {"x": X}),
    "bnll": (layer("BNLL"), {"x": X}),
    "elu": (layer("ELU", "elu_param { alpha: 0.3 }"), {"x": X}),
    "square": (layer("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"), {"x": X}),
    "cube": (layer("Power", "power_param { power: 3 scale: -2 }"), {"x": X}),
    "root": (layer("Power", "power_param { power: 0.5 scale: 2 shift: 5 }"), {"x": X}),
    "linear power": (layer("Power", "power_param { scale: 0.1 shift: 5 }"), {"x": X}),
    "constant power": (layer("Power", "power_param { power: 0.5 scale: 0 shift: 5 }"), {"x": X}),
    "exp": (layer("Exp", "exp_param { base: 2 scale: 0.3 shift: 0.5 }"), {"x": X}),
    "e": (layer("Exp", "exp_param { shift: 0.5 }"), {"x": X}),
    "log": (layer("Log", "log_param { base: 10 scale: 0.5 shift: 0.1 }"), {"x": POSITIVE}),
    "ln": (layer("Log"), {"x": POSITIVE}),
    "sum": (layer("Eltwise", "eltwise_param { coeff: 1 coeff: -3 }", "x y"), {"x": X, "y": POSITIVE}),
    "prod": (
        layer("Eltwise", "eltwise_param { operation: PROD }", "x y z"),
        {"x": X, "y": POSITIVE, "z": X[::-1]},
    ),
    "quotient": (
        layer("Eltwise", "eltwise_param { operation: PROD stable_prod_grad: false }", "x y"),
        {"x": X, "y": POSITIVE},
    ),
    "max": (
        layer("Eltwise", "eltwise_param { operation: MAX }", "x y z"),
        {"x": X, "y": POSITIVE + 0.05, "z": X[::-1] + 0.1},
    ),
    "asum": (layer("Reduction", "reduction_param { operation: ASUM axis: 1 coeff: -2.5 }"), {"x": X}),
    "sumsq": (layer("Reduction", "reduction_param { operation: SUMSQ }"), {"x": X}),
    "mean": (layer("Reduction", "reduction_param { operation: MEAN axis: -1 coeff: 0.1 }"), {"x": X}),
    "slice": (layer("Slice", "slice_param { slice_point: 1 }", "x", "t u"), {"x": X}),
    "one slice": (layer("Slice"), {"x": X}),
    "concat": (layer("Concat", "", "x y"), {"x": X, "y": POSITIVE[:, :2]}),
    "one concat": (layer("Concat"), {"x": X}),
    "flatten": (layer("Flatten", "flatten_param { axis: 0 }"), {"x": X}),
    "reshape": (layer("Reshape", "reshape_param { shape { dim: 3 dim: -1 } }"), {"x": X}),
    "split": (layer("Split", "", "x", "t u v"), {"x": X}),
    "scale": (layer("Scale", "scale_param { bias_term: true filler { value: 0.7 } }"), {"x": X}),
    "scale by bottom": (layer("Scale", "scale_param { axis: 0 }", "x s"), {"x": X, "s": np.array([3.0, -2.0])}),
    "scale by scalar": (layer("Scale", "", "x s"), {"x": X, "s": np.array(3.0)}),
    "bias": (layer("Bias", "bias_param { axis: 0 filler { value: 3 } }"), {"x": X}),
    "bias by bottom": (layer("Bias", "", "x s"), {"x": X, "s": np.array([3.0, -2.0, 1.0])}),
    "inner product": (
        layer("InnerProduct", "inner_product_param { num_output: 2 weight_filler { value: 0.3 } }"),
        {"x": X},
    ),
    "transposed": (
        layer("InnerProduct", "inner_product_param { num_output: 4 axis: 0 transpose: true bias_term: false }"),
        {"x": X},
    ),
}
# A weighted sum of the tops alone would be a linear loss: the square makes the top's diff differ from entry to entry.
CURVED = 'layer { name: "q" type: "Power" bottom: "t" top: "q" loss_weight: 0.5 power_param { power: 2 shift: 0.75 } }'


def curved(text: str) -> str:
    return text.replace('top: "t" loss_weight: 2', 'top: "t"') + CURVED


@pytest.mark.parametrize("dialect", ["documented", "bvlc"])
@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_the_derivative_of_the_loss(name: str, dialect: str) -> None:
    text, inputs = SMOOTH[name]
    net = run(curved(text), inputs, dialect=dialect)
    complex_net = net_of(curved(text), inputs, "complex128", dialect)
    places = [(net.blobs[x], complex_net.blobs[x]) for x in inputs]
    places += list(zip(net.params.get("n", []), complex_net.params.get("n", []), strict=True))
    for real, imaginary in places:
        for index in np.ndindex(*real.shape):
            imaginary.data[index] += 1e-30j
            derivative = complex_net.forward().imag / 1e-30
            imaginary.data[index] = imaginary.data[index].real
            assert real.diff[index] == pytest.approx(derivative, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_bound_holds_for_a_float32_evaluation_and_is_tight(name: str) -> None:
    text, inputs = SMOOTH[name]
    single = {x: np.float32(value) for x, value in inputs.items()}
    exact, plain = run(text, single, Rounding(**FLOAT32)), run(text, single, "float32")
    for blobs, others in ((exact.blobs, plain.blobs), *zip(_params(exact), _params(plain), strict=True)):
        for x, bounded in blobs.items():
            for approx, array in ((bounded.data, others[x].data), (bounded.diff, others[x].diff)):
                assert (np.abs(approx.value - array) <= approx.error + 2.0**-24 * np.abs(array)).all()
                assert (approx.error <= 60 * 2.0**-24 * np.maximum(np.abs(approx.value), 1)).all()


def _params(net: Net) -> list[dict[str, Any]]:
    return [{f"{name}[{i}]": b} for name, blobs in net.params.items() for i, b in enumerate(blobs)]


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        (layer("Power", "power_param { power: 2 }"), 30.625),
        (layer("Eltwise", "eltwise_param { coeff: 1 coeff: -3 }", "x y"), -23),
        (layer("Reduction", "reduction_param { axis: 1 }"), 11.5),
        (layer("Reduction", "reduction_param { operation: SUMSQ }"), 30.625),
        (layer("Flatten"), 11.5),
        (layer("ReLU", "", "x", "x"), 13.5),
        (layer("Split", "", "x", "t u"), 23),
    ],
)
def test_a_weighted_top_adds_its_weight_times_the_sum_of_its_entries(name: str, loss: float) -> None:
    inputs = {"x": X, "y": X} if '"y"' in name else {"x": X}
    assert net_of(name, inputs).forward() == loss


def test_sigmoid_is_zero_far_to_the_left_and_its_bound_admits_the_other_formula() -> None:
    points = np.array([-80.0, -5.0, -0.001, 0.001, 3.0, 40.0])
    net = run(layer("Sigmoid"), {"x": np.float32(points)}, Rounding(**FLOAT32))
    other = 1 / (1 + np.exp(-np.float32(points)))
    assert other.dtype == np.float32
    assert run(layer("Sigmoid"), {"x": points}).blobs["t"].data[0] == 0
    assert (np.abs(net.blobs["t"].data.value - other) <= net.blobs["t"].data.error).all()


def test_a_power_of_minus_infinity_is_that_of_c() -> None:
    power = layer("Power", "power_param { power: 0.5 }")
    assert run(power, {"x": np.array([-np.inf])}).blobs["t"].data[0] == np.inf


TIES = {
    "a": np.array([1.0, 2.0, 2.0, np.nan, 1.0]),
    "b": np.array([1.0, 1.0, 2.0, 1.0, np.nan]),
    "c": np.array([1.0, 2.0, 1.0, np.nan, 5.0]),
}


def test_max_gives_ties_to_the_second_bottom_and_then_to_the_earlier() -> None:
    net = run(layer("Eltwise", "eltwise_param { operation: MAX }", "a b c"), TIES)
    np.testing.assert_array_equal(net.blobs["t"].data, [1, 2, 2, 1, np.nan])
    np.testing.assert_array_equal(net.blobs["a"].diff, [0, 2, 0, 0, 0])
    np.testing.assert_array_equal(net.blobs["b"].diff, [2, 0, 2, 2, 2])
    np.testing.assert_array_equal(net.blobs["c"].diff, [0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("text", "caffe", "low", "high"),
    [
        (layer("ReLU", "relu_param { negative_slope: 0.25 }"), 0.5, 0.5, 2),
        (layer("AbsVal"), 0, -2, 2),
        (layer("ELU", "elu_param { alpha: 0.25 }"), 0.5, 0.5, 2),
        (layer("Reduction", "reduction_param { operation: ASUM }"), 0, -2, 2),
        (layer("Eltwise", "eltwise_param { operation: MAX }", "x y"), 0, 0, 2),
    ],
)
def test_at_a_kink_caffe_chooses_and_any_subgradient_is_admitted(
    text: str, caffe: float, low: float, high: float
) -> None:
    inputs = {"x": np.zeros(1), "y": np.zeros(1)} if '"y"' in text else {"x": np.zeros(1)}
    assert run(text, inputs).blobs["x"].diff[0] == caffe
    diff = run(text, inputs, Rounding(**FLOAT32, subgradient=True)).blobs["x"].diff
    reached = diff.value - diff.error, diff.value + diff.error
    assert reached[0] <= low
    assert reached[1] >= high
    assert reached[1] - reached[0] <= 2 * (high - low) + 1e-5
    strict = run(text, inputs, Rounding(**FLOAT32)).blobs["x"].diff
    assert strict.error[0] < 1e-5


@pytest.mark.parametrize(
    ("text", "distance"),
    [
        (layer("ReLU"), np.abs(X)),
        (layer("AbsVal"), np.abs(X)),
        (layer("ELU", "elu_param { alpha: 0.5 }"), np.abs(X)),
        (layer("ELU"), None),
        (layer("Power", "power_param { power: 0.5 scale: 2 shift: 5 }"), X + 2.5),
        (layer("Power", "power_param { power: 3 }"), None),
        (layer("Reduction", "reduction_param { operation: ASUM }"), np.abs(X)),
        (layer("Reduction"), None),
        (layer("Eltwise", "eltwise_param { operation: MAX }", "x y"), np.abs(X - POSITIVE)),
        (layer("Eltwise", "", "x y"), None),
        (layer("Sigmoid"), None),
    ],
)
def test_kinks_are_told_as_distances(text: str, distance: Any) -> None:
    net = net_of(text, {"x": X, "y": POSITIVE} if '"y"' in text else {"x": X})
    told = net.layers[-1].layer.kinks(net.bottoms_of(net.layers[-1]))[0]
    assert (told is None) == (distance is None)
    if distance is not None:
        np.testing.assert_allclose(told, distance)


def shared(net: Net, a: str, b: str) -> tuple[bool, bool]:
    """Whether a write to a's data, and to its diff, shows in b's."""
    one, two = net.blobs[a], net.blobs[b]
    one.data.flat[0], one.diff.flat[0] = 123.0, 321.0
    return two.data.flat[0] == 123.0, two.diff.flat[0] == 321.0


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        (layer("Split"), (True, False), (True, False)),
        (layer("Reshape", "reshape_param { shape { dim: 6 } }"), (True, True), (True, True)),
        (layer("Slice"), (True, True), (True, True)),
        (layer("Concat"), (True, True), (True, True)),
        (layer("Flatten"), (True, False), (True, True)),
        (layer("ReLU"), (False, False), (False, False)),
    ],
)
def test_buffers_are_shared_as_in_caffe(text: str, before: tuple[bool, bool], after: tuple[bool, bool]) -> None:
    net = net_of(text, {"x": X})
    net.forward()
    assert shared(net, "x", "t") == before
    net.backward()
    assert shared(net, "x", "t") == after


def test_silence_zeroes_the_gradients_of_its_bottoms() -> None:
    net = net_of(layer("Silence", "", "x y", ""), {"x": X, "y": POSITIVE})
    net.blobs["x"].diff[...] = 7.0
    net.forward()
    net.backward()
    assert not net.blobs["x"].diff.any()


def test_dummy_data_is_filled_at_set_up_and_a_random_filler_is_refused() -> None:
    body = "dummy_data_param {{ shape {{ dim: 2 }} shape {{ dim: 1 dim: 3 }} data_filler {{ {} value: 2 }} }}"
    net = Net(layer("DummyData", body.format(""), "", "t u", ""))
    assert net.blobs["t"].data.tolist() == [2, 2]
    assert net.blobs["u"].shape == (1, 3)
    with pytest.raises(NetError, match="no defined values"):
        Net(layer("DummyData", body.format('type: "gaussian"'), "", "t u", ""))
    legacy = "dummy_data_param { num: 2 channels: 3 height: 1 width: 1 }"
    assert Net(layer("DummyData", legacy, "", "t", "")).blobs["t"].shape == (2, 3, 1, 1)


SCORES = np.array([[1.0, 1.0, 0.0], [3.0, 2.0, 1.0], [np.nan, 1.0, 2.0], [0.0, 0.0, 0.0]])
LABELS = np.array([0.0, 1.0, 0.0, 2.0])


@pytest.mark.parametrize(
    ("body", "share", "per_class"),
    [
        ("", 0.25, [0.5, 0, 0]),
        ("top_k: 2", 0.75, [1, 1, 0]),
        ("top_k: 3", 1, [1, 1, 1]),
        ("ignore_label: 0", 0, [0, 0, 0]),
        ("top_k: 2 ignore_label: 2", 1, [1, 1, 0]),
    ],
)
def test_accuracy_counts_ties_against_the_label_and_nan_for_it(body: str, share: float, per_class: list[float]) -> None:
    text = layer("Accuracy", f"accuracy_param {{ {body} }}", "x y", "t u", "")
    net = Net(blob("x", (4, 3)) + blob("y", (4,)) + text)
    net.blobs["x"].data[...], net.blobs["y"].data[...] = SCORES, LABELS
    net.forward()
    assert net.blobs["t"].data == share
    assert net.blobs["u"].data.tolist() == per_class


@pytest.mark.parametrize(
    ("body", "shape", "entries"),
    [
        ("", (2, 1, 1), [2, 1]),
        ("top_k: 2 out_max_val: true", (2, 2, 2), [2, 1, 3, 2, 1, 2, 5, 0.25]),
        ("axis: 0", (1, 3), [0, 1, 0]),
        ("axis: -1 top_k: 2", (2, 2), [2, 1, 1, 2]),
        ("axis: 1 out_max_val: true", (2, 1), [3, 5]),
    ],
)
def test_argmax_gives_places_or_values_and_ties_to_the_later(
    body: str, shape: tuple[int, ...], entries: list[float]
) -> None:
    net = Net(blob("x", (2, 3)) + layer("ArgMax", f"argmax_param {{ {body} }}", weight=""))
    net.blobs["x"].data[...] = [[1.0, 2.0, 3.0], [0.25, 5.0, 0.25]]
    net.forward()
    assert net.blobs["t"].shape == shape
    assert net.blobs["t"].data.ravel().tolist() == entries


def test_parameter_gradients_accumulate_and_bottom_gradients_do_not() -> None:
    net = run(layer("InnerProduct", "inner_product_param { num_output: 2 }"), {"x": X})
    weight, bias = (b.diff.copy() for b in net.params["n"])
    net.blobs["x"].diff[...] = np.nan
    net.backward()
    np.testing.assert_array_equal(net.params["n"][0].diff, 2 * weight)
    np.testing.assert_array_equal(net.params["n"][1].diff, 2 * bias)
    assert np.isfinite(net.blobs["x"].diff).all()


def test_the_registry_finds_every_layer_by_its_own_type_and_cites_its_source() -> None:
    ours = {kind: found for kind, found in REGISTRY.items() if not found.forms}
    assert len(ours) == 33
    for kind, found in ours.items():
        module = __import__(found.__module__, fromlist=["__doc__"])
        assert found.type == kind
        assert found.__doc__
        assert ".cpp``" in module.__doc__ or ".hpp``" in module.__doc__
