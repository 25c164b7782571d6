"""The quirks of the layers around a loss: both sides of each, touched only where the situation arises."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from refimpl.dialect import Dialect
from refimpl.net import Net

X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]])
INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
COPY = 'layer { name: "copy" type: "Power" bottom: "x" top: "h" }\n'


def run(text: str, quirk: str, taken: bool, passes: Sequence[str], x: np.ndarray = X) -> Net:
    net = Net(text, dialect=Dialect("mine", {quirk} if taken else ()))
    if "x" in net.blobs:
        net.blobs["x"].data[...] = x
    for step in passes:
        getattr(net, step)()
    return net


ONCE, TWICE = ("forward", "backward"), ("forward", "backward", "backward")


def in_place(body: str) -> str:
    return f'force_backward: true\n{INPUT}{COPY}layer {{ name: "n" {body} bottom: "h" top: "h" loss_weight: 3 }}'


@pytest.mark.parametrize(
    ("body", "documented", "caffe"),
    [
        ('type: "Power" power_param { scale: -2 }', lambda x: np.full_like(x, -6), lambda x: np.full_like(x, 4)),
        ('type: "Power" power_param { power: 2 }', lambda x: 6 * x, lambda x: 4 * x**4),
        ('type: "Log" log_param { shift: 3 }', lambda x: 3 / (x + 3), lambda x: (np.log(x + 3) + 3) ** -2),
        ('type: "BNLL"', lambda x: 3 / (1 + np.exp(-x)), lambda x: 3 / (1 + 1 / (1 + np.exp(x)))),
        (
            'type: "ReLU" relu_param { negative_slope: -0.5 }',
            lambda x: np.where(x > 0, 3, -1.5),
            lambda x: np.full_like(x, 3),
        ),
    ],
)
def test_in_place_the_input_is_lost_or_remembered(body: str, documented: object, caffe: object) -> None:
    for taken, gradient in ((False, documented), (True, caffe)):
        assert callable(gradient)
        net = run(in_place(body), "in-place-input-lost", taken, ONCE)
        np.testing.assert_allclose(net.blobs["x"].diff, gradient(X), rtol=1e-14)
        assert net.met.touched == {"in-place-input-lost"}


@pytest.mark.parametrize("kind", ["ReLU", "Sigmoid", "TanH", "Exp", "ELU"])
def test_in_place_is_harmless_where_the_output_tells_enough(kind: str) -> None:
    net = run(in_place(f'type: "{kind}"'), "in-place-input-lost", True, ONCE)
    apart = in_place(f'type: "{kind}"').replace('top: "h" loss', 'top: "t" loss')
    np.testing.assert_array_equal(net.blobs["x"].diff, run(apart, "scale-scratch", False, ONCE).blobs["x"].diff)
    assert not net.met.touched


def power(power: float) -> str:
    weighted = f'bottom: "x" top: "t" loss_weight: 2 power_param {{ power: {power} }}'
    return f'force_backward: true\n{INPUT}layer {{ name: "n" type: "Power" {weighted} }}'


@pytest.mark.parametrize(("exponent", "derivative"), [(3, 0), (1.5, 0), (0.5, np.inf)])
def test_the_gradient_of_a_power_at_zero_is_a_quotient_or_the_derivative(exponent: float, derivative: float) -> None:
    quirk = "power-gradient-through-quotient"
    base = np.array([[0, 1, 4], [9, 16, 25]])
    for taken, at_zero in ((False, derivative), (True, np.nan)):
        net = run(power(exponent), quirk, taken, ONCE, base)
        expected = 2.0 * exponent * np.power(base[base > 0], exponent - 1.0)
        np.testing.assert_allclose(net.blobs["x"].diff.ravel(), [at_zero, *expected], rtol=1e-14)
        assert net.met.touched == {quirk}


@pytest.mark.parametrize(
    ("exponent", "x"), [(2, np.zeros((2, 3))), (1, np.zeros((2, 3))), (3, X), (-1, np.zeros((2, 3)))]
)
def test_the_quotient_of_a_power_is_no_quirk_elsewhere(exponent: float, x: np.ndarray) -> None:
    assert not run(power(exponent), "scale-scratch", False, ONCE, x).met.touched


def scale(body: str, extra: str = "") -> str:
    weighted = f'bottom: "x" top: "t" loss_weight: 2 {extra} scale_param {{ {body} }}'
    return f'{INPUT}layer {{ name: "n" type: "Scale" {weighted} }}'


def test_scale_leaves_scratch_in_a_diff_that_nobody_asked_for_or_does_not() -> None:
    quirk = "scale-scratch"
    assert not run(scale(""), quirk, False, ONCE).blobs["x"].diff.any()
    net = run(scale(""), quirk, True, ONCE)
    np.testing.assert_array_equal(net.blobs["x"].diff, 2 * X)
    assert net.met.touched == {quirk}
    assert not run(scale("axis: 0 num_axes: -1"), quirk, True, ONCE).met.touched
    assert not run("force_backward: true\n" + scale(""), quirk, True, ONCE).met.touched


@pytest.mark.parametrize(
    ("body", "overwrites"), [("axis: 0 num_axes: -1", True), ("axis: 0", True), ("axis: 1", False)]
)
def test_scale_overwrites_or_accumulates_its_parameters_gradient(body: str, overwrites: bool) -> None:
    quirk = "scale-overwrites-parameter-diff"
    text = "force_backward: true\n" + scale(body)
    once = run(text, quirk, True, ONCE)
    assert not once.met.touched
    gradient = once.params["n"][0].diff
    for taken in (False, True):
        twice = run(text, quirk, taken, TWICE)
        factor = 1 if taken and overwrites else 2
        np.testing.assert_array_equal(twice.params["n"][0].diff, factor * gradient)
        assert twice.met.touched == ({quirk} if overwrites else set())


@pytest.mark.parametrize(
    ("shape", "axis", "num_axes", "overwrites"),
    [
        ((1, 3), 1, 1, True),
        ((1, 1), 0, 0, True),
        ((1, 3, 2), 1, 1, True),
        ((1, 1, 2), 2, 1, True),
        ((1, 3), 0, 1, False),
        ((1, 1, 2), 1, 1, False),
        ((2, 1, 3), 1, 2, False),
        ((2, 3, 1), 2, 1, False),
    ],
)
def test_where_scale_overwrites_is_a_matter_of_shapes(
    shape: tuple[int, ...], axis: int, num_axes: int, overwrites: bool
) -> None:
    """As a real Caffe does: one entry before the factor's axes and several factors, or a factor for each entry."""
    dims = " ".join(f"dim: {size}" for size in shape)
    source = f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}\n'
    text = "force_backward: true\n" + scale(f"axis: {axis} num_axes: {num_axes}").replace(INPUT, source)
    net = run(text, "scale-overwrites-parameter-diff", True, TWICE, np.full(shape, 0.5))
    assert net.params["n"][0].diff.sum() == np.prod(shape) * (1 if overwrites else 2)
    assert net.met.touched == ({"scale-overwrites-parameter-diff"} if overwrites else set())


