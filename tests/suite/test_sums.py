"""Sums of unlike terms: any order of adding them up passes, and what loses a part of them does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.dtypes import FLOAT
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.losses import LOSSES
from conformance.mutants import mutants_by_id
from conformance.mutants.mutant import MutantImplementation
from conformance.suite.sums import COUNTED, SHAPE, sum_checks
from tests.broken import run_family

SUMS = {stem: next(sum_checks(loss)) for stem, loss in LOSSES.items()}
COUNTING = [check for loss in LOSSES.values() for check in sum_checks(loss) if "/count" in check.id]
IGNORING = [check for loss in LOSSES.values() for check in sum_checks(loss) if check.id.endswith("/sum-ignoring")]


class Answers(ReferenceImplementation):
    """The reference's answer with another loss."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        answer = super().run(case, dtype)
        assert isinstance(answer, Outcome)
        loss = FLOAT.numpy.type(answer.loss * self.share)
        return replace(answer, loss=float(loss), data={**answer.data, "loss": np.array(loss)})


def told(stem: str, share: float) -> Verdict:
    (verdict,) = run_family([SUMS[stem]], Answers(share), (FLOAT.name,))
    return verdict


def test_the_counts_are_no_multiple_of_anything_and_their_tails_matter() -> None:
    items = SHAPE[0]
    assert all(items % block == 253 for block in (256, 1024, 65536))
    assert items % 64 == 61


@pytest.mark.parametrize("stem", LOSSES)
def test_the_exact_sum_passes_and_one_of_a_thousand_lost_does_not(stem: str) -> None:
    assert (told(stem, 1.0).status, told(stem, 1.0).level) == (Status.PASSED, Level.MUST)
    for share in (1 - 2.0**-10, 1 + 2.0**-10, 0.995, float("nan")):
        assert told(stem, share).status is Status.FAILED


def test_a_running_sum_and_blocks_of_any_size_pass() -> None:
    """Of softmax's losses, in their own type: the last of the partial sums, beside the exact one."""
    reference = ReferenceImplementation()
    session = Session(reference, reference.describe(), FLOAT.name)
    list(SUMS["softmax_with_loss"].run(session))
    case = session.runs[0].case
    x, y = case.inputs["x"].astype(FLOAT.numpy), case.inputs["y"].astype(int)
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    terms = -np.log((powers / powers.sum(axis=1, keepdims=True))[np.arange(len(x)), y])
    exact = float(terms.sum(dtype=np.float64))
    orders = [terms, terms[::-1], np.sort(terms), np.sort(terms)[::-1]]
    sums = [np.cumsum(order, dtype=FLOAT.numpy)[-1] for order in orders]
    for block in (32, 256, 8192):
        parts = [np.cumsum(terms[i : i + block], dtype=FLOAT.numpy)[-1] for i in range(0, len(terms), block)]
        sums.append(np.cumsum(parts, dtype=FLOAT.numpy)[-1])
    for total in sums:
        assert told("softmax_with_loss", float(total) / exact).status is Status.PASSED


@pytest.mark.parametrize("name", ["tail-of-the-sum-lost", "short-of-many", "thousandth-of-many-lost"])
def test_the_mutants_of_long_sums_are_killed(name: str) -> None:
    for stem in ("softmax_with_loss", "euclidean_loss"):
        mutant = MutantImplementation(mutants_by_id()[f"{stem}/{name}"])
        (verdict,) = run_family([SUMS[stem]], mutant, (FLOAT.name,))
        assert verdict.status is Status.FAILED


class CountsInSixteenBits(ReferenceImplementation):
    """Divides by 1 where what counts is 0 in 16 bits."""

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        answer = super().run(case, dtype)
        assert isinstance(answer, Outcome)
        loss = FLOAT.numpy.type(answer.loss * (1 << 16))
        return replace(answer, loss=float(loss), data={**answer.data, "loss": np.array(loss)})


def test_what_counts_beside_ignored_labels_is_nothing_in_sixteen_bits() -> None:
    assert {check.layer for check in IGNORING} == {loss.stem for loss in LOSSES.values() if loss.ignores}
    right = run_family(IGNORING, ReferenceImplementation(), (FLOAT.name,))
    assert {v.status for v in right} == {Status.PASSED}
    wrong = run_family(IGNORING, CountsInSixteenBits(), (FLOAT.name,))
    assert {v.status for v in wrong} == {Status.FAILED}
    for check in IGNORING:
        reference = ReferenceImplementation()
        session = Session(reference, reference.describe(), FLOAT.name)
        list(check.run(session))
        answers = session.runs[0].case.inputs[LOSSES[check.layer].answer.name]
        assert (answers != 255).sum() % 65536 == 0
        assert (answers == 255).any()


def test_one_too_many_of_some_thousands_is_one_too_many_under_every_normalization() -> None:
    modes = {check.id.rpartition("-")[2] for check in COUNTING if check.layer == "softmax_with_loss"}
    assert modes == {"valid", "full", "size", "none"}
    assert {check.layer for check in COUNTING} == set(LOSSES)
    for check in COUNTING:
        for share, status in ((1.0, Status.PASSED), (1 - 1 / (2 * COUNTED[0] + 1), Status.FAILED)):
            (verdict,) = run_family([check], Answers(share), (FLOAT.name,))
            assert verdict.status is status, check.id
