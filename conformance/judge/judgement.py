"""Judge: an outcome against the reference, under every side of the quirks that the case touches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.dtypes import FLOAT, Dtype, TypeClaim
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Run, Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.judge.finding import Finding, findings_of
from conformance.judge.owed import OPTIONAL, unreported
from conformance.judge.replay import Comparison, replay
from conformance.judge.serving import owner, serves
from conformance.judge.side import Side, plain_side, sides_of, touched_by
from conformance.judge.structure import structure_findings
from conformance.judge.tolerance import rounding_of
from conformance.judge.weightless import weightless
from conformance.requirements import CATALOGUE
from refimpl.errors import NetError, PrototxtError
from refimpl.layers import forms_of
from refimpl.net import Net
from refimpl.prototxt import parse_net

__all__ = [
    "Explained",
    "Judgement",
    "judge",
    "judge_outcome",
    "explained_by",
    "judgement_of",
    "verdicts_of",
    "versions_of",
]


@dataclass(frozen=True)
class Judgement:
    """What an answer is under the side it fits best.

    ``unreported`` stands for what the reference computes and the answer lacks, ``unowed`` for what has no finite bound
    in the types claimed, whoever computes it. ``net`` is the reference's in the state after the last step, ``versions``
    its results beside the answer's (`versions_of`); where the reference refuses the case, ``refusal`` says why.
    ``beyond`` is what the case gives that the types claimed do not hold: then nothing is owed.
    """

    side: Side
    findings: tuple[Finding, ...]
    unreported: tuple[Finding, ...] = ()
    net: Net | None = None
    versions: Sequence[Sequence[Comparison]] = ()
    refusal: NetError | None = None
    unowed: tuple[Finding, ...] = ()
    beyond: str = ""

    @property
    def failures(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.accepted]

    @property
    def conforms(self) -> bool:
        return all(finding.accepted or finding.level is not Level.MUST for finding in self.findings)


def judge_outcome(
    case: Case, answer: Outcome | Refusal, dtype: str, dialect: str | None = None, told: bool = False
) -> Judgement:
    """Judge one answer; without a ``dialect`` any side of the quirks will do, and the one that fits best is named.
    Any form of a type will do, but of who was ``told`` the forms the one that was meant."""
    best: Judgement | None = None
    if beyond := _beyond_range(case, dtype):
        return Judgement(next(sides_of(case.rounded(dtype), dialect, told)), (), beyond=beyond)
    case = case.rounded(dtype)
    plain = plain_side(case, dialect, told)
    first = _judged(case, answer, dtype, plain, subgradient=dialect != "bvlc")
    if not first.failures and first.net is not None:
        if not first.net.asked:
            return first  # on no side would anything be otherwise
        if not case.passes and not first.net.met.touched:  # a further pass may have taken a layer out of some again
            touched_by(case, plain.forms, untouched=True)
    for side in sides_of(case, dialect, told):
        if (side.taken, side.forms) == (plain.taken, plain.forms):
            judged = replace(first, side=side)
        else:
            judged = _judged(case, answer, dtype, side, subgradient=dialect != "bvlc")
        if not judged.failures:
            return judged
        if best is None or _weight(judged, answer) < _weight(best, answer):
            best = judged
    assert best is not None
    return best


def _beyond_range(case: Case, dtype: str) -> str:
    """What a case gives that is a number in Caffe's types and none in those claimed, as a reason; else nothing."""
    claim = TypeClaim.named(dtype)
    if min(each.largest for each in claim.stored) >= FLOAT.largest:
        return ""
    given: list[tuple[str, Array, Dtype]] = []
    for one in case.sequence:
        given += [("the input " + name, array, claim.scores) for name, array in one.inputs.items()]
        given += [("a parameter of " + n, array, claim.scores) for n, arrays in one.params.items() for array in arrays]
        given += [
            (f"the diff of {n}", np.array(v), claim.loss) for n, v in {**one.prefill_diff, **one.top_diff}.items()
        ]
    try:
        layers = parse_net(case.net).layer
    except PrototxtError:
        layers = ()
    given += [(f"the loss_weight of {layer.name}", np.array(layer.loss_weight), claim.loss) for layer in layers]
    for what, values, held in given:
        if (np.isfinite(values) & ~np.isfinite(held.rounded(values))).any():
            return f"nothing is owed here: {what} is beyond the range of {held.name}"
    return ""


