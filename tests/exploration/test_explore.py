"""`lossconf explore`: a campaign that goes on wherever it was stopped, and finds each mistake once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conformance.cli.main import main
from conformance.contract.exit_codes import ExitCode
from conformance.engine.order import Order
from conformance.exploration.campaign import Campaign
from conformance.exploration.explored import Explored
from conformance.exploration.page import campaign_page
from conformance.record.reader import read_report
from tests.command_line import Lossconf, lossconf_in

EXPLORE = ("explore", "reference", "--layer", "euclidean_loss", "--dtype", "float64", "--out", "campaign")
WHOLE = (*EXPLORE, "--seeds", "1..3", "-j", "0")
MISTAKEN = f"python-layer:{Path(__file__).parents[1] / 'miniature_layers' / 'explored.py'}:ThreeMistakes"


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="module")
def explored_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a campaign that came to its end."""
    folder = tmp_path_factory.mktemp("once") / "campaign"
    with pytest.raises(SystemExit) as ended:
        main([*WHOLE[:-5], str(folder), *WHOLE[-4:]])
    assert ended.value.code == 0
    return folder


@pytest.fixture
def campaign(explored_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(explored_once, tmp_path / "campaign"))


def ended(folder: Path) -> Counter[str]:
    """The checks that have ended, each as often as it has."""
    ends = (end for path in sorted(folder.glob("blocks/*.jsonl")) for end in read_report(path).ended)
    return Counter(str(end["item"]) for end in ends)


def told(folder: Path) -> list[Any]:
    """All that a campaign's verdicts say."""
    found = (judged.verdict for path in sorted(folder.glob("blocks/*.jsonl")) for judged in read_report(path).judged)
    return sorted((v.check, v.dtype, v.requirement, v.status, json.dumps(v.detail, sort_keys=True)) for v in found)


def read_of(page: str) -> str:
    """A page without what a clock gave it."""
    return "\n".join(line for line in page.splitlines() if "of the implementation's time" not in line)


def test_a_campaign_that_comes_to_its_end_says_what_it_met(campaign: Path) -> None:
    assert ended(campaign) == Counter(f"exploration/euclidean_loss/{seed}[float64]" for seed in (1, 2, 3))
    page = (campaign / "campaign.md").read_text()
    assert page.startswith("# reference 0.1.0: all 3 seeds explored, 36 cases decided, 0 finds\n")
    assert "36 cases (36 in float64) of 36 different rows" in page
    assert "\nNever met:\n" in page
    assert "- z with loss\\_weight: " in page
    rows = [
        row for judged in read_report(next(campaign.glob("blocks/*"))).judged for row in judged.verdict.detail["rows"]
    ]
    assert len(rows) == 36
    assert f"| phase | TRAIN {sum(row[7] == '0' for row in rows)}, TEST {sum(row[7] == '1' for row in rows)} |" in page


@pytest.mark.parametrize("seed", range(3))
def test_killed_anywhere_it_goes_on_and_does_nothing_twice(
    campaign: Path, explored_once: Path, lossconf: Lossconf, seed: int
) -> None:
    (path,) = campaign.glob("blocks/*.jsonl")
    content = path.read_bytes()
    kept = random.Random(seed).randrange(1 if seed else len(content) // 2, len(content) - 200)
    path.write_bytes(content[:kept])
    before = len(read_report(path).ended) if b"\n" in content[:kept] else 0
    resumed = lossconf(*WHOLE)
    assert resumed.code == 0, resumed.err
    assert f"{3 - before} of {3 - before} checks" in resumed.err
    assert told(campaign) == told(explored_once)
    assert set(ended(campaign).values()) == {1}
    assert read_of((campaign / "campaign.md").read_text()) == read_of((explored_once / "campaign.md").read_text())
    assert "all 3 seeds explored, 36 cases decided, 0 finds" in resumed.out


def test_a_campaign_that_is_over_runs_nothing_again(campaign: Path, lossconf: Lossconf) -> None:
    before = next(campaign.glob("blocks/*.jsonl")).read_bytes()
    assert lossconf(*WHOLE).code == 0
    assert next(campaign.glob("blocks/*.jsonl")).read_bytes() == before


def test_when_its_time_is_over_it_can_be_gone_on_with(tmp_path: Path, explored_once: Path, lossconf: Lossconf) -> None:
    over = lossconf(*WHOLE, "--minutes", "1e-6")
    assert over.code == 0
    assert "1 of 3 seeds explored, 12 cases decided, 0 finds" in over.out
    assert "1 of 3 seeds" in (tmp_path / "campaign" / "campaign.md").read_text()
    assert lossconf(*WHOLE).code == 0
    assert told(tmp_path / "campaign") == told(explored_once)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (("explore", "numba-cpu", *WHOLE[2:]), 'its spec is "reference", and "numba-cpu" is asked for'),
        ((*WHOLE, "--layer", "hinge_loss"), "its selection is"),
        ((*WHOLE, "--dialect", "bvlc"), 'its dialect is null, and "bvlc" is asked for'),
        ((*EXPLORE, "-j", "0", "--seeds", "1..4"), "its seeds is [1, 3], and [1, 4] is asked for"),
    ],
)
def test_the_folder_of_another_campaign_is_left_alone(
    campaign: Path, lossconf: Lossconf, changed: tuple[str, ...], why: str
) -> None:
    before = {path: path.read_bytes() for path in campaign.rglob("*") if path.is_file()}
    refused = lossconf(*changed)
    assert refused.code == 2
    assert refused.err.startswith("lossconf: campaign holds another campaign: ")
    assert why in refused.err
    assert refused.err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in campaign.rglob("*") if path.is_file()}


