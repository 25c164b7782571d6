"""Every net of the refusals family is refused by both dialects at its stage; accepting one or dying of one fails."""

from __future__ import annotations

import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.implementation import Crash
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.verdict import Level, Status, Verdict
from conformance.judge.side import touched_by
from conformance.losses import PROFILES
from conformance.requirements import CATALOGUE
from conformance.suite.refusals import RefusedNet, checks, refused_nets
from tests.broken import not_passed, run_family

NETS = tuple(refused_nets())
STAGES = ("parse", "setup", "forward", "backward")

every_net = pytest.mark.parametrize("net", NETS, ids=lambda net: net.case().id.partition("/")[2])


@every_net
def test_both_dialects_refuse_the_net_at_its_stage(net: RefusedNet) -> None:
    assert not touched_by(net.case())
    for dialect in ("documented", "bvlc"):
        answer = ReferenceImplementation(dialect).run(net.case(), "float64")
        assert isinstance(answer, Refusal)
        assert answer.stage == net.stage


def test_the_reference_passes() -> None:
    verdicts = run_family(checks(), ReferenceImplementation(), ("float32", "float64"))
    assert not not_passed(verdicts)
    names = [(v.check, v.requirement, v.dtype) for v in verdicts]
    assert len(set(names)) == len(names) == 2 * sum(len(net.requirements) for net in NETS)


def test_every_requirement_on_refusals_is_served_but_those_of_a_quirk() -> None:
    served = {name for losses in PROFILES.values() for net in refused_nets(losses) for name in net.requirements}
    assert served == {r.id for r in CATALOGUE.values() if r.id.startswith("refusal.") and r.level is not Level.QUIRK}


class Answers(ReferenceImplementation):
    """Answers every case alike."""

    def __init__(self, answer: Outcome | Refusal | Crash) -> None:
        super().__init__()
        self.answer = answer

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        if isinstance(self.answer, Crash):
            raise self.answer
        return self.answer


def verdicts_of(answer: Outcome | Refusal | Crash) -> dict[tuple[str, str], Verdict]:
    return {(v.check, v.requirement): v for v in run_family(checks(), Answers(answer))}


def test_accepting_fails_every_requirement_at_its_level() -> None:
    for verdict in verdicts_of(Outcome("float64", 0.0)).values():
        assert verdict.status is Status.FAILED
        assert verdict.level is CATALOGUE[verdict.requirement].level
        assert "accepted what is refused" in verdict.reason


def test_refusing_a_pass_too_late_fails() -> None:
    verdicts = verdicts_of(Refusal("backward", "no"))
    for net in NETS:
        late = STAGES.index(net.stage) < STAGES.index("backward")
        for name in net.requirements:
            assert verdicts[net.case().id, name].status is (Status.FAILED if late else Status.PASSED)


def test_refusing_early_fails_the_stage_and_nothing_else() -> None:
    verdicts = verdicts_of(Refusal("construct", "no"))
    for net in NETS:
        for name in net.requirements:
            early = net.stage in ("forward", "backward") and name == f"refusal.{net.stage}"
            verdict = verdicts[net.case().id, name]
            assert verdict.status is (Status.FAILED if early else Status.PASSED)
            assert verdict.level is CATALOGUE[name].level


def test_dying_is_no_refusal() -> None:
    assert {v.status for v in verdicts_of(Crash("died by SIGSEGV")).values()} == {Status.CRASHED}
