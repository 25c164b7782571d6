"""JUnit, Markdown, the badge, and every format's answer to hostile text."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from conformance.contract.errors import UsageError
from conformance.contract.verdict import Level, Status
from conformance.gate import Baseline, Known
from conformance.record.reader import read_report
from conformance.record.report import Report
from conformance.views.badge import badge_json
from conformance.views.html import html_page
from conformance.views.junit import junit_xml
from conformance.views.markdown import markdown_page
from conformance.views.terminal import render
from tests.reports import failed, failing_run, hostile_report, passed, report_of, verdict

KNOWN = Baseline((Known("old", "hinge_loss.backward", ("h/2",)),))


def cases(xml: str) -> dict[str, list[str]]:
    """The marks of every test case."""
    root = ElementTree.fromstring(xml)
    return {str(case.get("name")): [child.tag for child in case] for case in root.iter("testcase")}


def test_junit_has_a_case_per_check_with_what_became_of_it() -> None:
    report = report_of(
        passed("h/1"),
        failed("h/2"),
        verdict("h/3", Status.CRASHED, reason="died by SIGSEGV"),
        verdict("h/4", Status.UNSUPPORTED, reason="no HingeLoss"),
        failed("h/5", level=Level.SHOULD),
    )
    marks = {"h/1": [], "h/2": ["failure"], "h/3": ["error"], "h/4": ["skipped"], "h/5": ["skipped"]}
    assert cases(junit_xml(report)) == {f"{name}[float32]": found for name, found in marks.items()}
    assert cases(junit_xml(report, KNOWN))["h/2[float32]"] == ["skipped"]
    suite = ElementTree.fromstring(junit_xml(report))[0]
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["5", "1", "1", "2"]


def test_junit_tells_that_a_run_was_stopped() -> None:
    assert cases(junit_xml(report_of(passed("h/1"), complete=False)))["the run itself"] == ["error"]


def test_markdown_lists_new_failures_and_counts_known_ones() -> None:
    report = report_of(passed("h/1"), failed("h/2"), failed("h/3"))
    page = markdown_page(report, KNOWN)
    assert "1 of 3 musts passed, 2 failed (1 known)" in page.replace("\\", "")
    assert "h/3" in page
    assert "first: h/2" not in page
    assert "### Known failures\n\n- 1 x old (hinge\\_loss.backward 1)\n" in page


def test_markdown_lists_what_is_known_by_reason_and_issue_as_text() -> None:
    entries = (
        Known("the <old> kernel", "hinge_loss.backward", ("h/1", "h/2"), issue="https://example.org/7"),
        Known("another", "hinge_loss.norm", ("h/2",)),
        Known("on another device", "hinge_loss.backward", ("h/3",), device="cuda"),
    )
    broken = [failed("h/1"), failed("h/2"), failed("h/2", requirement="hinge_loss.norm"), failed("h/3")]
    page = markdown_page(report_of(*broken), Baseline(entries))
    assert page.partition("### Known failures\n\n")[2].splitlines() == [
        "- 2 x the \\<old\\> kernel (hinge\\_loss.backward 2; https\\://example.org/7)",
        "- 1 x another (hinge\\_loss.norm 1)",
        "",
    ]
    assert "first: h/3" in page.replace("\\", "")
    assert "Known failures" not in markdown_page(report_of(*broken))


def test_what_no_cause_explains_is_one_group_whichever_requirements_it_breaks() -> None:
    broken = [failed("h/1", requirement=f"hinge_loss.{facet}") for facet in ("backward", "gradient", "norm")]
    died = verdict("h/2", Status.CRASHED, reason="died by SIGSEGV")
    out = io.StringIO()
    render(report_of(*broken, died), Console(file=out, width=120), "report.jsonl")
    groups = re.findall(r"^  (\d+ x .*)$", out.getvalue(), re.MULTILINE)
    assert groups == [
        "3 x hinge_loss.backward 1, hinge_loss.gradient 1, hinge_loss.norm 1  failed",
        "1 x refuses, or dies on, what Caffe computes",
    ]
    assert "hinge_loss.backward 1, hinge_loss.gradient 1, hinge_loss.norm 1" in out.getvalue()


def test_a_recommendation_that_is_broken_beside_musts_is_told_apart() -> None:
    soft = {"status": Status.FAILED, "level": Level.SHOULD, "requirement": "net.structure"}
    shoulds = [verdict(f"h/{i}", reason=f"outputs {'abc'[i]}", **soft) for i in range(3)]
    out = io.StringIO()
    render(report_of(failed("h/0"), failed("h/1"), *shoulds), Console(file=out, width=120), "report.jsonl")
    told = out.getvalue().partition("Recommendations not followed")[2]
    assert re.findall(r"^  (\d+ x .*)$", told, re.MULTILINE) == [
        "2 x in cases that break musts, too",
        "1 x net.structure  failed",
    ]


@pytest.mark.parametrize(
    ("report", "baseline", "message", "colour"),
    [
        (report_of(passed("h/1")), None, "1 of 1 musts", "brightgreen"),
        (report_of(passed("h/1"), failed("h/2")), None, "1 of 2 musts, 1 failed", "red"),
        (report_of(passed("h/1"), failed("h/2")), KNOWN, "1 of 2 musts, 1 known", "yellow"),
        (report_of(passed("h/1"), complete=False), None, "incomplete", "lightgrey"),
        (report_of(verdict("h/1", Status.UNSUPPORTED)), None, "undecided", "lightgrey"),
    ],
)
def test_the_badge_counts(report: Report, baseline: Baseline | None, message: str, colour: str) -> None:
    badge = json.loads(badge_json(report, baseline))
    assert (badge["message"], badge["color"], badge["schemaVersion"]) == (message, colour, 1)


def terminal(report: Report) -> str:
    out = io.StringIO()
    render(report, Console(file=out, width=120), "report.jsonl")
    return out.getvalue()


FORMATS: dict[str, Callable[[Report], str]] = {
    "terminal": terminal,
    "html": html_page,
    "junit": junit_xml,
    "markdown": markdown_page,
    "badge": badge_json,
}


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_text_stays_text(form: str) -> None:
    text = FORMATS[form](hostile_report())
    assert len(text) < 200_000
    assert not set("\x00\x07\x1b\u202e\u2028\udc80") & set(text)
    text.encode("utf-8")
    if form in ("html", "junit"):
        assert "<script>alert" not in text
    if form == "markdown":
        assert not re.search(r"(?<!\\)<script", text)
    if form == "junit":
        assert cases(text)


def test_failures_of_a_real_run_are_grouped_by_their_cause(tmp_path: Path) -> None:
    report = read_report(failing_run(tmp_path))
    for form in ("terminal", "markdown", "junit", "html"):
        assert "off by a factor of the loss" in FORMATS[form](report), form


@pytest.mark.parametrize(
    "change",
    [
        {"check": ["h/2"]},
        {"dtype": "float16"},
        {"causes": {"sign": "NaN"}},
        {"causes": {"sign": -1}},
        {"causes": {"sign": 10**400}},
        {"case": {"net": 7}},
        {"case": {"net": "layer {", "inputs": {"x": {"shape": [10**9], "data": [1]}}}},
        {"case": {"net": "", "steps": ["train"]}},
        {"case": {"net": 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4000000000 } } }'}},
        {"answer": {"loss": "lots"}},
        {"answer": {"error": ["no"], "stage": {}}},
    ],
)
def test_evidence_that_is_none_is_refused_in_one_line_or_shown_as_far_as_it_goes(change: dict[str, Any]) -> None:
    evidence = {**hostile_report().evidence[0], "check": "h/2", **change}
    report = report_of(passed("h/1"), failed("h/2"), evidence=[evidence])
    try:
        html_page(report)
    except UsageError as error:
        assert "cannot be read" in str(error)
        assert len(str(error)) < 300


def test_every_format_says_which_form_of_a_layer_type_it_is() -> None:
    """Or none of them; as the terminal does."""
    named = passed("h/1", detail={"forms": {"SoftmaxWithLoss": ["segnet"], "TripletLoss": ["T1"]}})
    mixed = passed("h/2", detail={"forms": {"TripletLoss": ["T2"]}})
    report = report_of(named, mixed)
    page, root = html_page(report), ElementTree.fromstring(junit_xml(report))
    told = {p.get("name"): str(p.get("value")) for p in root.iter("property")}
    assert told["form of SoftmaxWithLoss"] == "the form segnet, which explains all of 1 cases"
    assert told["form of TripletLoss"].startswith("none of the forms that are known")
    assert all(f"{kind}: {told[f'form of {kind}'][:20]}" in page for kind in ("SoftmaxWithLoss", "TripletLoss"))
    assert "Forms of layer types" not in html_page(report_of(passed("h/1")))