def test_the_folder_of_another_suite_is_left_alone(campaign: Path, lossconf: Lossconf) -> None:
    path = campaign / "campaign.json"
    path.write_text(path.read_text().replace('"requirements": "2"', '"requirements": "1"'))
    refused = lossconf(*WHOLE)
    assert (refused.code, "its suite is" in refused.err) == (2, True)


def test_blocks_of_two_implementations_are_no_campaign(campaign: Path, lossconf: Lossconf) -> None:
    (path,) = campaign.glob("blocks/*.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0].replace('"name":"reference"', '"name":"changed"'), *lines[1:3]]))
    refused = lossconf(*WHOLE)
    assert refused.code == 2
    assert "the implementation's name is" in refused.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--seeds", "5..2"), "'5..2' is no range of seeds: use 1..10000"),
        (("--seeds", "0..2"), "no range of seeds"),
        (("--seeds", "7"), "no range of seeds"),
        (("--layer", "hinge"), "did you mean hinge_loss"),
        (("--hours", "nan"), "'nan' is no number of them"),
    ],
)
def test_what_cannot_be_explored_is_said_in_a_line(
    lossconf: Lossconf, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    refused = lossconf("explore", "reference", "--out", "campaign", *words)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert why in refused.err
    assert not (tmp_path / "campaign").exists()


def test_a_folder_with_something_else_is_left_alone(lossconf: Lossconf, tmp_path: Path) -> None:
    (tmp_path / "campaign").mkdir()
    (tmp_path / "campaign" / "thesis.tex").write_text("mine")
    refused = lossconf(*WHOLE)
    assert refused.code == 2
    assert "campaign holds no campaign and is not empty" in refused.err
    assert [path.name for path in (tmp_path / "campaign").iterdir()] == ["thesis.tex"]


def test_who_does_not_start_can_be_spelled_again(lossconf: Lossconf) -> None:
    refused = lossconf("explore", "process:/no/such/program", "-j", "0", "--out", "campaign", "--seeds", "1..3")
    assert refused.code == 6
    assert lossconf(*WHOLE, "--minutes", "1e-6").code == 0


def test_three_mistakes_are_three_finds_whose_cases_replay(lossconf: Lossconf, tmp_path: Path) -> None:
    run = (MISTAKEN, "--as", "EuclideanLoss", "-j", "0")
    found = lossconf("explore", *run, "--layer", "euclidean_loss", "--seeds", "3..4", "--out", "campaign")
    assert found.code == 1
    assert "all 2 seeds explored, 24 cases decided, 3 finds" in found.out
    files = sorted((tmp_path / "campaign" / "finds").glob("*.json"))
    assert [path.stem for path in files] == [
        f"euclidean_loss-{cause}" for cause in ("one-bottom", "sign", "unnameable")
    ]
    page = (tmp_path / "campaign" / "campaign.md").read_text()
    for row in ("pass other-answers", "loss\\_weight minus-three-quarters", "entries 1024"):
        assert f"The simplest case, from seed {3 + (row[0] == 'p')}: {row}." in page
    words = tuple(word for path in files for word in ("--case-file", str(path)))
    again = lossconf("run", *run, "--in-process", *words)
    assert again.code == 1
    report = read_report(tmp_path / "report.jsonl")
    broken = {judged.verdict.check for judged in report.judged if judged.verdict.status.breaks}
    assert broken == {f"case_file/{json.loads(path.read_text())['id']}" for path in files}
    assert lossconf("run", "reference", "-j", "0", *words).code == 0


def test_what_the_suite_broke_on_is_told_and_decides_how_it_ends(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, Order("reference", seed=1, explore=5), 5)
    explored = Explored("reference 0.1.0", errors=["exploration/multibox_loss/7[float32]: IndexError: out of range"])
    page = campaign_page(campaign, explored, [])
    assert page.startswith(
        "# reference 0.1.0: 0 of 5 seeds explored, 0 cases decided, 0 finds, 1 errors of the suite itself"
    )
    assert "- exploration/multibox\\_loss/7\\[float32\\]: IndexError: out of range" in page
    assert explored.code is ExitCode.HARNESS_BROKEN


@pytest.mark.slow
def test_killed_again_and_again_it_is_as_if_nobody_had(explored_once: Path, tmp_path: Path) -> None:
    """By SIGKILL, to the command's whole group, whenever it comes; then once to its end."""
    command = [sys.executable, "-m", "conformance", *EXPLORE, "--seeds", "1..3", "-j", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for seed in range(5):
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(random.Random(seed).uniform(0.5, 4.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True).returncode == 0
    assert told(tmp_path / "campaign") == told(explored_once)
    assert set(ended(tmp_path / "campaign").values()) == {1}
