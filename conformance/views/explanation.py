"""Explanation: what is wrong with one failing case, and what it most likely comes from, in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.contract.errors import one_line
from conformance.contract.outcome import Refusal
from conformance.record.cause import Cause
from conformance.record.deviation import Deviation
from conformance.record.evidence import Evidence
from conformance.views.case import arrays_of, given, titled
from conformance.views.failing_case import FailingCase
from conformance.views.text import printable
from conformance.views.words import NOT_FORETOLD

__all__ = ["explanation"]

_ALSO = 3
"""Other causes that are named beside the likeliest."""

_LISTED = 12
"""Wrong elements of an array that are listed."""

_LONGEST_LINE = 20_000


def explanation(found: FailingCase) -> Iterator[str]:
    """The lines: verdicts, likely cause, wrong elements, formula, net and inputs, as far as the report holds them."""
    for line in _lines(found):
        yield printable(line, _LONGEST_LINE)


def _lines(found: FailingCase) -> Iterator[str]:
    first = found.broken[0].verdict
    yield f"{one_line(first.check)} in {first.dtype}"
    evidence = found.evidence
    for judged in found.broken:
        verdict = judged.verdict
        yield f"  {verdict.requirement} {verdict.status.value} ({verdict.level.value})"
        requirement = evidence.requirements.get(verdict.requirement, "") if evidence is not None else ""
        yield from (f"      {one_line(text)}" for text in (requirement, verdict.reason) if text)
    yield from _cause(found)
    if evidence is not None:
        yield from _wrong(evidence)
    if evidence is not None and evidence.lacks:
        yield from titled("what was wanted")
        yield f"  {evidence.lacks}: run the check again"
    if evidence is not None and evidence.formula:
        yield from titled("formula")
        yield from (f"  {line}" for line in evidence.formula.splitlines())
    if evidence is None or evidence.case is None:
        yield from titled("case")
        yield f"  not kept: {found.not_kept}; `lossconf list checks` names the check to run again"
        return
    case = evidence.case.rounded(evidence.dtype)
    yield from titled("net")
    yield from (f"  {line}" for line in case.net.strip().splitlines())
    yield from given(case)
    for array in evidence.wrong:
        if array.aspect == "slope":
            continue
        whole = {"got ": array.got.reshape(array.shape), "want": array.want.reshape(array.shape)}
        yield from arrays_of(array.title, whole)


def _cause(found: FailingCase) -> Iterator[str]:
    yield from titled("likely cause")
    if found.cause is None:
        yield "  none is named: nothing of the case is in the report"
        return
    yield f"  {found.cause.sentence} [{found.cause.value}]"
    if found.beside:
        yield f"  {NOT_FORETOLD}"
    causes = found.evidence.causes if found.evidence is not None else ()
    others = [cause for cause in causes if cause not in (found.cause, Cause.UNNAMEABLE)][:_ALSO]
    if others:
        yield f"  it would also fit: {'; '.join(cause.sentence for cause in others)}"


def _wrong(evidence: Evidence) -> Iterator[str]:
    answer = evidence.answer
    if isinstance(answer, Refusal):
        yield from titled(f"refused at {answer.stage}")
        yield f"  {one_line(answer.message)}"
    elif answer is None and not evidence.wrong:
        yield from titled("answer")
        yield "  the report has none"
    elif evidence.refusal is not None:
        yield from titled("answer")
        yield f"  it computes what Caffe refuses: {one_line(evidence.refusal.message)}"
    else:
        for array in evidence.wrong:
            yield from titled(f"{one_line(array.title)}: {array.rejected} of {array.size} element(s) out of bounds")
            yield from _elements(array)
        if not evidence.wrong:
            yield from titled("answer")
            reason = "what failed is a relation between several runs, or no array at all"
            yield f"  every array is within its bounds: {reason}" if evidence.arrays else f"  {reason}"


def _elements(array: Deviation) -> Iterator[str]:
    for i, (index, got, want, bound, ratio) in enumerate(array.elements()):
        if i == _LISTED:
            break
        place = f"[{', '.join(map(str, index))}]" if index else ""
        said, meant = ("reported", "slope") if array.aspect == "slope" else ("got", "want")
        yield f"  {place:<12} {said} {got:.9g}, {meant} {want:.9g} within {bound:.2g}  ({ratio:.3g} bounds)"
    if array.rejected > _LISTED:
        yield f"  and {array.rejected - _LISTED} more"
