"""Every quirk has a net that touches it alone, whose two sides differ; either side passes, neither fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.implementation import Crash
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.verdict import Level, Status
from conformance.judge.judgement import judge_outcome
from conformance.judge.side import touched_by
from conformance.losses.examples import QuirkNet
from conformance.suite.quirks import case_of, checks, quirk_nets
from refimpl.dialect import QUIRKS
from tests.broken import Broken, not_passed, run_family

QUIRK_NETS = [net for _, net in quirk_nets()]
DTYPES = ("float32", "float64")
DIALECTS = ("documented", "bvlc")

every_net = pytest.mark.parametrize("net", QUIRK_NETS, ids=lambda net: case_of(net).id.partition("/")[2])


def test_every_quirk_has_a_net() -> None:
    of_bvlc = {name for name, quirk in QUIRKS.items() if quirk.number < 1000}
    assert {net.quirk for net in QUIRK_NETS} >= of_bvlc


@every_net
def test_a_net_touches_its_quirk_and_no_other(net: QuirkNet) -> None:
    assert touched_by(case_of(net)) == {net.quirk}


@every_net
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_one_side_answers_is_wrong_on_the_other(net: QuirkNet, dtype: str) -> None:
    case = case_of(net)
    for mine, other in (DIALECTS, DIALECTS[::-1]):
        answer = ReferenceImplementation(mine).run(case, dtype)
        assert not judge_outcome(case, answer, dtype, mine).failures
        assert judge_outcome(case, answer, dtype, other).failures


@pytest.mark.parametrize("dialect", DIALECTS)
def test_either_side_passes_and_is_named(dialect: str) -> None:
    for asked in (None, dialect):
        verdicts = run_family(checks(), ReferenceImplementation(dialect), DTYPES, asked)
        assert not not_passed(verdicts)
        assert {verdict.side for verdict in verdicts} == {dialect}
        names = [(v.check, v.requirement, v.dtype) for v in verdicts]
        assert len(set(names)) == len(names) == len(QUIRK_NETS) * len(DTYPES)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_other_side_fails_where_a_dialect_is_asked_for(dialect: str) -> None:
    other = DIALECTS[1 - DIALECTS.index(dialect)]
    verdicts = run_family(checks(), ReferenceImplementation(dialect), dialect=other)
    judged = {case_of(net).id for net in QUIRK_NETS if not net.undefined or other == "documented"}
    assert {v.check for v in verdicts if v.status is Status.FAILED} == judged


def neither(outcome: Outcome) -> Outcome:
    return replace(
        outcome,
        loss=outcome.loss + 1.0,
        diff={name: array + 1.0 for name, array in outcome.diff.items()},
        param_diff={name: tuple(array + 1.0 for array in arrays) for name, arrays in outcome.param_diff.items()},
    )


def test_neither_side_fails() -> None:
    verdicts = run_family(checks(), Broken(change=neither))
    failed = {v.check for v in verdicts if v.status is Status.FAILED and v.level.value == "quirk"}
    assert failed == {case_of(net).id for net in QUIRK_NETS if not net.undefined}


class Dies(ReferenceImplementation):
    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        raise Crash("died by SIGSEGV in forward")


UNDEFINED = {case_of(net).id for net in QUIRK_NETS if net.undefined}


def test_what_caffe_leaves_undefined_is_reported_and_not_judged_unless_the_documentation_is_asked_for() -> None:
    assert {"quirks/contrastive-buffers-sized-once"} == UNDEFINED
    assert {check.id for check in checks() if check.undefined} == UNDEFINED
    for asked, spared in ((None, UNDEFINED), ("bvlc", UNDEFINED), ("documented", set())):
        for implementation, status in ((Dies(), Status.CRASHED), (Broken(change=neither), Status.FAILED)):
            verdicts = run_family(checks(), implementation, dialect=asked)
            assert {v.check for v in verdicts if v.status is Status.NOT_APPLICABLE} == spared
            assert {v.status for v in verdicts if v.check not in spared} == {status}
            assert all(v.level is Level.SHOULD and v.reason for v in verdicts if v.check in spared)
    kept = [v for v in run_family(checks(), ReferenceImplementation()) if v.check in UNDEFINED]
    assert [(v.status, v.level) for v in kept] == [(Status.PASSED, Level.SHOULD)]
