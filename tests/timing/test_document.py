"""docs/bench.md says what is so."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path

import click
import pytest

from conformance.cli.bench_command import EVERYDAY
from conformance.cli.main import cli
from conformance.losses import LOSSES, Loss
from conformance.timing.gate import Limits
from conformance.timing.process import TOLERATED
from conformance.timing.sizes import SIZES

PAGE = (Path(__file__).parents[2] / "docs" / "bench.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]


def test_the_sizes_are_the_ones_there_are() -> None:
    told = {row[0].strip("`"): row[1] for row in ROWS if row[0].strip("`") in SIZES}
    assert told.keys() == SIZES.keys()
    for name, size in SIZES.items():
        assert told[name].startswith("x".join(map(str, size.shape)))
        assert ("ignored" in told[name]) == bool(size.ignored)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.stem)
def test_the_operations_are_those_of_the_descriptions(loss: Loss) -> None:
    (row,) = [row for row in ROWS if row[0].partition(",")[0] == loss.type]
    transcendental, plain, per_unit = loss.operations
    assert (int(row[3]), int(row[4]), row[5] != "") == (transcendental, plain, per_unit > 0)


def test_the_numbers_of_the_gate_are_those_of_the_code() -> None:
    limits = Limits()
    assert limits.ratio == pytest.approx(math.sqrt(1.2))
    assert "√1.2" in PAGE
    assert f"{limits.seconds * 1e6:g} µs" in PAGE
    assert f"1/{1 / limits.doubt:.0f}" in PAGE
    assert f"{TOLERATED:.0%}".replace("%", " %") in PAGE


def test_huge_runs_only_if_asked_for() -> None:
    assert set(SIZES) - set(EVERYDAY) == {"huge"}


@pytest.mark.parametrize("line", re.findall(r"^lossconf bench.*$", PAGE, re.MULTILINE))
def test_every_command_shown_is_one_that_parses(line: str) -> None:
    _, command, *arguments = shlex.split(line, comments=True)
    found = cli.get_command(None, command)  # type: ignore[arg-type]
    assert found is not None
    assert isinstance(found, click.Group)
    name = arguments.pop(0) if arguments[:1] and arguments[0] in found.commands else "run"
    found.commands[name].make_context(name, list(arguments))


def test_the_files_that_are_named_exist() -> None:
    root = Path(__file__).parents[2]
    for name in re.findall(r"`((?:bench|refimpl|conformance|docs)/[\w/.]+\.\w+)`", PAGE):
        assert (root / name).is_file(), name
    for name in re.findall(r"\]\(([\w/.]+\.md)\)", PAGE):
        assert (root / "docs" / name).is_file(), name
