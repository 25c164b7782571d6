"""Bits that change from run to run, after another case or with the number of threads are noticed; promises are held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.implementation import Crash
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.verdict import Level, Status, Verdict
from conformance.judge.reference import build
from conformance.losses import KNOWN, LOSSES, Loss
from conformance.suite import loss_weight
from conformance.suite.determinism import LARGE as LARGE_SHAPE
from conformance.suite.determinism import THREADS, checks
from tests.broken import Broken, not_passed, run_family

AGAIN, ANY_THREADS, DECLARED = (f"determinism.{facet}" for facet in ("run-to-run", "threads", "declared"))
DTYPES = ("float32", "float64")
SMALL = {f"determinism/{stem}" for stem in LOSSES}
LARGE = {f"determinism/{stem}-large" for stem in LOSSES}


def next_up(outcome: Outcome, what: str) -> Outcome:
    """The outcome with the last bit of one number changed, of the gradient's largest."""
    if what == "loss":
        return replace(outcome, loss=float(np.nextafter(outcome.loss, np.inf)))
    gradient = outcome.diff["x"].copy()
    place = int(np.argmax(np.abs(gradient)))
    gradient.flat[place] = np.nextafter(gradient.flat[place], np.inf, dtype=gradient.dtype)
    return replace(outcome, diff={**outcome.diff, "x": gradient})


class Wavering(Broken):
    """Changes the last bit of ``what`` in every second run."""

    runs = 0
    what = "gradient"

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        answer = super().run(case, dtype)
        self.runs += 1
        assert isinstance(answer, Outcome)
        return answer if self.runs % 2 else next_up(answer, self.what)


class Lossy(Wavering):
    """Loses a thousandth of every second gradient besides."""

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        answer = super().run(case, dtype)
        assert isinstance(answer, Outcome)
        return answer if self.runs % 2 else replace(answer, diff={n: a * 1.001 for n, a in answer.diff.items()})


class Tellable(Broken):
    """Changes a bit where it is told to use more than ``safe`` threads."""

    safe = 1
    threads: int | None = None

    def use_threads(self, count: int | None) -> None:
        self.threads = count

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        answer = super().run(case, dtype)
        assert isinstance(answer, Outcome)
        return next_up(answer, "loss") if (self.threads or 1) > self.safe else answer


def by_requirement(implementation: Any, status: Status, **options: Any) -> dict[str, set[str]]:
    """The checks with that status, by requirement."""
    found: dict[str, set[str]] = {}
    for verdict in run_family(checks(), implementation, **options):
        if verdict.status is status:
            found.setdefault(verdict.requirement, set()).add(verdict.check)
    return found


@pytest.mark.parametrize("dialect", ["documented", "bvlc"])
def test_the_reference_passes(dialect: str) -> None:
    verdicts = run_family(checks(), ReferenceImplementation(dialect), DTYPES)
    assert {v.requirement for v in verdicts if v.status is Status.NOT_APPLICABLE} == {ANY_THREADS}
    assert not not_passed(v for v in verdicts if v.requirement != ANY_THREADS)
    names = [(v.check, v.requirement, v.dtype) for v in verdicts]
    assert len(set(names)) == len(names)


def test_large_cases_are_not_core_and_small_ones_are() -> None:
    assert {check.id for check in checks() if check.core} == SMALL
    assert {check.id for check in checks() if not check.core} == LARGE


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_bit_that_wavers_is_noticed(what: str) -> None:
    implementation = Wavering()
    implementation.what = what
    assert by_requirement(implementation, Status.FAILED, dtypes=DTYPES)[AGAIN] == SMALL | LARGE


def test_a_wavering_bit_breaks_a_promise_and_is_within_both_bounds_where_none_is_claimed() -> None:
    promising = by_requirement(Wavering(determinism="run-to-run"), Status.FAILED, dtypes=("float32",))
    assert promising[DECLARED] == LARGE
    assert not by_requirement(Wavering(determinism="none"), Status.FAILED)


def test_more_than_both_bounds_is_no_lack_of_determinism() -> None:
    class Lost(Wavering):
        def run(self, case: Case, dtype: str) -> Outcome | Refusal:
            answer = super().run(case, dtype)
            assert isinstance(answer, Outcome)
            return answer if self.runs % 2 else replace(answer, loss=answer.loss * 1.1)

    failed = [v for v in run_family(checks(), Lost(determinism="none"), ("float32",)) if v.status is Status.FAILED]
    assert {(v.requirement, v.level) for v in failed} == {(AGAIN, Level.MUST)}
    assert {v.check for v in failed} == SMALL | LARGE


