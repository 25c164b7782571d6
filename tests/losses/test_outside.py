"""Losses from outside: described in a file, checked by themselves, judged by the whole suite in every process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guides" / "own-loss.md"


QUICK = ("-j", "2", "--family", "gradients", "--family", "loss_weight")
"""What the page's run is cut to."""


def lossconf(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: what is registered stays there."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "conformance", *words], cwd=folder, capture_output=True, text=True, env=environment
    )


def blocks(kind: str) -> list[str]:
    parts = PAGE.read_text("utf-8").split(f"```{kind}\n")[1:]
    return [part.split("```")[0] for part in parts]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the template, as the page has it written."""
    place = tmp_path_factory.mktemp("own")
    assert lossconf(place, "losses", "new", "RobustLoss").returncode == 0
    return place


@pytest.mark.slow
def test_the_page_leads_from_nothing_to_a_judged_layer(tmp_path: Path) -> None:
    layers = blocks("python")[0]
    (tmp_path / "mylayers.py").write_text(layers)
    commands = [line.split()[1:] for block in blocks("sh") for line in block.splitlines()]
    ends = [(words[0], lossconf(tmp_path, *words, *(QUICK if words[0] == "run" else ()))) for words in commands]
    assert [(word, end.returncode) for word, end in ends] == [
        ("losses", 0),
        ("losses", 0),
        ("run", 1),
        ("explain", 0),
        ("losses", 0),
    ], [end.stderr for _, end in ends]
    assert "log(1 + (scale" in ends[-1][1].stdout
    header = json.loads((tmp_path / "report.jsonl").read_text().splitlines()[0])
    assert header["losses"][0]["type"] == "RobustLoss"
    assert len(header["losses"][0]["sha256"]) == 64
    (tmp_path / "mylayers.py").write_text(
        layers.replace("2 * self.scale * difference", "2 * self.scale**2 * difference")
    )
    right = lossconf(tmp_path, *commands[2], *QUICK)
    assert right.returncode == 0, right.stdout


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("/ bottom[0].num", "* 1.001 / bottom[0].num", "backward gives"),
        ("np.log(1.0 + scaled * scaled)", "np.absolute(scaled)", "kinks() declares none"),
        ("np.log(1.0 + scaled * scaled)", "np.arctan(scaled)", "running errors do not know numpy.arctan"),
        (
            "return bottom[0].wide - bottom[1].wide",
            "return np.asarray(bottom[0].wide.real - bottom[1].wide.real)",
            "errors are lost",
        ),
        ('"robust_loss_param.scale": (1', '"robust_loss_param.sigma": (1', "has no field 'sigma'; it has scale"),
        (', {"robust_loss_param.scale": 0.5}', "", ""),
        ('Scores(of="x"), learns=True', 'Scores(of="x")', ""),
        ("1.0 + scaled * scaled)) /", "-1.0 - scaled * scaled)) /", "its loss is nan"),
    ],
    ids=["gradient", "kink", "operation", "errors", "option", "reached-otherwise", "fewer-gradients", "nan"],
)
def test_a_fault_of_a_description_is_told_in_a_line(
    folder: Path, tmp_path: Path, old: str, new: str, fault: str
) -> None:
    text = (folder / "robust_loss.py").read_text()
    assert old in text
    (tmp_path / "robust_loss.py").write_text(text.replace(old, new))
    said = lossconf(tmp_path, "losses", "check", "robust_loss.py")
    assert said.returncode == (1 if fault else 0), said.stdout + said.stderr
    assert fault in said.stdout


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("absent.py", None, "there is no file"),
        ("broken.py", "1 / 0", "line 1: ZeroDivisionError"),
        ("empty.py", "", "has no LOSS"),
        ("euclidean_loss.py", "", "a loss is called euclidean_loss already"),
        ("two-words.py", "", "a word with underscores"),
    ],
)
def test_what_is_no_description_is_one_line(tmp_path: Path, name: str, text: str | None, complaint: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    said = lossconf(tmp_path, "run", "reference", "--loss", name)
    assert said.returncode == 2
    assert complaint in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1


def test_a_type_that_is_known_is_not_taken_over(folder: Path, tmp_path: Path) -> None:
    text = (folder / "robust_loss.py").read_text().replace('type = "RobustLoss"', 'type = "HingeLoss"')
    (tmp_path / "mine.py").write_text(text)
    assert "HingeLoss is known already" in lossconf(tmp_path, "losses", "check", "mine.py").stderr


def test_an_installed_package_brings_its_losses(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "robust_loss.py").write_text((folder / "robust_loss.py").read_text())
    info = tmp_path / "some-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lossconf.losses]\nrobust = robust_loss\n")
    said = subprocess.run(
        [sys.executable, "-m", "conformance", "losses", "--profile", "outside"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert "RobustLoss" in said.stdout, said.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("new", "robust"), "is no layer type"),
        (("new", "RobustLoss"), "exists"),
        (("show", "HingLoss"), "did you mean HingeLoss"),
        (("--profile", "nope"), "no profile named 'nope'"),
    ],
)
def test_mistakes_of_the_command_line(folder: Path, words: tuple[str, ...], complaint: str) -> None:
    said = lossconf(folder, "losses", *words)
    assert said.returncode == 2
    assert complaint in said.stderr