PARAMETER = 'layer { name: "w" type: "Parameter" top: "h" parameter_param { shape { dim: 2 } } }\n'
SQUARED = 'layer { name: "n" type: "Power" bottom: "h" top: "t" loss_weight: 1 power_param { power: 2 shift: 1 } }'


def test_a_parameter_layers_gradient_is_overwritten_or_accumulated() -> None:
    quirk = "parameter-layer-shares-diff"
    for taken, factor in ((False, 2), (True, 1)):
        once = run(PARAMETER + SQUARED, quirk, taken, ONCE)
        assert once.params["w"][0].diff.tolist() == [2, 2]
        assert not once.met.touched
        twice = run(PARAMETER + SQUARED, quirk, taken, TWICE)
        assert twice.params["w"][0].diff.tolist() == [2 * factor, 2 * factor]
        assert twice.met.touched == {quirk}


def test_a_parameter_layers_weight_is_lost_or_counts() -> None:
    quirk = "parameter-layer-shares-diff"
    text = PARAMETER.replace('top: "h"', 'top: "h" loss_weight: 3')
    for taken, loss, gradient in ((False, 9, 3), (True, 0, 0)):
        net = run(text, quirk, taken, ())
        net.params["w"][0].data[...] = [1, 2]
        assert net.forward() == loss
        net.backward()
        assert net.params["w"][0].diff.tolist() == [gradient, gradient]
        assert net.met.touched == {quirk}
