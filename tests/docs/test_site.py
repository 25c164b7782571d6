"""The built site in a browser: nothing is wider than the window, nothing is fetched, and axe finds no serious fault.

`tox -e docs` builds the site and names its folder in LOSSCONF_SITE.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.losses import KNOWN
from tests.browser import Browser, missing
from tests.layer_pages import LAYERS

SITE = Path(os.environ.get("LOSSCONF_SITE", ""))
PAGES = sorted(SITE.rglob("*.html")) if SITE.name else []
PHONE, DESK = 500, 1300

pytestmark = [
    pytest.mark.skipif(not PAGES, reason="no site is built: tox -e docs builds one and runs this"),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

_TOO_WIDE = """
const wide = [...document.querySelectorAll(arguments[0])].filter((each) => each.scrollWidth > each.clientWidth + 1);
return [document.documentElement.scrollWidth, ...wide.map((each) => each.textContent.slice(0, 60))];
"""
_FETCHED = "return performance.getEntriesByType('resource').map((e) => e.name).filter((n) => !n.startsWith('file:'))"
_GROUND = "return getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number)"
_SERIOUS = """
return axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => `${each.id}: ${each.nodes[0].html.slice(0, 160)}`));
"""


def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page.as_uri())
    return browser


@pytest.fixture(scope="module")
def desk() -> Iterator[Browser]:
    with Browser(width=DESK) as browser:
        yield browser


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, from npm."""
    folder = tmp_path_factory.mktemp("npm")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm is installed, from which axe-core comes")
    command = [npm, "install", "--silent", "--no-save", "--prefix", str(folder), "axe-core@4"]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip("npm does not get axe-core")
    return (folder / "node_modules/axe-core/axe.min.js").read_text("utf-8")


def test_every_loss_has_its_picture() -> None:
    without = [stem for stem in KNOWN if 'class="loss"' not in (SITE / f"layers/{stem}.html").read_text("utf-8")]
    assert without == []


def test_every_formula_is_typeset() -> None:
    for stem in KNOWN:
        page = (SITE / f"layers/{stem}.html").read_text("utf-8")
        written = (LAYERS / f"{stem}.md").read_text("utf-8").count("```math\n")
        assert page.count('<div class="math"') == page.count("<math ") == written > 0, stem
        assert not re.search(r"\\(begin|d?frac|sum|text)\b|highlight-math", page), stem


def test_no_formula_is_clipped_on_a_desk_and_nothing_is_fetched(desk: Browser) -> None:
    for page in PAGES:
        width, *clipped = opened(desk, page).run(_TOO_WIDE, "div.math")
        assert width <= DESK and clipped == [], page.name
        assert desk.run(_FETCHED) == [], page.name
    assert desk.complaints() == []


def test_no_page_is_wider_than_a_phone() -> None:
    with Browser(width=PHONE) as browser:
        wide = [page.name for page in PAGES if opened(browser, page).run(_TOO_WIDE, "p, td.none")[0] > PHONE]
    assert wide == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_a_photograph_of_a_loss(width: int, dark: bool, tmp_path: Path) -> None:
    """Kept where LOSSCONF_PHOTOGRAPHS names a folder, as those in docs/images are."""
    taken = Path(os.environ.get("LOSSCONF_PHOTOGRAPHS") or tmp_path) / f"site-{width}{'-dark' if dark else ''}.png"
    with Browser(width=width, dark=dark) as browser:
        opened(browser, SITE / "layers/hinge_loss.html").run("document.querySelector('svg.loss').scrollIntoView()")
        red, green, blue, *_ = browser.run(_GROUND)
        browser.screenshot(taken)
    assert (max(red, green, blue) < 64) if dark else (min(red, green, blue) > 192)
    assert int.from_bytes(taken.read_bytes()[16:20], "big") == width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_serious_fault(axe: str, dark: bool) -> None:
    names = ["index.html", "layers/hinge_loss.html", "guides/ci.html", "glossary.html", "scoreboard.html"]
    names += [
        "scoreboard/index.html",
        "scoreboard/losses/softmax-with-loss.html",
        "scoreboard/implementations/ptcaffe-1-1.html",
    ]
    with Browser(width=DESK, dark=dark) as browser:
        found = {}
        for name in names:
            opened(browser, SITE / name).run(axe)
            found[name] = browser.run(_SERIOUS)
    assert {name: faults for name, faults in found.items() if faults} == {}