class Explained(IntEnum):
    """How far one side explains an answer.

    ``SILENT`` where no number of it speaks against the answer's: one of the two refuses the net, the net leaves a
    weight to the layer's form (which a layer in somebody else's net does not choose), or one has a number where the
    other overflowed or has NaN; ``LOOSELY`` with the true derivative of the loss in the place of its own formula.
    """

    NOT = 0
    SILENT = 1
    LOOSELY = 2
    EXACTLY = 3


def explained_by(
    case: Case, answer: Outcome | Refusal, dtype: str, side: Side, dialect: str | None = None
) -> Explained:
    """How far an answer is right under one side; the case is as the type holds it."""
    judged = _judged(case, answer, dtype, side, subgradient=dialect != "bvlc")
    if judged.failures:
        silent = _weighs_unasked(judged.net) or all(map(_says_nothing, judged.failures))
        return Explained.SILENT if silent else Explained.NOT
    if not judged.versions or judged.net is None or not judged.net.met.departed:
        return Explained.EXACTLY
    own = _versions_left(judged)
    return Explained.EXACTLY if all(found.accepted for found in findings_of(own, dtype)) else Explained.LOOSELY


def _says_nothing(failure: Finding) -> bool:
    """Whether a failure is no number beside another number."""
    if failure.kind in ("refusal", "refused"):
        return True
    return failure.element is not None and not np.isfinite([failure.element.got, failure.element.want]).all()


def _weighs_unasked(net: Net | None) -> bool:
    """Whether a layer whose type has several forms is given no loss_weight."""
    layers = () if net is None else net.layers
    return any(not node.layer.param.loss_weight for node in layers if len(forms_of(node.type)) > 1)


def _versions_left(judged: Judgement) -> list[list[Comparison]]:
    """The versions of a judgement without those whose gradient is the true derivative: the last one or two."""
    count = 1 + judged.net.met.blurred + judged.net.met.overflowed if judged.net is not None else 1
    return [list(version) for version in judged.versions[:count]]


def judgement_of(run: Run, session: Session) -> Judgement:
    """What a run of the session was answered, judged when first asked; of an accepted answer nothing but that is kept,
    for a check may run thousands of cases. Raises `ValueError` where there was no answer."""
    if run.answer is None:
        raise ValueError("there is no answer to judge")
    if not isinstance(run.judgement, Judgement):
        told = session.description.any_forms
        judged = judge_outcome(run.case, run.answer, session.dtype, session.dialect, told)
        run.judgement = judged if judged.failures else replace(judged, net=None, versions=())
    return run.judgement


def judge(
    check: str,
    requirements: Sequence[str],
    case: Case,
    answer: Outcome | Refusal,
    dtype: str,
    dialect: str | None = None,
) -> list[Verdict]:
    """The verdicts on one answer."""
    return verdicts_of(judge_outcome(case, answer, dtype, dialect), check, requirements, dtype)


def verdicts_of(judged: Judgement, check: str, requirements: Sequence[str], dtype: str) -> list[Verdict]:
    """One verdict per requirement of the case, and one for every failure that none of them claims."""
    side = judged.side.name if judged.side.touched or judged.side.forms else None
    claimed = {requirement: _relevant(judged.findings, requirement) for requirement in requirements}
    for i, finding in enumerate(judged.findings):
        if not finding.accepted and not any(i in relevant for relevant in claimed.values()):
            claimed.setdefault(owner(finding, judged.side.forms), []).append(i)
    refused = any(finding.kind == "refusal" and finding.accepted for finding in judged.findings)
    verdicts = []
    for requirement, relevant in claimed.items():
        findings = [judged.findings[i] for i in relevant]
        lacking = [finding for finding in judged.unreported if serves(finding, requirement)]
        found, lacking = _settled(judged, findings, lacking)
        without = _UNOWED if any(serves(finding, requirement) for finding in judged.unowed) else ""
        if not found and not lacking and (reason := judged.beyond or without):
            level = CATALOGUE[requirement].level
            verdicts.append(Verdict(check, requirement, dtype, Status.NOT_APPLICABLE, level, side, reason=reason))
        else:
            verdicts.append(_verdict(check, requirement, dtype, side, found, lacking, refused))
    return verdicts


