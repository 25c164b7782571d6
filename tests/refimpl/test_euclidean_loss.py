"""EuclideanLoss: values, both gradients, shapes, overflow."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import NetError
from refimpl.net import Net
from tests.small_nets import blob, net_of, run

X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]])
ZERO = np.zeros((2, 3))
TEXT = 'layer { name: "n" type: "EuclideanLoss" bottom: "a" bottom: "b" top: "l" }'


def test_loss_and_both_gradients() -> None:
    net = run(TEXT, {"a": X, "b": ZERO})
    assert net.blobs["l"].data == 3.828125
    np.testing.assert_array_equal(net.blobs["a"].diff, X / 2)
    np.testing.assert_array_equal(net.blobs["b"].diff, -X / 2)


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 1, 3)])
def test_only_the_entries_per_sample_must_agree(shape: tuple[int, ...]) -> None:
    net = run(TEXT, {"a": X, "b": ZERO.reshape(shape)})
    assert net.blobs["l"].data == 3.828125
    np.testing.assert_array_equal(net.blobs["b"].diff, -X.reshape(shape) / 2)


def test_other_entries_per_sample_are_refused() -> None:
    with pytest.raises(NetError, match="differ in entries per sample") as refusal:
        net_of(TEXT, {"a": X, "b": np.zeros((2, 4))})
    assert refusal.value.stage == "setup"


def test_a_blob_with_itself_has_no_loss_and_no_gradient() -> None:
    net = run(TEXT.replace('bottom: "b"', 'bottom: "a"'), {"a": X})
    assert net.blobs["l"].data == 0
    assert not net.blobs["a"].diff.any()


@pytest.mark.parametrize("wanted", [(True, False), (False, True), (True, True)])
def test_the_gradients_asked_for_are_written_and_no_other(wanted: tuple[bool, bool]) -> None:
    flags = " ".join(f"propagate_down: {str(each).lower()}" for each in wanted)
    bias = 'layer {{ name: "{0}0" type: "Bias" bottom: "{0}" top: "{0}1" bias_param {{ axis: 0 num_axes: 2 }} }}'
    bottoms = TEXT.replace('"a"', '"a1"').replace('"b"', '"b1"').replace("top:", flags + " top:")
    net = Net(blob("a", (2, 3)) + blob("b", (2, 3)) + bias.format("a") + bias.format("b") + bottoms)
    net.blobs["a"].data[...] = X
    net.forward()
    net.backward()
    assert [bool(net.blobs[x].diff.any()) for x in ("a1", "b1")] == list(wanted)


def test_backward_uses_the_difference_of_forward() -> None:
    net = net_of(TEXT, {"a": X, "b": ZERO})
    net.backward()
    assert not net.blobs["a"].diff.any()
    net.forward()
    net.blobs["a"].data[...] = 7
    net.backward()
    np.testing.assert_array_equal(net.blobs["a"].diff, X / 2)


def test_float32_overflows_in_the_loss_only() -> None:
    net = run(TEXT, {"a": np.array([[1e20]]), "b": np.zeros((1, 1))}, "float32")
    assert net.blobs["l"].data == np.inf
    assert net.blobs["a"].diff == np.float32(1e20)


def test_nan_stays_in_its_entry() -> None:
    net = run(TEXT, {"a": np.where(X == 3, np.nan, X), "b": ZERO})
    assert np.isnan(net.blobs["l"].data)
    np.testing.assert_array_equal(np.isnan(net.blobs["a"].diff), X == 3)


def test_five_axes_of_the_second_bottom_matter_in_backward_only() -> None:
    net = net_of(TEXT, {"a": X, "b": ZERO.reshape(2, 3, 1, 1, 1)})
    assert net.forward() == 3.828125
    with pytest.raises(NetError, match="5 axes") as refusal:
        net.backward()
    assert refusal.value.stage == "backward"
