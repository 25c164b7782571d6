"""README, CONTRIBUTING and the pages in docs say what is so, and hold together as plain Markdown."""

from __future__ import annotations

import configparser
import contextlib
import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from conformance.cli.main import COMMANDS, cli
from conformance.contract.version import VERSION

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if "_build" not in path.parts
}

every_page = pytest.mark.parametrize("path", PAGES.values(), ids=list(PAGES))


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_first_two_blocks_are_one_command_each_that_sets_everything_up() -> None:
    run, test = (block.strip() for block in blocks("sh")[:2])
    assert "\n" not in run + test
    assert run.split(" && ") == ["python3 -m venv .venv", ".venv/bin/pip install .", ".venv/bin/lossconf run"]
    assert test.split(" && ") == ["python3 -m venv .venv", ".venv/bin/pip install tox", ".venv/bin/tox"]


def test_the_example_of_the_library_prints_what_it_says() -> None:
    (example,) = blocks("python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "README.md", "exec"), {})
    said = float(re.findall(r"# (\d+\.\d+)", example)[0])
    assert np.isclose(float(printed.getvalue().splitlines()[0]), said, rtol=1e-9)


@pytest.mark.parametrize("line", [line for block in blocks("sh")[2:] for line in block.splitlines() if line.strip()])
def test_every_command_shown_is_one_that_parses(line: str) -> None:
    program, command, *arguments = shlex.split(line, comments=True)
    assert program == "lossconf"
    assert command in COMMANDS
    found = cli.get_command(None, command)  # type: ignore[arg-type]
    assert found is not None
    found.make_context(command, arguments)


def test_every_habit_is_an_environment_of_tox() -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    environments = {name.partition(":")[2] for name in tox.sections() if name.startswith("testenv:")}
    named = set(re.findall(r"tox -e ([a-z,0-9]+)", (ROOT / "CONTRIBUTING.md").read_text("utf-8")))
    plain = {name for names in named for name in names.split(",")}
    assert plain - environments == {"py310", "py311", "py312", "py313"}
    assert environments <= plain


def test_the_changelog_knows_the_version_or_what_comes() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"## [{VERSION}]" in changelog or "## [Unreleased]" in changelog


@every_page
def test_every_row_of_a_table_has_as_many_cells_as_its_head(path: Path) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", prose(path), re.MULTILINE):
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


@every_page
def test_every_link_to_a_file_leads_to_one(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose(path))
    files = [target for target in targets if not target.startswith(("http:", "https:"))]
    assert [target for target in files if not (path.parent / target).exists()] == []