_UNOWED = "nothing is owed here: the error of a plain evaluation has no finite bound in these types"


def _relevant(findings: Sequence[Finding], requirement: str) -> list[int]:
    return [i for i, finding in enumerate(findings) if serves(finding, requirement)]


def _settled(judged: Judgement, findings: list[Finding], lacking: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """What a requirement is decided on, and what it lacks: where only tops are not reported whose weighted sums are in
    the net's loss, that speaks for them."""
    needed = [finding for finding in lacking if finding.kind not in OPTIONAL]
    if needed and all(finding.in_total for finding in needed):
        return [*findings, *(f for f in judged.findings if f.kind == "total" and f not in findings)], []
    return findings, needed or ([] if findings else lacking)


def _weight(judged: Judgement, answer: Outcome | Refusal) -> tuple[bool, int, int]:
    """How wrong: a side that refuses what was answered explains nothing; then the failures that count, then all."""
    other = "refusal" if isinstance(answer, Outcome) else "refused"
    musts = sum(f.level is Level.MUST for f in judged.failures)
    return any(f.kind == other for f in judged.failures), musts, len(judged.failures)


def _judged(case: Case, answer: Outcome | Refusal, dtype: str, side: Side, subgradient: bool) -> Judgement:
    outcome = answer if isinstance(answer, Outcome) else Outcome(dtype, 0.0)
    settled = True
    try:
        try:
            net, versions = versions_of(case, outcome, dtype, side, subgradient, settled)
        except NetError:
            settled = False
            net, versions = versions_of(case, outcome, dtype, side, subgradient, settled)
    except NetError as refusal:
        return Judgement(side, tuple(_refusal_findings(answer, refusal)), refusal=refusal)
    if isinstance(answer, Refusal):
        reason = f"refused at {answer.stage}: {answer.message}"
        return Judgement(side, (Finding("refused", "net", answer.layer, False, Level.MUST, reason),), net=net)
    missing = len(case.sequence) - len(answer.passes) if case.each_pass else 0
    if missing:
        reason = f"the state after each of {len(case.sequence)} passes was asked for; {len(answer.passes)} were given"
        return Judgement(side, (Finding("refused", "net", None, False, Level.MUST, reason),), net=net)
    findings = findings_of(versions, dtype)
    if _unexplained(findings):
        losses = {node.type for node in net.layers if node.layer.implicit_weight}
        wrong = losses.intersection(finding.layer_type for finding in findings if not finding.accepted)
        rounding = rounding_of(dtype, subgradient=subgradient)
        layers = weightless(wrong or losses, side.dialect().classes)
        _, lacking = replay(case, answer, side.dialect(), rounding, settled, layers)
        findings = findings_of(versions, dtype, lacking)
    unowed: list[Finding] = []
    if any(f.unbounded or f.boundless for f in findings):
        beyond = _without_bound(case, answer, dtype, side, subgradient)
        unowed = [f for f in findings if f.boundless and f.accepted and (f.kind, f.blob) in beyond]
        kept = (f for f in findings if f not in unowed)
        findings = [replace(f, unbounded=f.unbounded and (f.kind, f.blob) not in beyond) for f in kept]
    untold = tuple(unreported(net, case, answer))
    return Judgement(side, (*findings, *structure_findings(net, answer)), untold, net, versions, unowed=tuple(unowed))


def _without_bound(case: Case, answer: Outcome, dtype: str, side: Side, subgradient: bool) -> set[tuple[str, str]]:
    """The arrays, by aspect and blob, of which some element has no finite bound on the reference's own numbers either,
    so that nobody owes it; an answer's numbers may take a bound away that the case has."""
    try:
        _, versions = versions_of(case, answer, dtype, side, subgradient, settled=False)
    except NetError:
        return set()
    together = zip(*versions, strict=True)
    return {(o[0].aspect, o[0].blob) for o in together if all(np.isinf(one.want.error).any() for one in o)}


def _unexplained(findings: Iterable[Finding]) -> bool:
    """Whether a gradient is wrong in more than its weight, as far as one layer can tell."""
    return any(f.kind in ("backward", "parameter") and not f.accepted and not f.by_weight for f in findings)


def versions_of(
    case: Case, outcome: Outcome, dtype: str, side: Side, subgradient: bool, settled: bool
) -> tuple[Net, list[list[Comparison]]]:
    """The replay, and others whose results are as right: any subgradient where a kink is met, no overflow where an
    intermediate result overflows, the true derivative where Caffe's formula departs from it."""
    versions: list[list[Comparison]] = []

    def once(departures: frozenset[str] = frozenset(), **options: bool) -> Net:
        rounding = rounding_of(dtype, subgradient=subgradient, **options)
        net, comparisons = replay(case, outcome, side.dialect(departures), rounding, settled)
        versions.append(comparisons)
        return net

    net = once(sharp=True)
    met = net.met
    if met.blurred:
        once()
    if met.overflowed:
        once(unlimited=True)
    if met.departed and once(met.departed, sharp=True).met.blurred:
        once(met.departed)
    return net, versions


def _refusal_findings(answer: Outcome | Refusal, wanted: NetError) -> Iterable[Finding]:
    """What Caffe refuses must be refused no later than there; earlier is as good, but for who counts on the stage."""
    want = Refusal(wanted.stage, str(wanted), wanted.layer)
    if isinstance(answer, Outcome):
        yield Finding("refusal", "net", wanted.layer, False, Level.MUST, f"accepted what is refused: {wanted}")
        return
    order = ("construct", "forward", "backward")
    got = answer.third_party_stage
    reason = f"refused at {got}, wanted at {want.third_party_stage}: {answer.message}"
    late = got not in order or order.index(got) > order.index(want.third_party_stage)
    yield Finding("refusal", "net", wanted.layer, not late, Level.MUST, reason if late else "")
    if not late and got != want.third_party_stage:
        yield Finding("stage", "net", wanted.layer, False, Level.SHOULD, reason)


def _verdict(
    check: str,
    requirement: str,
    dtype: str,
    side: str | None,
    findings: Sequence[Finding],
    lacking: Sequence[Finding],
    refused: bool,
) -> Verdict:
    """Of what was found for and against a requirement, and what is ``lacking`` to decide it; where the side taken
    computes nothing that it is about, it does not apply."""
    level = CATALOGUE[requirement].level
    failures = [f for f in findings if not f.accepted]
    musts = [f for f in failures if f.level is Level.MUST]
    rooms = [f.headroom for f in findings if f.headroom is not None]
    best = max((f.best for f in findings if f.best is not None), default=None)
    if failures:
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
            best=best,
        )
    if lacking:
        return Verdict(check, requirement, dtype, Status.INCONCLUSIVE, level, side, reason=lacking[0].reason)
    if any(f.unbounded for f in findings):
        reason = "the error of a plain evaluation has no finite bound here"
        return Verdict(check, requirement, dtype, Status.INCONCLUSIVE, level, side, reason=reason)
    if findings:
        room = min(rooms, default=None)
        return Verdict(check, requirement, dtype, Status.PASSED, level, side, headroom=room, best=best)
    reason = "the side taken computes nothing that this requirement is about"
    if refused or requirement.startswith("refusal."):
        reason = "the net is refused" if refused else "the side of the quirk that is taken refuses nothing"
    return Verdict(check, requirement, dtype, Status.NOT_APPLICABLE, level, side, reason=reason)
