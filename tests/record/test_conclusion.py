"""The conclusion: what was owed, claimed, decided and passed; every format gives the same numbers."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from conformance.contract.verdict import Level, Status
from conformance.record.conclusion import Conclusion, Musts
from conformance.record.report import Report
from conformance.views.badge import badge_json
from conformance.views.conclusion import conclusion_json
from conformance.views.html import html_page
from conformance.views.junit import junit_xml
from conformance.views.markdown import markdown_page
from conformance.views.terminal import render
from tests.reports import HEADER, failed, passed, report_of, verdict

PASSED, FAILED = passed("h/1"), failed("h/2")
OPEN = verdict("h/3", Status.INCONCLUSIVE, reason="it reports no gradient")
LACKING = verdict("h/4", Status.UNSUPPORTED, reason="no such labels")
OUTSIDE = verdict("h/5", Status.UNSUPPORTED, limit="size>64")
ADVICE = failed("h/6", level=Level.SHOULD)
FOREIGN = verdict("h/7", Status.NOT_APPLICABLE)
NEITHER = failed("h/8", level=Level.QUIRK, requirement="quirk.hinge-scratch")


@pytest.mark.parametrize(
    ("judged", "words", "code"),
    [
        ([PASSED], "conforms", 0),
        ([PASSED, OUTSIDE, ADVICE, FOREIGN], "conforms", 0),
        ([PASSED, OPEN], "undecided", 7),
        ([PASSED, LACKING], "undecided", 7),
        ([PASSED, verdict("h/3", Status.SKIPPED)], "undecided", 7),
        ([PASSED, FAILED, OPEN], "does not conform", 1),
        ([PASSED, NEITHER], "does not conform", 1),
        ([PASSED, verdict("h/2", Status.CRASHED)], "does not conform", 1),
        ([LACKING], "undecided: nothing was judged", 7),
        ([OUTSIDE], "undecided: nothing was judged", 7),
        ([FOREIGN], "undecided: nothing was judged", 7),
        ([], "undecided: nothing was judged", 7),
    ],
)
def test_a_report_conforms_where_all_that_is_owed_and_claimed_has_passed(
    judged: Sequence[Any], words: str, code: int
) -> None:
    found = Conclusion(report_of(*judged))
    assert (found.words, int(found.code)) == (words, code)


def test_a_refusal_is_one_of_a_form_that_the_other_answers_leave() -> None:
    """Some form or other refuses much: who refuses everything, or what its own form computes, has shown nothing."""
    told = {"forms": {"FocalLoss": ["F1"]}, "refused": True}
    rightly = verdict("h/2", Status.PASSED, requirement="refusal.label-count", detail=told)
    assert Conclusion(report_of(PASSED, rightly)).words == "conforms"
    refused = verdict("h/3", Status.NOT_APPLICABLE, detail=told)
    found = Conclusion(report_of(PASSED, refused, rightly))
    words = "undecided: 1 net(s) with FocalLoss refused, as no form that its answers show"
    assert (found.words, int(found.code)) == (words, 7)
    for forms, concluded in (
        ({"forms": {"FocalLoss": ["F1", "F2"]}}, "conforms"),
        ({"forms": {"FocalLoss": ["F2"]}}, words),
    ):
        assert Conclusion(report_of(PASSED, refused, verdict("h/4", Status.PASSED, detail=forms))).words == concluded
    silent = verdict("h/5", Status.PASSED, detail={"forms": {"FocalLoss": ["F2"]}, "silent": {"FocalLoss": ["F1"]}})
    assert Conclusion(report_of(PASSED, refused, silent)).words == "conforms"


def test_musts_are_counted_and_recommendations_are_not() -> None:
    found = Conclusion(report_of(PASSED, FAILED, OPEN, LACKING, OUTSIDE, ADVICE, FOREIGN, NEITHER))
    assert found.musts == Musts(owed=6, claimed=5, decided=3, passed=1)
    assert (found.musts.failed, found.musts.undecided, found.musts.declined) == (2, 2, 1)
    assert (found.recommendations.owed, found.recommendations.failed, found.not_applicable) == (1, 1, 1)


@pytest.mark.parametrize(
    ("selection", "words", "code"),
    [
        ({"selection": {"layers": ["hinge_loss"]}}, "conforms in what was selected", 0),
        ({"selection": {}, "keyword": "golden"}, "conforms in what was selected", 0),
        ({"selection": {}, "shares": [[2, 4]]}, "share 2/4 of a run: no conclusion", 0),
        ({"quick": True}, "nothing broke in a quick run, which is no conformance run: no conclusion", 0),
    ],
)
def test_a_part_of_the_suite_is_told_to_be_one(selection: dict[str, Any], words: str, code: int) -> None:
    found = Conclusion(report_of(PASSED, selection=selection))
    assert (found.words, int(found.code)) == (words, code)


def test_a_share_in_which_something_broke_does_not_conform() -> None:
    assert int(Conclusion(report_of(PASSED, FAILED, selection={"shares": [[1, 2]]})).code) == 1
    assert int(Conclusion(report_of(OPEN, selection={"shares": [[1, 2]]})).code) == 0


def test_who_shares_the_judges_process_is_never_more_than_undecided() -> None:
    inside = {"implementation": {**HEADER["implementation"], "in_process": True}}
    assert int(Conclusion(report_of(PASSED, **inside)).code) == 7
    assert int(Conclusion(report_of(PASSED, FAILED, **inside)).code) == 1


def test_a_broken_suite_and_a_stopped_run_say_nothing() -> None:
    broken = Report(HEADER, (PASSED, FAILED), ({"item": "x", "message": "y"},), {"exit": 5})
    assert int(Conclusion(broken).code) == 5
    assert int(Conclusion(report_of(PASSED, complete=False)).code) == 5
    assert int(Conclusion(report_of(PASSED, FAILED, complete=False)).code) == 1


def test_the_first_line_holds_who_the_claim_the_numbers_and_what_was_declined() -> None:
    limits = {"limits": ["size>64", "passes"], "selection": {"selection": {"families": ["golden"]}}}
    line = Conclusion(report_of(PASSED, FAILED, OPEN, OUTSIDE, **limits)).line
    assert line == (
        "mine 1.2, float32 and float64; family golden: does not conform; "
        "1 of 4 musts passed, 1 failed, 1 not decided, 1 declined (size>64: 1, passes: 0)"
    )


def test_a_must_that_two_checks_ask_for_is_two() -> None:
    assert Musts.of(each.verdict for each in (PASSED, passed("h/2"))).owed == 2


def shown(report: Report) -> str:
    out = io.StringIO()
    render(report, Console(file=out, width=200), "report.jsonl")
    return out.getvalue()


def test_every_format_gives_the_same_numbers() -> None:
    report = report_of(PASSED, passed("h/9"), FAILED, OPEN, LACKING, OUTSIDE, ADVICE, FOREIGN, NEITHER)
    want = Conclusion(report)
    numbers = want.numbers
    assert numbers == "2 of 7 musts passed, 2 failed, 2 not decided, 1 declined (size>64: 1)"
    plain = {
        "terminal": shown(report),
        "html": html_page(report).replace("&gt;", ">"),
        "markdown": re.sub(r"\\(.)", r"\1", markdown_page(report)),
        "junit": junit_xml(report).replace("&gt;", ">"),
        "json": conclusion_json(report),
    }
    assert {form for form, text in plain.items() if numbers in text} == set(plain)
    assert {form for form, text in plain.items() if want.words in text} == set(plain)
    told = json.loads(plain["json"])
    properties = {p.get("name"): p.get("value") for p in ElementTree.fromstring(junit_xml(report)).iter("property")}
    assert told["musts"] == want.musts.to_json()
    assert {name: properties[f"musts {name}"] for name in told["musts"]} == {
        k: str(v) for k, v in told["musts"].items()
    }
    assert json.loads(badge_json(report))["message"] == "2 of 7 musts, 2 failed, 2 undecided, 1 declined"
    for form in ("terminal", "html", "markdown"):
        assert "1 not applicable" in plain[form], form
        assert "1 not followed" in plain[form], form
        assert "it reports no gradient" in plain[form], form


def test_the_grids_of_all_formats_count_musts() -> None:
    report = report_of(PASSED, FAILED, OPEN, OUTSIDE, ADVICE)
    assert re.search(r"hinge_loss +1/2 \+1", shown(report))
    assert "**1 of 3**" in markdown_page(report)
    assert re.search(r">1 <small>of 3</small>", html_page(report))
