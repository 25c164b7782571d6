"""The scoreboard: its numbers are those of the conclusions, its document is read again, and its pages fit a phone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from jsonschema import Draft202012Validator

from conformance.contract.verdict import Level, Status, Verdict
from conformance.gate import Baseline, Known
from conformance.record.conclusion import Conclusion
from conformance.record.report import Judged, Report, net_last
from conformance.views.scoreboard import Scoreboard, entry_of, pages_of, read_scoreboard, schema
from tests.browser import Browser, missing
from tests.command_line import Lossconf, lossconf_in
from tests.reports import HEADER, HOSTILE, failed, passed, report_of, saved, verdict

KNOWN = Known("no floor", "hinge_loss.backward", ("h/2",), issue="https://example.org/issues/7")
BASELINE = Baseline((KNOWN,))


def named(name: str, version: str = "1.2") -> dict[str, Any]:
    return {**HEADER["implementation"], "name": name, "version": version}


def failing() -> Report:
    """Of seven musts one is declined, one open, two fail, one of them in a way that is known."""
    beside = replace(failed("h/5").verdict, dtype="float64", requirement="net.total-loss")
    return report_of(
        passed("h/1"),
        failed("h/2"),
        verdict("h/3", Status.UNSUPPORTED, limit="single layers"),
        verdict("h/4", Status.UNSUPPORTED, reason="not yet"),
        replace(failed("h/5"), stem="net", verdict=beside),
        verdict("h/6", Status.FAILED, level=Level.SHOULD),
        passed("h/7", dtype="float64"),
        verdict("h/8", Status.NOT_APPLICABLE),
        implementation=named("mine"),
    )


@pytest.fixture(scope="module")
def board() -> Scoreboard:
    right = report_of(passed("h/1"), passed("h/2"), implementation=named("right"))
    twin = report_of(passed("h/1"), implementation={**named("right"), "devices": ["gpu:0"]})
    text = HOSTILE[:5000]
    hostile = report_of(failed(text, layer=text, requirement=text[:500]), implementation=named(text, text))
    return Scoreboard([entry_of(each) for each in (right, twin, hostile)] + [entry_of(failing(), BASELINE)])


def test_every_number_is_the_conclusions(board: Scoreboard) -> None:
    report, entry = failing(), board.entries[3]
    found = Conclusion(report, known=1)
    assert (entry.words, entry.line, entry.exit) == (found.words, found.line, int(found.code))
    assert (entry.musts, entry.declined, entry.undecided) == (found.musts, found.declined, found.undecided)
    assert entry.musts.to_json() == {
        "owed": 6, "claimed": 5, "decided": 4, "passed": 2, "failed": 2, "undecided": 1, "declined": 1,
    }  # fmt: skip
    for name, value in entry.musts.to_json().items():
        assert sum(cell.to_json()[name] for cell in entry.cells.values()) == value
    assert [entry.cells[place].passed for place in entry.cells] == [1, 1, 0]
    assert list(entry.cells) == [("hinge_loss", "float32"), ("hinge_loss", "float64"), ("net", "float64")]


def test_a_failure_is_a_known_bug_or_has_a_likely_cause(board: Scoreboard) -> None:
    known, other = board.entries[3].failing
    assert known.bug is not None
    assert (known.bug.reason, known.bug.issue, known.check) == (KNOWN.reason, KNOWN.issue, "h/2")
    assert (other.bug, other.layer, other.dtype, other.count) == (None, "net", "float64", 1)


def test_the_document_fits_its_schema_and_is_read_again(board: Scoreboard, tmp_path: Path) -> None:
    Draft202012Validator.check_schema(schema())
    pages = pages_of(board)
    Draft202012Validator(schema()).validate(json.loads(pages["scoreboard.json"]))
    (tmp_path / "scoreboard.json").write_text(pages["scoreboard.json"])
    assert pages_of(read_scoreboard(tmp_path / "scoreboard.json")) == pages


def test_every_link_leads_to_a_page_and_every_page_has_one(board: Scoreboard) -> None:
    pages = pages_of(board)
    linked = {"index.html"}
    for place, text in pages.items():
        found = [link for link in re.findall(r'href="([^"#]+)"', text) if not link.startswith(("data:", "https:"))]
        linked |= {urljoin(place, link) for link in found}
    assert linked == set(pages)
    assert 'href="https://example.org/issues/7"' in pages[f"bugs/{board.bugs[0].id}.html"]
    assert "(gpu:0)" in pages["index.html"]


def test_nothing_of_an_implementation_is_more_than_text(board: Scoreboard) -> None:
    for place, text in pages_of(board).items():
        if place.endswith(".html"):
            assert "<script" not in text
            assert "\x1b" not in text and "{{" not in text.replace("{{ 7 * 7 }}", "")
            assert not re.findall(r"(?:src|@import|url\()", text.split("</style>")[1])
            assert len(text) < 60_000


def test_an_issue_that_is_no_address_of_the_web_is_no_link() -> None:
    known = replace(KNOWN, issue="javascript:alert(1)")
    pages = pages_of(Scoreboard([entry_of(failing(), Baseline((known,)))]))
    (page,) = (text for place, text in pages.items() if place.startswith("bugs/"))
    assert "javascript:alert(1)" in page
    assert 'href="javascript' not in page


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    saved(tmp_path / "right.jsonl", report_of(passed("h/1"), implementation=named("right")))
    saved(tmp_path / "mine.jsonl", failing())
    (tmp_path / "known.toml").write_text(
        'schema = 1\n[[known]]\nreason = "no floor"\nrequirement = "hinge_loss.backward"\nchecks = ["h/2"]\n'
    )
    return lossconf_in(tmp_path, monkeypatch, capsys)


def test_the_command_writes_the_site_and_takes_its_numbers_again(lossconf: Lossconf, tmp_path: Path) -> None:
    told = lossconf("scoreboard", "right.jsonl", "mine.jsonl", "-o", "site", "--baseline", "mine.jsonl", "known.toml")
    assert (told.code, told.out) == (0, "")
    assert "wrote site/index.html" in told.err
    assert len(list((tmp_path / "site" / "bugs").iterdir())) == 1
    assert lossconf("scoreboard", "site/scoreboard.json", "-o", "again").code == 0
    files = {path.relative_to(tmp_path / "site") for path in (tmp_path / "site").rglob("*.*")}
    assert files == {path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.*")}
    assert all((tmp_path / "site" / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    assert json.loads(lossconf("scoreboard", "--schema").out) == schema()


def test_the_site_takes_the_place_of_nothing_that_it_was_made_of(lossconf: Lossconf, tmp_path: Path) -> None:
    assert lossconf("scoreboard", "right.jsonl", "-o", "site").code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "site").rglob("*.*")}
    told = lossconf("scoreboard", "site/scoreboard.json", "mine.jsonl", "-o", "site")
    assert told.code == 2 and "scoreboard.json" in told.err
    assert {path: path.read_bytes() for path in before} == before


def test_losses_stand_in_the_order_of_the_alphabet_and_the_net_last() -> None:
    assert sorted(["wing_loss", "net", "hinge_loss", "softmax_with_loss"], key=net_last)[-1] == "net"
    places = [("wing_loss", "float32"), ("net", "float64"), ("hinge_loss", "float32"), ("net", "float32")]
    judged = [Judged("golden", stem, Verdict("a", "net.split", dtype, Status.PASSED)) for stem, dtype in places]
    entry = entry_of(report_of(*judged))
    assert list(entry.cells) == [places[2], places[0], places[3], places[1]]


def test_shares_of_one_run_are_one_entry(lossconf: Lossconf, tmp_path: Path) -> None:
    for share, check in ((1, "h/1"), (2, "h/2")):
        part = {"selection": {}, "keyword": "", "shares": [[share, 2]]}
        saved(tmp_path / f"{share}.jsonl", report_of(passed(check), selection=part, plan="of two"))
    assert lossconf("scoreboard", "1.jsonl", "-o", "half").code == 0
    (half,) = read_scoreboard(tmp_path / "half" / "scoreboard.json").entries
    assert half.words == "share 1/2 of a run: no conclusion"
    assert not half.good


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "reports and a folder are needed"),
        (("right.jsonl",), "reports and a folder are needed"),
        (("none.jsonl", "-o", "site"), "cannot read the report none.jsonl"),
        (("known.toml", "-o", "site"), "known.toml, line 1: not a line of a report"),
        (("right.jsonl", "-o", "known.toml"), "known.toml"),
        (
            ("right.jsonl", "-o", "site", "--baseline", "mine.jsonl", "known.toml"),
            "mine.jsonl is not among the reports",
        ),
        (("right.jsonl", "-o", "site", "--baseline", "right.jsonl", "right.jsonl"), "right.jsonl"),
        (("empty.json", "-o", "site"), "empty.json is no scoreboard: not JSON"),
        (("other.json", "-o", "site"), "other.json is no scoreboard: 'kind' is a required property"),
        (("newer.json", "-o", "site"), "newer.json is no scoreboard: schema: 1 was expected"),
        (("sums.json", "-o", "site"), "the numbers of mine 1.2 do not add up to its musts"),
        (("bugs.json", "-o", "site"), "bugs.json is no scoreboard: the field 'no-floor"),
    ],
)
def test_what_is_no_report_is_refused_in_a_line(
    lossconf: Lossconf, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    board = Scoreboard([entry_of(failing(), BASELINE)])
    wrong = board.to_json()
    wrong["implementations"][0]["cells"][0]["passed"] += 1
    documents = {
        "empty": "",
        "other": "{}",
        "newer": json.dumps({**board.to_json(), "schema": 2}),
        "sums": json.dumps(wrong),
        "bugs": json.dumps({**board.to_json(), "bugs": []}),
    }
    for name, text in documents.items():
        (tmp_path / f"{name}.json").write_text(text)
    told = lossconf("scoreboard", *arguments)
    assert (told.code, told.out, told.err.strip().count("\n")) == (2, "", 0), told.err
    assert says in told.err
    assert not (tmp_path / "site").exists()


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_no_page_is_wider_than_a_phone(board: Scoreboard, tmp_path: Path, dark: bool) -> None:
    pages = {place: text for place, text in pages_of(board).items() if place.endswith(".html")}
    with Browser(500, 900, dark) as browser:
        for place, text in pages.items():
            (tmp_path / place).parent.mkdir(exist_ok=True)
            (tmp_path / place).write_text(text)
            browser.open((tmp_path / place).as_uri())
            assert browser.run("return document.documentElement.scrollWidth") <= 500, place
            cells = "return [...document.querySelectorAll('.cell')].every((c) => c.getClientRects().length === 1)"
            assert browser.run(cells), place
        ground = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground))) < 200) is dark
        assert browser.complaints() == []
