"""The real command: what it prints, its formats and its exit codes."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from conformance.audit.findings import IDS, Finding, Level
from tests.audit.nets import LOGITS, LOSS, PAIRS, PLAIN
from tests.command_line import Lossconf, lossconf_in

ROOT = Path(__file__).parents[2]
GOOGLENET = Path(__file__).parent / "googlenet_like.prototxt"
SCHEMA = json.loads((files("conformance.audit") / "schema.json").read_text("utf-8"))


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    (tmp_path / "good.prototxt").write_text(PLAIN, "utf-8")
    (tmp_path / "odd.prototxt").write_text(LOGITS + LOSS % "loss_weight: -1", "utf-8")
    (tmp_path / "broken.prototxt").write_text("layer {", "utf-8")
    return lossconf_in(tmp_path, monkeypatch, capsys)


def test_the_readmes_output_is_real(lossconf: Lossconf) -> None:
    said = lossconf("audit", str(GOOGLENET))
    readme = (ROOT / "README.md").read_text("utf-8")
    assert said.code == 0
    assert said.out.partition("\n")[2] in readme


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("good.prototxt", "--check"), 0),
        (("odd.prototxt",), 0),
        (("odd.prototxt", "--check"), 1),
        (("odd.prototxt", "--check", "--ignore", "negative-weight"), 0),
        (("good.prototxt", "odd.prototxt", "--check"), 1),
        (("good.prototxt", "--ignore", "no-such"), 2),
        (("broken.prototxt",), 2),
        (("good.prototxt", "gone.prototxt"), 2),
    ],
)
def test_the_exit_code_is_for_gates(arguments: tuple[str, ...], code: int, lossconf: Lossconf) -> None:
    assert lossconf("audit", *arguments).code == code


def test_several_files_are_a_table_and_a_broken_one_costs_no_other(lossconf: Lossconf) -> None:
    said = lossconf("audit", "good.prototxt", "broken.prototxt", "odd.prototxt")
    assert said.out.splitlines() == ["good.prototxt: L = 1·Σ l", "odd.prototxt: L = -1·Σ l  (1 warning)"]
    assert "broken.prototxt: parse, line 1" in said.err


@pytest.mark.parametrize("name", PAIRS)
def test_json_is_what_the_schema_says(name: str, tmp_path: Path, lossconf: Lossconf) -> None:
    (tmp_path / "net.prototxt").write_text(PAIRS[name][0], "utf-8")
    said = json.loads(lossconf("audit", "net.prototxt", "broken.prototxt", "--json").out)
    jsonschema.validate(said, SCHEMA)
    assert name in [finding["id"] for finding in said["nets"][0]["findings"]]
    assert said["refused"][0]["file"] == "broken.prototxt"


def test_the_schema_names_every_finding() -> None:
    assert SCHEMA["$defs"]["finding"]["properties"]["id"]["enum"] == list(IDS)


def test_markdown_has_the_equation_and_the_findings(lossconf: Lossconf) -> None:
    said = lossconf("audit", "odd.prototxt", "--markdown").out
    assert "`L = -1·Σ l`" in said
    assert "([negative-weight](docs/audit.md#negative-weight))" in said


def test_markdowns_tables_hold_any_name(tmp_path: Path, lossconf: Lossconf) -> None:
    (tmp_path / "net.prototxt").write_text(PLAIN.replace('name: "loss"', 'name: "a|b\\nc"'), "utf-8")
    assert "| a\\|b c (SoftmaxWithLoss) | 1, implicit |" in lossconf("audit", "net.prototxt", "--markdown").out


def test_forms_come_one_at_a_time_and_of_one_net(lossconf: Lossconf) -> None:
    assert "ask for one at a time" in lossconf("audit", "good.prototxt", "--json", "--svg").err
    assert "is about one net" in lossconf("audit", "good.prototxt", "odd.prototxt", "--torch").err
    assert lossconf("audit", "good.prototxt", "--torch").out.startswith("# The loss of good.prototxt")
    assert lossconf("audit", "good.prototxt", "--svg").out.startswith("<svg")


def test_every_finding_has_its_place_on_its_page() -> None:
    pages = {finding: Finding(finding, Level.NOTE, "").page.split("#") for finding in IDS}
    headings = {page: _anchors(ROOT / page) for page, _ in pages.values()}
    assert all(anchor in headings[page] for page, anchor in pages.values())
    assert headings["docs/audit.md"][-len(IDS) :] == list(IDS)


def _anchors(page: Path) -> list[str]:
    """What a heading's link ends in, as GitHub and MyST make it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
