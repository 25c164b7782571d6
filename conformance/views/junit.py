"""JUnit XML: a test suite per family, a test case per check and dtype; what CI systems read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from conformance.contract.verdict import Status, Verdict
from conformance.diagnosis.diagnosis import causes_of
from conformance.gate import Baseline, decision_on
from conformance.record.cause import Cause
from conformance.record.conclusion import is_must
from conformance.record.report import Judged, Report
from conformance.views.forms import forms_told
from conformance.views.summary import concluded, suite_errors
from conformance.views.text import printable

__all__ = ["junit_xml"]

Causes = Mapping[tuple[str, str], Cause]
Key = tuple[str, str, str]
"""Family, check and dtype."""


def junit_xml(report: Report, baseline: Baseline | None = None) -> str:
    """The report as JUnit XML.

    A check fails where one of its musts breaks and is not known, and errs where its process died; known failures and
    checks of which something owed and claimed is open are skipped, with the reason, and so are those that are declined
    or not applicable. The conclusion's numbers are properties of a suite of its own, in which a run that was stopped is
    an error.
    """
    decision = decision_on(report, baseline, None)
    known = {(v.check, v.dtype, v.requirement) for v in decision.known}
    cases: dict[Key, list[Judged]] = {}
    for judged in report.judged:
        cases.setdefault((judged.family, judged.verdict.check, judged.verdict.dtype), []).append(judged)
    root = ElementTree.Element("testsuites", name="lossconf")
    causes = causes_of(report)
    for family in dict.fromkeys(key[0] for key in cases):
        suite = ElementTree.SubElement(root, "testsuite", name=f"lossconf.{printable(family)}")
        for key, members in cases.items():
            if key[0] == family:
                _case(suite, key, [judged.verdict for judged in members], known, causes)
    found = concluded(report, baseline)
    sentences = [printable(error) for error in suite_errors(report)] + ([] if report.complete else [found.words])
    suite = ElementTree.SubElement(root, "testsuite", name="lossconf")
    properties = ElementTree.SubElement(suite, "properties")
    numbers = {f"musts {name}": count for name, count in found.musts.to_json().items()}
    numbers |= {f"recommendations {name}": count for name, count in found.recommendations.to_json().items()}
    told = {"conclusion": printable(found.line), "exit": int(found.code), "known": found.known, **numbers}
    told |= {f"form of {printable(kind)}": printable(form) for kind, _, form in map(_parted, forms_told(report))}
    for name, value in told.items():
        ElementTree.SubElement(properties, "property", name=name, value=str(value))
    if sentences:
        for message in sentences:
            case = ElementTree.SubElement(suite, "testcase", classname="lossconf", name="the run itself")
            ElementTree.SubElement(case, "error", message=message)
    for suite in root:
        _count(suite)
    _count(root)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _parted(sentence: str) -> tuple[str, str, str]:
    return sentence.partition(": ")


def _case(
    suite: ElementTree.Element, key: Key, verdicts: Sequence[Verdict], known: set[tuple[str, str, str]], causes: Causes
) -> None:
    family, check, dtype = key
    seconds = max((v.seconds for v in verdicts if v.seconds is not None), default=0.0)
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"lossconf.{printable(family)}",
        name=f"{printable(check)}[{printable(dtype)}]",
        time=f"{seconds:.6f}",
    )
    broken = [v for v in verdicts if v.status.breaks and is_must(v) and not v.limit]
    undecided = [v for v in verdicts if is_must(v) and not v.limit and not v.status.decides]
    new = [v for v in broken if (v.check, v.dtype, v.requirement) not in known]
    cause = causes.get((check, dtype))
    if new:
        died = all(v.status is not Status.FAILED for v in new)
        reason = printable(new[0].reason, 400).replace("\n", " ")
        kind = "error" if died else "failure"
        element = ElementTree.SubElement(case, kind, message=reason, type=new[0].status.value)
        lines = [f"{v.requirement} {v.status.value}: {v.reason}" for v in new]
        lines += [f"likely cause: {cause.sentence}"] if cause else []
        element.text = printable("\n".join(lines))
    elif broken:
        ElementTree.SubElement(case, "skipped", message=printable(f"known failure: {broken[0].reason}", 400))
    elif undecided or not any(v.status is Status.PASSED for v in verdicts):
        first = (undecided or verdicts)[0]
        told = f"{first.status.value}: {first.reason}"
        ElementTree.SubElement(case, "skipped", message=printable(told, 400))


def _count(element: ElementTree.Element) -> None:
    """The totals that JUnit's readers expect."""
    cases = list(element.iter("testcase"))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(name, str(sum(case.find(tag) is not None for case in cases)))
    element.set("tests", str(len(cases)))
    element.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.6f}")
