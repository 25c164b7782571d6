"""MultinomialLogisticLoss: values, the floor of the logarithm, odd probabilities, shapes."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.dialect import DEPARTURES, Dialect
from refimpl.errors import NetError
from tests.small_nets import net_of, run

P = np.array([[0.2, 0.3, 0.5], [0.7, 0.1, 0.2]])
Y = np.array([2.0, 0.0])
FLOOR = float(np.float32(1e-20))
TEXT = 'layer { name: "n" type: "MultinomialLogisticLoss" bottom: "p" bottom: "y" top: "l" }'


def test_loss_and_gradient() -> None:
    net = run(TEXT, {"p": P, "y": Y})
    assert net.blobs["l"].data == pytest.approx(-np.log(0.35) / 2, rel=1e-15)
    np.testing.assert_allclose(net.blobs["p"].diff, [[0, 0, -1], [-1 / 1.4, 0, 0]], rtol=1e-15)
    assert net.met.departed == set()


@pytest.mark.parametrize("p", [0.0, -0.5, 1e-21, -np.inf])
def test_below_the_floor_the_loss_is_held_and_the_gradient_is_not_zero(p: float) -> None:
    net = run(TEXT, {"p": np.array([[p, 0.5], [1.0, 0.0]]), "y": np.zeros(2)})
    assert net.blobs["l"].data == pytest.approx(46.0517018916 / 2, rel=1e-11)
    np.testing.assert_allclose(net.blobs["p"].diff[0], [-0.5 / FLOOR, 0], rtol=1e-15)
    assert net.met.departed == {"multinomial-log-floor"}


def test_the_true_derivative_below_the_floor_is_zero() -> None:
    inputs = {"p": np.array([[1e-21, 0.5], [0.5, 0.0]]), "y": np.zeros(2)}
    net = run(TEXT, inputs, dialect=Dialect("true", (), DEPARTURES))
    np.testing.assert_array_equal(net.blobs["p"].diff, [[0, 0], [-1, 0]])


def test_the_floor_is_a_float32_number() -> None:
    assert net_of(TEXT, {"p": np.array([[1e-20]]), "y": np.zeros(1)}).forward() == pytest.approx(
        46.0517018599, rel=1e-12
    )
    assert run(TEXT, {"p": np.array([[1e-20]]), "y": np.zeros(1)}).met.departed == set()


@pytest.mark.parametrize(("p", "loss"), [(4.0, -np.log(4)), (np.inf, -np.inf), (np.nan, np.nan)])
def test_what_is_no_probability_goes_through_the_formula(p: float, loss: float) -> None:
    net = run(TEXT, {"p": np.array([[p, 0.5]]), "y": np.zeros(1)})
    np.testing.assert_allclose(net.blobs["l"].data, loss)
    assert net.blobs["p"].diff[0, 1] == 0


def test_maps_are_flattened_to_classes() -> None:
    p = np.linspace(0.01, 0.9, 24).reshape(2, 3, 2, 2)
    net = run(TEXT, {"p": p, "y": np.array([11.0, 0.0])})
    assert net.blobs["l"].data == pytest.approx(-np.log(p[0, 2, 1, 1] * p[1, 0, 0, 0]) / 2, rel=1e-15)


def test_backward_reads_the_probabilities_live() -> None:
    net = net_of(TEXT, {"p": P, "y": Y})
    net.forward()
    net.blobs["p"].data[...] = 0.25
    net.backward()
    np.testing.assert_array_equal(net.blobs["p"].diff, [[0, 0, -2], [-2, 0, 0]])


@pytest.mark.parametrize("shape", [(2, 2), (2, 1, 2), (2, 1, 1, 3)])
def test_labels_with_more_dimensions_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(NetError, match="one label per sample") as refusal:
        net_of(TEXT, {"p": P, "y": np.zeros(shape)})
    assert refusal.value.stage == "setup"


def test_kinks_are_at_the_floor_of_the_label() -> None:
    net = net_of(TEXT, {"p": P, "y": Y})
    node = net.layers[-1]
    distance, none = node.layer.kinks(net.bottoms_of(node))
    assert none is None
    np.testing.assert_allclose(distance, [[np.inf, np.inf, 0.5], [0.7, np.inf, np.inf]])
