"""What is timed: sizes, inputs, traffic, and the answer they should have."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.losses import LOSSES
from conformance.timing.cases import case_of
from conformance.timing.expectation import expect
from conformance.timing.problem import DTYPES, MODES, Problem, timed_losses
from conformance.timing.sizes import SIZES, Size, size_named
from conformance.timing.subjects import NotTimed, open_subject
from conformance.timing.traffic import traffic_of

SMALL = Size("small", (6, 5))
DENSE = Size("small-dense", (3, 4, 5, 2), ignored=0.3)
ALL = [Problem(layer, size, dtype) for layer in LOSSES for size in (SMALL, DENSE) for dtype in DTYPES]


FORKS = [Problem(layer, SMALL, "float32") for layer in timed_losses() if layer not in LOSSES]


def test_sizes_are_the_ones_that_were_promised() -> None:
    assert {name: size.elements for name, size in SIZES.items()} == {
        "tiny": 640,
        "classifier": 256_000,
        "large": 4_096_000,
        "dense": 8 * 21 * 128 * 128,
        "elementwise": 2**22,
        "huge": 2**26,
    }


def test_a_size_may_be_a_shape() -> None:
    assert size_named("12x3x4").shape == (12, 3, 4)
    assert size_named("dense") is SIZES["dense"]


@pytest.mark.parametrize("text", ["", "10", "enormous", "4x", "0x3", "-1x3", "3 x 4"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        size_named(text)


@pytest.mark.parametrize("problem", ALL, ids=str)
def test_inputs_have_the_shapes_and_type_and_are_the_same_every_time(problem: Problem) -> None:
    arrays, again = problem.arrays(), problem.arrays()
    assert {name: array.shape for name, array in arrays.items()} == problem.shapes
    for name, array in arrays.items():
        assert array.dtype == problem.dtype
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, again[name])


@pytest.mark.parametrize("layer", ["softmax_with_loss", "infogain_loss", "sigmoid_cross_entropy_loss"])
def test_about_a_tenth_of_the_dense_labels_is_ignored(layer: str) -> None:
    problem = Problem(layer, Size("d", (4, 3, 32, 32), ignored=0.1), "float32")
    labels = problem.arrays()[problem.answer]
    assert np.mean(labels == problem.ignore_label) == pytest.approx(0.1, abs=0.02)


def test_pairs_lie_on_both_sides_of_the_margin() -> None:
    arrays = Problem("contrastive_loss", SIZES["tiny"], "float64").arrays()
    distance = np.sqrt(((arrays["x"] - arrays["z"]) ** 2).sum(axis=1))
    assert 0.2 < np.mean(distance < 1) < 0.8
    assert 0.2 < np.mean(arrays["s"]) < 0.8


def test_traffic_counts_every_input_and_gradient_once() -> None:
    n, s = SIZES["large"].elements, 4
    euclidean = Problem("euclidean_loss", SIZES["large"], "float32")
    assert traffic_of(euclidean, "forward").total == 2 * n * s
    assert traffic_of(euclidean, "both").total == 4 * n * s
    softmax = Problem("softmax_with_loss", SIZES["large"], "float64")
    assert traffic_of(softmax, "both").total == (2 * n + 4096) * 8
    infogain = Problem("infogain_loss", SIZES["large"], "float32")
    assert traffic_of(infogain, "both").read == (n + 4096 + 1000**2) * s


def test_multinomial_reads_a_line_for_each_label() -> None:
    problem = Problem("multinomial_logistic_loss", SIZES["large"], "float32")
    assert traffic_of(problem, "forward").total == 4096 * 64 + 4096 * 4


@pytest.mark.parametrize("problem", [*ALL, *FORKS], ids=str)
@pytest.mark.parametrize("subject", ["numba-cpu", "reference", "torch", "jax"])
def test_the_right_answer_is_accepted(problem: Problem, subject: str) -> None:
    if subject in ("torch", "jax"):
        pytest.importorskip(subject)
    if problem in FORKS and subject == "jax" and subject not in problem.loss.equivalents:
        pytest.skip("nobody has written it in jax")
    prepared = open_subject(subject, 1).prepare(problem)
    for call in prepared.calls.values():
        call()
    expectation = expect(problem)
    loss, gradients = prepared.answer()
    judged = expectation.judge(loss, [gradient.reshape(-1)[expectation.entries] for gradient in gradients])
    assert judged.accepted, judged.reason
    assert judged.loss_error < 1e-6
    assert set(prepared.calls) == set(MODES)


NARROW = [Problem("softmax_with_loss", SMALL, "bfloat16"), Problem("euclidean_loss", SMALL, "float16")]


@pytest.mark.parametrize("problem", NARROW, ids=str)
@pytest.mark.parametrize("subject", ["numba-cpu", "torch"])
def test_half_types_are_timed(problem: Problem, subject: str) -> None:
    """And held to what is computed in float32: torch may round between its operations."""
    if subject == "torch":
        pytest.importorskip(subject)
    prepared = open_subject(subject, 1).prepare(problem)
    for call in prepared.calls.values():
        call()
    expectation = expect(problem)
    loss, gradients = prepared.answer()
    found = [gradient.reshape(-1)[expectation.entries] for gradient in gradients]
    assert {gradient.dtype.name for gradient in found} == {problem.dtype}
    assert expectation.judge(loss, found).accepted or subject == "torch"
    assert not expectation.judge(loss, [-gradient for gradient in found]).accepted
    assert not expectation.judge(2 * loss, found).accepted


def test_labels_that_a_half_type_does_not_hold_are_classes_below() -> None:
    problem = Problem("softmax_with_loss", size_named("400x999"), "bfloat16")
    labels = problem.arrays()[problem.answer].astype(np.float64)
    assert labels.max() < 999 and len(np.unique(labels)) > 250


@pytest.mark.parametrize("problem", ALL, ids=str)
def test_a_wrong_answer_is_rejected(problem: Problem) -> None:
    """A gradient off by 2^-12 in one entry, a loss off by 2^-12, and a gradient with the wrong sign."""
    expectation = expect(problem)
    loss = float(expectation.loss.value)
    right = [versions[0].value.copy() for versions in expectation.gradients]
    assert expectation.judge(loss, right).accepted
    off = [part.copy() for part in right]
    largest = int(np.absolute(off[0]).argmax())
    off[0][largest] *= 1 + 2.0**-12
    judged = expectation.judge(loss, off)
    assert not judged.accepted
    assert f"the gradient of x at entry {expectation.entries[largest]} is" in judged.reason
    assert not expectation.judge(loss * (1 + 2.0**-12), right).accepted
    assert not expectation.judge(loss, [-part for part in right]).accepted


def test_gradients_are_compared_all_over_a_large_array() -> None:
    problem = Problem("softmax_with_loss", Size("wide", (2, 30, 60, 60), ignored=0.1), "float32")
    entries = expect(problem).entries
    assert len(entries) == len(set(entries.tolist())) <= problem.size.elements
    assert entries.min() == 0
    assert entries.max() == problem.size.elements - 1
    assert 30_000 < len(entries) < 40_000


def test_a_case_has_the_problems_inputs() -> None:
    problem = Problem("infogain_loss", SMALL, "float32")
    case = case_of(problem)
    assert case.params["x"][0].shape == (6, 5)
    assert case.inputs.keys() == {"y", "H"}
    assert "force_backward" not in case.net


def test_the_reference_is_timed_only_where_it_is_bearable() -> None:
    with pytest.raises(NotTimed, match="slow by design"):
        open_subject("reference", 1).prepare(Problem("hinge_loss", SIZES["classifier"], "float32"))


def test_a_layer_that_is_not_there_is_not_timed() -> None:
    subject = open_subject("direct:tests.direct_miniatures:Euclidean", 1)
    assert set(subject.prepare(Problem("euclidean_loss", SMALL, "float64")).calls) == set(MODES)
    with pytest.raises(NotTimed, match="it has no HingeLoss"):
        subject.prepare(Problem("hinge_loss", SMALL, "float64"))


def test_a_copy_moves_the_traffic_of_its_mode() -> None:
    problem = Problem("euclidean_loss", SIZES["classifier"], "float32")
    prepared = open_subject("copy", 2).prepare(problem)
    for mode in MODES:
        prepared.calls[mode]()
    with pytest.raises(NotTimed, match="no loss"):
        prepared.answer()


def test_weights_are_among_the_inputs() -> None:
    assert Problem("weighted_euclidean_loss", SMALL, "float32").arrays().keys() == {"x", "z", "w"}