@pytest.mark.parametrize("claim", [None, "none", "run-to-run"])
def test_who_gives_other_bits_each_time_fails_relations_between_bits_only_where_it_claims_them(
    claim: str | None,
) -> None:
    facets = (".weight-scaling", ".zero-weight-removed")
    relations = [c for c in loss_weight.checks() if any(name.endswith(facets) for name in c.requirements)]
    for implementation, fails in (
        (Wavering(determinism=claim), claim == "run-to-run"),
        (Lossy(determinism=claim), True),
    ):
        told = [v for v in run_family(relations, implementation) if v.requirement.endswith(facets)]
        assert any(v.status is Status.FAILED and v.level is Level.MUST for v in told) is fails


def test_what_another_case_leaves_behind_is_noticed() -> None:
    class Remembers(Broken):
        last: Case | None = None

        def run(self, case: Case, dtype: str) -> Outcome | Refusal:
            answer = super().run(case, dtype)
            assert isinstance(answer, Outcome)
            stale = self.last is not None and self.last is not case
            self.last = case
            return next_up(answer, "gradient") if stale else answer

    failed = by_requirement(Remembers(), Status.FAILED)[AGAIN]
    assert failed >= SMALL


def zero(sign: float) -> Callable[[Outcome], Outcome]:
    return lambda outcome: replace(outcome, diff={**outcome.diff, "x": np.full_like(outcome.diff["x"], sign * 0.0)})


def test_the_sign_of_a_zero_is_a_bit_and_a_nan_is_itself() -> None:
    class Signs(Broken):
        runs = 0

        def run(self, case: Case, dtype: str) -> Outcome | Refusal:
            self.runs += 1
            self.change = zero((-1.0) ** self.runs)
            return super().run(case, dtype)

    assert by_requirement(Signs(), Status.FAILED)[AGAIN] >= SMALL
    not_a_number = Broken(change=lambda outcome: replace(outcome, loss=np.nan))
    assert AGAIN not in by_requirement(not_a_number, Status.FAILED)


def test_the_number_of_threads_is_tried_and_put_back() -> None:
    implementation = Tellable(determinism="bitwise")
    failed = by_requirement(implementation, Status.FAILED, dtypes=("float32",))
    assert failed == {ANY_THREADS: LARGE, DECLARED: LARGE}
    assert implementation.threads is None
    implementation.safe = max(THREADS)
    passed = by_requirement(implementation, Status.PASSED, dtypes=("float32",))
    assert passed == {AGAIN: SMALL | LARGE, ANY_THREADS: LARGE, DECLARED: LARGE}


def test_who_promises_only_runs_may_change_with_threads() -> None:
    verdicts = run_family(checks(), Tellable(determinism="run-to-run"), ("float32",))
    failed = {(v.requirement, v.level) for v in verdicts if v.status is Status.FAILED}
    assert failed == {(ANY_THREADS, Level.SHOULD)}


def test_threads_are_put_back_where_a_run_dies() -> None:
    class Dies(Tellable):
        def run(self, case: Case, dtype: str) -> Outcome | Refusal:
            if (self.threads or 1) > 1:
                raise Crash("died by SIGSEGV")
            return super().run(case, dtype)

    implementation = Dies()
    assert by_requirement(implementation, Status.CRASHED, dtypes=("float32",))[ANY_THREADS] == LARGE
    assert implementation.threads is None


@pytest.mark.parametrize(("promise", "words"), [("bitwise", "part of its promise"), ("mostly", "is not known")])
def test_a_promise_that_cannot_be_tried_is_inconclusive(promise: str, words: str) -> None:
    verdicts: list[Verdict] = run_family(checks(), Broken(determinism=promise), ("float32",))
    declared = [v for v in verdicts if v.requirement == DECLARED]
    assert {v.status for v in declared} == {Status.INCONCLUSIVE}
    assert all(words in v.reason for v in declared)


def test_a_refusal_is_not_the_same_bits() -> None:
    class Refuses(ReferenceImplementation):
        def run(self, case: Case, dtype: str) -> Outcome | Refusal:
            return Refusal("construct", "no")

    assert by_requirement(Refuses(), Status.FAILED, dtypes=DTYPES)[AGAIN] == SMALL | LARGE


@pytest.mark.parametrize("loss", KNOWN.values(), ids=lambda loss: loss.stem)
def test_the_large_net_of_every_loss_can_be_set_up(loss: Loss) -> None:
    variant = loss.plain.shaped(LARGE_SHAPE).given(loss.completed(LARGE_SHAPE, {}))
    assert build(variant.case("large", seed=8)).layers
