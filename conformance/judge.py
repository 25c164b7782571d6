"""Judge: an outcome against the reference, under every side of the quirks that the case touches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.case import Case
from conformance.finding import Finding, findings_of
from conformance.outcome import Outcome, Refusal
from conformance.replay import replay
from conformance.requirements import CATALOGUE, serves
from conformance.sides import Side, sides_of
from conformance.structure import structure_findings
from conformance.tolerance import rounding_of
from conformance.verdict import Level, Status, Verdict
from refimpl.errors import NetError

__all__ = ["Judgement", "judge", "judge_outcome"]


@dataclass(frozen=True)
class Judgement:
    """What an outcome is under the side it fits best; ``touched`` are the quirks the case touches."""

    side: Side
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.accepted]

    @property
    def conforms(self) -> bool:
        return all(finding.accepted or finding.level is not Level.MUST for finding in self.findings)


def judge_outcome(case: Case, answer: Outcome | Refusal, dtype: str, dialect: str | None = None) -> Judgement:
    """Judge one answer; without a ``dialect`` any side of the quirks will do, and the one that fits best is named."""
    best: Judgement | None = None
    case = case.rounded(dtype)
    for side in sides_of(case, dialect):
        judged = Judgement(side, tuple(_findings(case, answer, dtype, side, subgradient=dialect != "bvlc")))
        if not judged.failures:
            return judged
        if best is None or _weight(judged) < _weight(best):
            best = judged
    assert best is not None
    return best


def judge(
    check: str, requirements: Sequence[str], case: Case, answer: Outcome | Refusal, dtype: str, dialect: str | None = None
) -> list[Verdict]:
    """One verdict per requirement of the case, and one for every failure that none of them claims."""
    judged = judge_outcome(case, answer, dtype, dialect)
    side = judged.side.name if judged.side.touched else None
    verdicts = []
    claimed: set[int] = set()
    for requirement in requirements:
        relevant = _relevant(judged.findings, requirement)
        claimed.update(relevant)
        verdicts.append(_verdict(check, requirement, dtype, side, [judged.findings[i] for i in relevant]))
    for i, finding in enumerate(judged.findings):
        if not finding.accepted and i not in claimed:
            verdicts.append(_verdict(check, _own_requirement(finding), dtype, side, [finding]))
    return verdicts


def _relevant(findings: Sequence[Finding], requirement: str) -> list[int]:
    """The findings a requirement is about; where an answer gives no blobs, the net's loss speaks for the layers' tops."""
    relevant = [i for i, finding in enumerate(findings) if serves(finding, requirement)]
    if relevant or requirement.endswith(".backward"):
        return relevant
    return [i for i, finding in enumerate(findings) if finding.kind == "total"]


def _weight(judged: Judgement) -> tuple[int, int]:
    """How wrong: the failures that count first."""
    return sum(f.level is Level.MUST for f in judged.failures), len(judged.failures)


def _findings(case: Case, answer: Outcome | Refusal, dtype: str, side: Side, subgradient: bool) -> Iterable[Finding]:
    rounding = rounding_of(dtype, subgradient=subgradient)
    dialect = side.dialect()
    nothing = Outcome(dtype, 0.0)
    try:
        net, comparisons = replay(case, answer if isinstance(answer, Outcome) else nothing, dialect, rounding)
    except NetError as refused:
        yield _refusal_finding(answer, refused)
        return
    if isinstance(answer, Refusal):
        yield Finding("refusal", "net", answer.layer, False, Level.MUST, f"refused at {answer.stage}: {answer.message}")
        return
    versions = [comparisons]
    departed = frozenset(dialect.departed)
    if rounding.overflowed:
        unlimited = rounding_of(dtype, subgradient=subgradient, unlimited=True)
        versions.append(replay(case, answer, side.dialect(), unlimited)[1])
    if departed:
        versions.append(replay(case, answer, side.dialect(departed), rounding_of(dtype, subgradient=subgradient))[1])
    yield from findings_of(versions, dtype)
    yield from structure_findings(net, answer)


def _refusal_finding(answer: Outcome | Refusal, wanted: NetError) -> Finding:
    """A refusal is wanted, at the reference's stage or before it: a batch of 0, say, may be refused as soon as it is known."""
    want = Refusal(wanted.stage, str(wanted), wanted.layer)
    if isinstance(answer, Outcome):
        return Finding("refusal", "net", wanted.layer, False, Level.MUST, f"accepted what is refused: {wanted}")
    order = ("construct", "forward", "backward")
    got = answer.third_party_stage
    late = got not in order or order.index(got) > order.index(want.third_party_stage)
    early = got in order and order.index(got) < order.index(want.third_party_stage)
    reason = f"refused at {got}, wanted at {want.third_party_stage}: {answer.message}"
    return Finding("refusal", "net", wanted.layer, not (late or early), Level.MUST if late else Level.SHOULD, reason if late or early else "")


def _own_requirement(finding: Finding) -> str:
    return next(name for name in CATALOGUE if serves(finding, name))


def _verdict(check: str, requirement: str, dtype: str, side: str | None, findings: Sequence[Finding]) -> Verdict:
    level = CATALOGUE[requirement].level
    failures = [f for f in findings if not f.accepted]
    musts = [f for f in failures if f.level is Level.MUST]
    rooms = [f.headroom for f in findings if f.headroom is not None]
    if not findings:
        return Verdict(check, requirement, dtype, Status.INCONCLUSIVE, level, side, reason="the answer reports nothing of what this requirement is about")
    if not failures:
        return Verdict(check, requirement, dtype, Status.PASSED, level, side, headroom=min(rooms, default=None))
    first = (musts or failures)[0]
    return Verdict(
        check,
        requirement,
        dtype,
        Status.FAILED,
        level if musts else Level.SHOULD,
        side,
        headroom=min(rooms, default=None),
        reason=first.reason,
        layer=first.layer,
        element=first.element,
    )
