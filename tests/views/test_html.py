"""The HTML report: complete in itself, quick, and usable with mouse, keyboard and links, in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from conformance.contract.verdict import Status, Verdict
from conformance.record.reader import read_report
from conformance.record.report import Judged
from conformance.views.html import html_page
from conformance.views.html.strips import strips_of
from conformance.views.text import headroom_told
from tests.browser import Browser, missing
from tests.reports import failed, failing_run, hostile_report, passed, report_of

CASE = "loss_weight/euclidean_loss/plain/tenth[float32]"
LARGE = 10_000


def passing(i: int, name: str) -> Judged:
    verdict = Verdict(f"check/{i}", f"layer.{name}", "float32", Status.PASSED, headroom=1.5 + i)
    return Judged(f"family-{i % 9}", f"layer-{i % 8}", verdict)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "failing.html").write_text(html_page(read_report(failing_run(folder))), "utf-8")
    (folder / "hostile.html").write_text(html_page(hostile_report()), "utf-8")
    requirement = ("forward", "backward", "bias", "loss-weight")
    many = [
        Judged(
            f"family-{i % 9}",
            f"layer-{i % 8}",
            Verdict(f"check/{i}", f"layer.{name}", "float32", Status.PASSED, headroom=1.5 + i),
        )
        for i in range(LARGE)
        for name in requirement[: 1 + i % 4]
    ]
    (folder / "large.html").write_text(html_page(report_of(*many)), "utf-8")
    return folder


def test_a_headroom_is_written_in_one_way() -> None:
    assert [headroom_told(value) for value in (1.0, 1.23456, 8.0, 1234567.0, 1e300, float("inf"))] == [
        "1",
        "1.23",
        "8",
        "1.23e+06",
        "1e+300",
        "exact",
    ]
    page = html_page(report_of(passed("a", headroom=1234567.0), passed("b", headroom=float("inf"))))
    assert '<td class="num">1.23e+06</td>' in page and '"1.23e+06"' in page and '"exact"' in page


def test_nothing_is_fetched(pages: Path) -> None:
    text = (pages / "failing.html").read_text("utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!#|data:,)[^\"]*\"|@import|url\(|https?://", text)
    assert "default-src 'none'" in text


def test_only_the_pages_own_script_and_style_may_run(pages: Path) -> None:
    text = (pages / "hostile.html").read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    for element in ("style", "script"):
        (body,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy[1].replace("&#39;", "'").replace("&#43;", "+")


def test_the_data_cannot_end_its_element(pages: Path) -> None:
    text = (pages / "hostile.html").read_text("utf-8")
    blocks = re.findall(r'<script type="application/json" id="\w+">(.*?)</script>', text, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert "<" not in block
        json.loads(block)


def test_the_size_at_ten_thousand_checks(pages: Path) -> None:
    assert (pages / "large.html").stat().st_size < 2_000_000


def test_strips_count_headroom_by_powers_of_two() -> None:
    report = report_of(
        passed("a", headroom=1.5), passed("b", headroom=5.0), passed("c", headroom=float("inf")), failed("d")
    )
    (strip,) = strips_of(report)
    assert (strip.counts[:3], strip.exact, strip.smallest) == ((1, 0, 1), 1, 1.5)


needs_browser = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as window:
        yield window


def url(pages: Path, name: str, fragment: str = "") -> str:
    return (pages / f"{name}.html").as_uri() + fragment


@needs_browser
@pytest.mark.slow
def test_the_filter_narrows_the_list_and_a_click_opens_a_case(browser: Browser, pages: Path) -> None:
    browser.open(url(pages, "failing"))
    assert browser.text("#found").startswith("25 of 25 checks")
    browser.type("#f-q", "tenth")
    assert browser.text("#found") == "2 of 25 checks"
    assert "q=tenth" in browser.run("return location.hash")
    browser.click("#checks tbody tr:first-child a")
    assert browser.text("#case-title") == CASE
    assert "off by a factor of the loss_weight" in browser.text("#case .cause")
    assert browser.run("return document.activeElement.id") == "case-title"
    browser.click("#case a")
    assert browser.run("return document.getElementById('overview').hidden") is False
    browser.click("button[type=reset]")
    browser.run("return new Promise((done) => setTimeout(done, 50))")
    assert browser.text("#found").startswith("25 of 25")
    assert browser.complaints() == []


@needs_browser
@pytest.mark.slow
def test_a_link_leads_to_a_case_and_its_elements_are_reached_by_keyboard(browser: Browser, pages: Path) -> None:
    browser.open(url(pages, "failing", f"#case={quote(CASE, safe='')}"))
    assert browser.text("#case-title") == CASE
    assert "L = sum_i" in browser.text("#case")
    assert browser.run("return document.querySelectorAll('.heat:first-of-type td').length") >= 20
    assert browser.text(".told").startswith("[0, 0] got 0.5, want 0.05")
    browser.click(".heat td")
    browser.press("ArrowRight")
    assert browser.text(".told").startswith("[0, 1] got")
    browser.press("ArrowDown")
    assert browser.text(".told").startswith("[1, 1] got")
    assert browser.complaints() == []


@needs_browser
@pytest.mark.slow
def test_a_case_begins_with_its_first_wrong_element_or_with_the_reason(browser: Browser, pages: Path) -> None:
    told = "return [...document.querySelectorAll('.brief > *')].map((each) => each.textContent)"
    browser.open(url(pages, "failing", f"#case={quote(CASE, safe='')}"))
    names, texts = (browser.run(told)[i::2] for i in (0, 1))
    assert names == ["loss", "type", "element", "got", "want", "bound"]
    assert texts[:2] == ["euclidean loss", "float32"]
    assert texts[2].endswith("[0, 0], of layer loss") or "[0, 0]" in texts[2]
    got, want, bound = float(texts[3]), float(texts[4]), float(texts[5].split(",")[0])
    assert texts[5].endswith(" times over") and abs(got - want) > bound
    browser.open(url(pages, "hostile"))
    browser.click("#checks tbody tr:first-child a")
    assert browser.run(told)[0::2] == ["loss", "type", "what"]


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [500, 1300])
def test_no_number_is_broken_into_lines(width: int, pages: Path) -> None:
    """Of every number in a text, all characters stand on one line."""
    broken = """
        const found = [], walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const node = walker.currentNode;
            for (const match of node.data.matchAll(/[-+]?\\d[\\d.,e+-]*\\d/g)) {
                const range = document.createRange();
                range.setStart(node, match.index);
                range.setEnd(node, match.index + match[0].length);
                const tops = new Set([...range.getClientRects()].map((each) => Math.round(each.top)));
                if (tops.size > 1) found.push(`${match[0]} in ${node.data.slice(0, 60)}`);
            }
        }
        return found;
    """
    with Browser(width=width) as browser:
        for fragment in ("", f"#case={quote(CASE, safe='')}"):
            browser.open(url(pages, "failing", fragment))
            assert browser.run("document.querySelectorAll('details').forEach((d) => d.open = true); return 1") == 1
            assert browser.run("return (document.querySelector('main').innerText.match(/\\d/g) || []).length") > 100
            assert browser.run(broken) == []
            assert browser.run("return document.documentElement.scrollWidth") <= width


@needs_browser
@pytest.mark.slow
def test_a_cell_of_the_grid_and_a_cause_lead_to_their_checks(browser: Browser, pages: Path) -> None:
    browser.open(url(pages, "failing"))
    browser.click(".grid a")
    assert browser.run("return document.getElementById('f-stem').value") == "euclidean_loss"
    browser.click(".causes a")
    assert browser.run("return document.getElementById('f-cause').value") != ""
    assert int(browser.text("#found").split()[0]) > 0
    assert browser.complaints() == []


@needs_browser
@pytest.mark.slow
def test_hostile_text_runs_nothing(browser: Browser, pages: Path) -> None:
    browser.open(url(pages, "hostile"))
    browser.click("#checks tbody tr:first-child a")
    assert browser.run("return document.querySelectorAll('script').length") == 3
    assert "<script>alert(1)" in browser.text("#case")
    assert browser.complaints() == []


@needs_browser
@pytest.mark.slow
def test_of_ten_thousand_checks_a_page_makes_as_many_rows_as_are_looked_at(browser: Browser, pages: Path) -> None:
    browser.open(url(pages, "large"))
    rows = "return document.querySelectorAll('#checks tbody tr').length"
    first = browser.run(rows)
    assert browser.text("#found").startswith(f"{LARGE} of {LARGE}")
    assert 0 < first <= 500
    browser.click("#more")
    assert first < browser.run(rows) <= 2 * first
    typed = "const f = document.getElementById('f-q'); f.value = '999'; "
    browser.run(f"{typed} f.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert browser.text("#found").startswith("19 of")
    assert browser.run(rows) == 19


@needs_browser
@pytest.mark.slow
def test_everything_that_can_be_used_has_a_name(browser: Browser, pages: Path) -> None:
    browser.open(url(pages, "failing"))
    nameless = """
        const named = (e) => (e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.textContent.trim()
            || (e.labels && e.labels.length));
        return [...document.querySelectorAll("a, button, input, select, section, [role=region], svg")]
            .filter((e) => !named(e)).map((e) => e.outerHTML.slice(0, 80));
    """
    assert browser.run(nameless) == []
    shown = "[...document.querySelectorAll('h1, h2, h3')].filter((h) => !h.closest('[hidden]'))"
    levels = browser.run(f"return {shown}.map((h) => h.tagName)")
    assert levels[0] == "H1"
    assert levels.count("H1") == 1
    assert browser.run("return document.documentElement.lang") == "en"
