"""From findings to verdicts: each requirement of a case gets one, and so does a failure that none of them claims."""

from __future__ import annotations

from dataclasses import replace

from conformance.contract.case import Case
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.verdict import Level, Status, Verdict
from conformance.judge.judgement import judge
from tests.answers import CONSUMED, LABEL_GRADIENT, SOFTMAX, TWO_TOPS, answer, changed, with_diff


def verdicts(case: Case, outcome: Outcome | Refusal, *requirements: str) -> dict[str, Verdict]:
    told = judge("tests/check", requirements, case, outcome, "float64")
    by_name = {verdict.requirement: verdict for verdict in told}
    assert len(by_name) == len(told), "one verdict for each requirement"
    return by_name


FORWARD, BACKWARD = "softmax_with_loss.forward", "softmax_with_loss.backward"


def test_there_is_a_verdict_for_each_requirement() -> None:
    told = verdicts(SOFTMAX, answer(SOFTMAX), FORWARD, BACKWARD, "net.implicit-loss-weight")
    assert {name: verdict.status for name, verdict in told.items()} == {
        FORWARD: Status.PASSED,
        BACKWARD: Status.PASSED,
        "net.implicit-loss-weight": Status.PASSED,
    }
    assert all(verdict.side is None and verdict.headroom is not None for verdict in told.values())


def test_a_failure_costs_the_requirements_it_is_about() -> None:
    outcome = with_diff(answer(SOFTMAX), "x", changed(0, lambda v: v + 1))
    told = verdicts(SOFTMAX, outcome, FORWARD, BACKWARD)
    assert told[FORWARD].status is Status.PASSED
    assert told[BACKWARD].status is Status.FAILED
    assert told[BACKWARD].layer == "loss"
    assert told[BACKWARD].element is not None
    assert "bottom gradient x[0, 0]" in told[BACKWARD].reason


def test_a_failure_that_no_requirement_claims_has_a_verdict_of_its_own() -> None:
    told = verdicts(SOFTMAX, replace(answer(SOFTMAX), loss=0.0), FORWARD)
    assert (told[FORWARD].status, told["net.total-loss"].status) == (Status.PASSED, Status.FAILED)


def test_a_failure_of_no_weight_costs_no_more_than_a_should() -> None:
    told = verdicts(SOFTMAX, with_diff(answer(SOFTMAX), "y", lambda a: a + 1), BACKWARD)
    assert told[BACKWARD].status is Status.PASSED
    assert (told["net.unasked-diff"].status, told["net.unasked-diff"].level) == (Status.FAILED, Level.SHOULD)


def test_a_refusal_of_what_runs_costs_every_requirement() -> None:
    told = verdicts(SOFTMAX, Refusal("construct", "unknown layer"), FORWARD, "net.total-loss")
    assert all(v.status is Status.FAILED and "unknown layer" in v.reason for v in told.values())


def test_without_blobs_the_loss_speaks_for_the_top_and_nothing_for_the_gradient() -> None:
    bare = Outcome("float64", answer(SOFTMAX).loss)
    told = verdicts(SOFTMAX, bare, FORWARD, BACKWARD, "net.structure")
    assert told[FORWARD].status is Status.PASSED
    assert told[BACKWARD].status is Status.INCONCLUSIVE
    assert told["net.structure"].status is Status.INCONCLUSIVE
    assert verdicts(SOFTMAX, Outcome("float64", 1.0), FORWARD)[FORWARD].status is Status.FAILED


def test_a_quirk_is_passed_on_either_side_and_failed_on_neither() -> None:
    quirk = "quirk.split-readds-implicit-weight"
    for dialect in ("documented", "bvlc"):
        told = verdicts(CONSUMED, answer(CONSUMED, dialect=dialect), quirk)
        assert (told[quirk].status, told[quirk].side) == (Status.PASSED, dialect)
    neither = verdicts(CONSUMED, replace(answer(CONSUMED), loss=0.0), quirk)
    assert (neither[quirk].status, neither[quirk].level) == (Status.FAILED, Level.QUIRK)


def test_where_the_side_taken_refuses_the_rest_does_not_apply() -> None:
    told = verdicts(TWO_TOPS, Refusal("construct", "no"), "quirk.implicit-weight-once", "softmax_with_loss.softmax-top")
    assert told["quirk.implicit-weight-once"].status is Status.PASSED
    assert told["softmax_with_loss.softmax-top"].status is Status.NOT_APPLICABLE


def test_where_the_side_taken_computes_there_is_nothing_to_refuse() -> None:
    told = verdicts(TWO_TOPS, answer(TWO_TOPS), "refusal.setup", "refusal.second-softmax-top")
    assert told["refusal.setup"].status is Status.NOT_APPLICABLE
    assert told["refusal.second-softmax-top"].status is Status.PASSED


def test_an_early_refusal_passes_what_must_be_refused_and_not_the_stage() -> None:
    told = verdicts(LABEL_GRADIENT, Refusal("construct", "no"), "refusal.label-gradient", "refusal.backward")
    assert told["refusal.label-gradient"].status is Status.PASSED
    assert (told["refusal.backward"].status, told["refusal.backward"].level) == (Status.FAILED, Level.SHOULD)
