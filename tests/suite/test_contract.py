"""The contract family notices every way to break the contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.outcome import Outcome
from conformance.losses import LOSSES
from conformance.suite.contract import checks
from refimpl.blob import Blob
from refimpl.layer import Layer
from refimpl.layers import REGISTRY
from tests.broken import Broken, after, failed, run_family

DTYPES = ("float32", "float64")
CHECKS = {stem: [check for check in checks() if check.layer == stem] for stem in LOSSES}
LEARNED = {stem: len(loss.learned) for stem, loss in LOSSES.items()}

every_loss = pytest.mark.parametrize("stem", LOSSES)


def missed(stem: str, implementation: Any, *cases: str) -> set[str]:
    """The cases in which the implementation fails nothing."""
    noticed = {check.rpartition("/")[2] for check, _ in failed(run_family(CHECKS[stem], implementation))}
    return set(cases) - noticed


@every_loss
def test_adding_to_stale_diffs_is_noticed(stem: str) -> None:
    original = REGISTRY[LOSSES[stem].type]

    class Accumulates(original):
        def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
            before = [blob.diff.copy() for blob in bottom]
            super().backward(top, propagate_down, bottom)
            for blob, old, wanted in zip(bottom, before, propagate_down, strict=True):
                if wanted:
                    blob.diff[...] += old

    assert not missed(stem, Broken({LOSSES[stem].type: Accumulates}), "stale-diffs", "backward-twice", "two-rounds")


@every_loss
def test_changing_the_bottoms_is_noticed(stem: str) -> None:
    def halve(layer: Layer, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        bottom[-1].data[...] *= 0.5

    for method in ("forward", "backward"):
        verdicts = run_family(CHECKS[stem], Broken(after(LOSSES[stem].type, method, halve)))
        assert (f"contract/{stem}/inputs", f"{stem}.contract-inputs-unchanged") in failed(verdicts, must=True), method


@every_loss
def test_a_pass_that_is_different_the_second_time_is_noticed(stem: str) -> None:
    def fading(layer: Any, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        layer.passes = getattr(layer, "passes", 0) + 1
        target = top[0].data if fading.method == "forward" else bottom[0].diff
        target[...] /= layer.passes

    for method, case in (("forward", "forward-twice"), ("backward", "backward-twice")):
        fading.method = method
        verdicts = run_family(CHECKS[stem], Broken(after(LOSSES[stem].type, method, fading)))
        assert (f"contract/{stem}/{case}", f"{stem}.contract-repeat-{method}") in failed(verdicts, must=True)
        assert (f"contract/{stem}/two-rounds", f"{stem}.contract-repeat-{method}") in failed(verdicts, must=True)


@every_loss
def test_a_batch_size_kept_from_set_up_is_noticed(stem: str) -> None:
    def stale(layer: Any, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        layer.batch = getattr(layer, "batch", bottom[0].shape[0])

    def divide(layer: Any, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        top[0].data[...] *= bottom[0].shape[0] / layer.batch

    first = after(LOSSES[stem].type, "reshape", stale)[LOSSES[stem].type]
    broken = type("Stale", (first,), {"forward": lambda self, b, t: (first.forward(self, b, t), divide(self, b, t))})
    cases = ("shrunk", "shrunk-to-one", *(() if stem == "contrastive_loss" else ("grown",)))
    assert not missed(stem, Broken({LOSSES[stem].type: broken}), *cases)


@every_loss
def test_sending_gradients_that_nobody_asked_for_is_noticed(stem: str) -> None:
    original = REGISTRY[LOSSES[stem].type]

    class Sends(original):
        def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
            learned = [i < LEARNED[stem] for i in range(len(bottom))]
            super().backward(top, learned, bottom)

    cases = [] if LEARNED[stem] == 1 else ["propagate-x", "propagate-z"]
    assert not missed(stem, Broken({LOSSES[stem].type: Sends}), *cases)
    ignoring = Broken(before=lambda case: replace(case, net=case.net.replace("propagate_down: false", "")))
    assert not missed(stem, ignoring, "propagate-nothing", *cases)


@every_loss
def test_leaving_something_in_a_diff_during_forward_is_noticed(stem: str) -> None:
    def scribble(layer: Layer, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        bottom[0].diff[...] = 3.0

    assert not missed(stem, Broken(after(LOSSES[stem].type, "forward", scribble)), "forward-only")


@every_loss
def test_a_top_with_an_axis_is_reported_and_no_more(stem: str) -> None:
    def vector(outcome: Outcome) -> Outcome:
        return replace(outcome, data={**outcome.data, "loss": outcome.data["loss"].reshape(1)})

    verdicts = run_family(CHECKS[stem], Broken(change=vector))
    assert (f"contract/{stem}/inputs", f"{stem}.top-shape") in failed(verdicts)
    assert not failed(verdicts, must=True)


@every_loss
def test_overwriting_parameter_diffs_is_noticed(stem: str) -> None:
    class Overwrites(REGISTRY["InnerProduct"]):
        def backward(self, *args: Any) -> None:
            for blob in self.blobs:
                blob.diff[...] = 0.0
            super().backward(*args)

    verdicts = failed(run_family(CHECKS[stem], Broken({"InnerProduct": Overwrites})), must=True)
    for case in ("backward-twice", "two-rounds"):
        assert (f"contract/{stem}/{case}", "net.parameter-gradient") in verdicts


@every_loss
def test_one_gradient_for_a_blob_of_two_readers_is_noticed(stem: str) -> None:
    class First(REGISTRY["Split"]):
        def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
            super().backward(top[:1], propagate_down, bottom)

    verdicts = failed(run_family(CHECKS[stem], Broken({"Split": First})), must=True)
    assert (f"contract/{stem}/beside-another-loss", "net.split") in verdicts


@every_loss
def test_reading_memory_in_its_own_order_is_noticed(stem: str) -> None:
    def as_stored(case: Case) -> Case:
        inputs = {name: array.ravel(order="K").reshape(array.shape) for name, array in case.inputs.items()}
        return replace(case, inputs=inputs)

    assert not missed(stem, Broken(before=as_stored), "column-major")


def reading(order: Callable[[np.ndarray], np.ndarray], bottom_index: int) -> Callable[[type[Layer]], type[Layer]]:
    """Layers that read one bottom in another order while they compute the loss."""

    def of(original: type[Layer]) -> type[Layer]:
        class Reorders(original):
            def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
                kept = bottom[bottom_index].data.copy()
                bottom[bottom_index].data[...] = order(kept).reshape(kept.shape)
                super().forward(bottom, top)
                bottom[bottom_index].data[...] = kept

        return Reorders

    return of


@pytest.mark.parametrize(
    ("stem", "cases"),
    [
        ("euclidean_loss", ("z-4x6", "z-4x2x3", "z-4x1x3x2")),
        ("sigmoid_cross_entropy_loss", ("t-4x6", "t-4x2x3", "t-4x1x3x2")),
        ("softmax_with_loss", ("y-2x2x3-spatial", "y-2x1x2x3-spatial", "y-2x6-spatial", "y-2x3x2-spatial")),
        ("infogain_loss", ("H-5x5", "H-1x1x5x5")),
    ],
)
def test_labels_read_column_by_column_are_noticed(stem: str, cases: tuple[str, ...]) -> None:
    index = 2 if stem == "infogain_loss" else 1
    broken = reading(lambda a: a.ravel(order="F"), index)(REGISTRY[LOSSES[stem].type])
    assert not missed(stem, Broken({LOSSES[stem].type: broken}), *cases)


@every_loss
def test_labels_of_other_samples_are_noticed_in_every_shape(stem: str) -> None:
    index = 2 if stem == "contrastive_loss" else 1
    broken = reading(lambda a: np.roll(a.ravel(), 1), index)(REGISTRY[LOSSES[stem].type])
    shapes = {
        check.rpartition("/")[2] for check, requirement in all_pairs(stem) if requirement.endswith(".label-shapes")
    }
    assert not missed(stem, Broken({LOSSES[stem].type: broken}), *shapes)


def all_pairs(stem: str) -> list[tuple[str, str]]:
    return [(v.check, v.requirement) for v in run_family(CHECKS[stem], ReferenceImplementation())]


@every_loss
def test_a_batch_of_one_that_is_off_is_noticed(stem: str) -> None:
    def nudge(layer: Layer, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if bottom[0].shape[0] == 1:
            top[0].data[...] += 1.0

    assert not missed(stem, Broken(after(LOSSES[stem].type, "forward", nudge)), "one-score", "shrunk-to-one")


def test_every_case_of_the_family_can_fail() -> None:
    """A net that reports another loss and other gradients than it has fails every case."""

    def off(outcome: Outcome) -> Outcome:
        diff = {name: array if name == "loss" else array + 1.0 for name, array in outcome.diff.items()}
        return replace(outcome, loss=outcome.loss + 1.0, diff=diff)

    verdicts = run_family(checks(), Broken(change=off))
    assert {check for check, _ in failed(verdicts, must=True)} == {v.check for v in verdicts}
