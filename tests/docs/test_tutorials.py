"""Each tutorial is followed from an empty folder: its files are written, its commands run, what it quotes is printed.

A block of sh is commands, one a line, and ``# ends with N`` behind one is its exit code; a block of text is lines that
the block before it printed, in that order; any other block is a file, whose name is its first line. With CAFFE in the
environment the tutorial for forks is followed with that Caffe.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = {path.stem: path for path in sorted((ROOT / "docs" / "tutorials").glob("*.md"))}
MINIATURE = ROOT / "tests" / "miniature_libcaffe"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"\s+# ends with (\d+)$")


def follow(page: str, folder: Path, given: Mapping[str, str]) -> None:
    """All that a tutorial says, in ``folder``, with ``given`` in the environment."""
    printed = None
    for language, block in _BLOCK.findall(page):
        if language == "sh":
            printed = "".join(run(line, folder, given) for line in block.splitlines())
        elif language == "text":
            assert printed is not None, "nothing was run that could have printed this"
            begin = 0
            for line in block.splitlines():
                begin = printed.find(words(line), begin)
                assert begin >= 0, f"{line!r} is not in:\n{printed}"
        else:
            name = re.match(r"# (\S+)\n", block)
            assert name, f"a block of {language!r} without the name of its file"
            (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / name[1]).write_text(block)


def run(line: str, folder: Path, given: Mapping[str, str]) -> str:
    """What a command prints, its words one space apart."""
    code = _CODE.search(line)
    ran = subprocess.run(["sh", "-c", line], cwd=folder, env={**os.environ, **given}, capture_output=True, text=True)
    assert ran.returncode == (int(code[1]) if code else 0), f"{line}\n{ran.stdout}{ran.stderr}"
    return words(ran.stdout) + "\n"


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Has this `lossconf` on its path."""
    tool = tmp_path / "bin" / "lossconf"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m conformance "$@"\n')
    tool.chmod(0o755)
    return {"PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}"}


def stand_in(folder: Path) -> Path:
    """A libcaffe of two losses, and what a Caffe is linked with, as a real one is installed."""
    for name, source in (("caffe", MINIATURE / "miniature.cpp"), ("protobuf", "/dev/null"), ("glog", "/dev/null")):
        target = folder / "lib" / f"lib{name}.so"
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = ["-std=c++11", "-DCPU_ONLY", f"-I{MINIATURE / 'include'}", "-fPIC", "-shared", "-pthread"]
        subprocess.run(["g++", *flags, "-x", "c++", str(source), "-o", str(target)], check=True)
    (folder / "include").symlink_to(MINIATURE / "include")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_is_followed_from_an_empty_folder(name: str, tmp_path: Path, environment: dict[str, str]) -> None:
    page = TUTORIALS[name].read_text("utf-8")
    if "torch:" in page:
        pytest.importorskip("torch", reason="not run: needs PyTorch")
    if "g++" in page:
        if shutil.which("g++") is None:
            pytest.skip("not run: needs g++")
        environment["CAFFE"] = os.environ.get("CAFFE") or str(stand_in(tmp_path / "caffe"))
    folder = tmp_path / "empty"
    folder.mkdir()
    follow(page, folder, environment)


def test_there_is_a_tutorial_for_every_user_and_each_has_commands() -> None:
    assert TUTORIALS.keys() == {"fork", "gate", "kernel", "port", "python-layer"}
    assert [name for name, page in TUTORIALS.items() if "```sh\nlossconf " not in page.read_text("utf-8")] == []


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("```sh\nfalse\n```\n", "false"),
        ("```sh\ntrue  # ends with 1\n```\n", "true"),
        ("```sh\necho one\n```\n```text\ntwo\n```\n", "'two' is not in"),
        ("```sh\necho one; echo two\n```\n```text\ntwo\none\n```\n", "'one' is not in"),
        ("```text\ntwo\n```\n", "nothing was run"),
        ("```python\nx = 1\n```\n", "without the name of its file"),
    ],
)
def test_a_tutorial_that_is_not_so_fails(page: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=complaint):
        follow(page, tmp_path, {})
