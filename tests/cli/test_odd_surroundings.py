"""Odd surroundings: settings, folders and options that a command has to bear, or to refuse in a line."""

from __future__ import annotations

import os
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from rich.table import Table

from conformance.adapters.opening import open_implementation
from conformance.cli.main import main
from conformance.contract.errors import UsageError, printable
from conformance.contract.implementation import DoesNotStart
from conformance.evaluation import arrays
from conformance.evaluation.arrays import read_arrays
from conformance.timing.machine import describe_machine
from conformance.timing.result import write_result
from conformance.views.console import PlainConsole
from tests.command_line import Lossconf, lossconf_in
from tests.reports import passed, report_of, saved
from tests.test_hostile import is_plain
from tests.timing.test_results import MACHINE, measured, result

EVIL = "a\x1b[2Jb\x9bc\u202ed\x07e"
FEW = ("reference", "--case", "euclidean_loss/grid-001", "-j", "0")


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "1e300", "x"])
def test_a_time_that_is_none_is_refused(lossconf: Lossconf, seconds: str) -> None:
    for arguments in (
        ("run", *FEW, "--timeout", seconds),
        ("run", *FEW, "--max-time", seconds),
        ("bench", "--patience", seconds, "numba-cpu"),
    ):
        if arguments[0] == "bench" and seconds == "1e300":
            continue
        ended = lossconf(*arguments)
        assert ended.code == 2
        assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--baseline", "--lock"])
def test_a_baseline_that_is_missing_is_told_before_the_run(lossconf: Lossconf, tmp_path: Path, option: str) -> None:
    ended = lossconf("run", *FEW, option, "missing")
    assert ended.code == 2
    assert "No such file" in ended.err
    assert not (tmp_path / "report.jsonl").exists()


@pytest.mark.parametrize("text", ["", "# nothing\n", 'name: "n"\n'])
def test_a_file_without_a_layer_is_no_net_to_audit(lossconf: Lossconf, tmp_path: Path, text: str) -> None:
    (tmp_path / "empty.prototxt").write_text(text)
    for checking in ((), ("--check",)):
        ended = lossconf("audit", "empty.prototxt", *checking)
        assert ended.code == 2
        assert "holds no layer" in ended.err


@pytest.mark.parametrize("columns", ["0", "-1", "\u00b2", "9" * 5000, "1", ""])
def test_no_width_of_a_terminal_breaks_a_command(
    lossconf: Lossconf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    saved(tmp_path / "report.jsonl", report_of(passed("h/1")))
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    assert lossconf("report").code == 0
    assert lossconf("report", "--help").code == 0


def test_a_stream_that_a_shell_has_closed_changes_no_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "report.jsonl", report_of(passed("h/1")))
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    for path, code in (("report.jsonl", 0), ("nothing.jsonl", 2)):
        with pytest.raises(SystemExit) as ended:
            main(["check", str(tmp_path / path)])
        assert ended.value.code == code
    for name in ("stdin", "stdout", "stderr"):
        getattr(sys, name).close()


def test_without_its_compiler_numba_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    open_implementation("numba-cpu").close()  # kernels that are imported first without a compiler stay without one
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.raises(DoesNotStart, match="NUMBA_DISABLE_JIT"):
        open_implementation("numba-cpu")


def test_no_module_of_the_working_directory_is_run_to_tell_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo.py").write_text("open('run', 'w')")
    monkeypatch.chdir(tmp_path)
    assert describe_machine().cores >= 1
    assert os.getcwd() == str(tmp_path)
    assert not (tmp_path / "run").exists()


def test_what_does_not_print_is_a_space_wherever_it_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("a\tb\nc") == "a\tb\nc"
    assert is_plain(printable(EVIL))
    console = PlainConsole()
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL)
    console.print(table)
    console.print(EVIL, style="bold red")
    shown = capsys.readouterr().out
    assert "a [2Jb c d" in shown
    assert is_plain(shown)


def test_eval_shows_no_control_of_a_nets(lossconf: Lossconf, tmp_path: Path) -> None:
    name = "x\\033[2J\\233"
    net = """
      layer { name: "%s" type: "DummyData" top: "%s" dummy_data_param { shape { dim: 2 dim: 2 } } }
      layer { name: "l%s" type: "EuclideanLoss" bottom: "%s" bottom: "%s" top: "t%s" }"""
    (tmp_path / "net.prototxt").write_text(net.replace("%s", name))
    for arguments in (("eval", "net.prototxt", "--force-backward"), ("audit", "net.prototxt")):
        ended = lossconf(*arguments)
        assert ended.code == 0, ended.err
        assert is_plain(ended.out + ended.err)


def test_bench_compare_shows_no_control_of_a_results(lossconf: Lossconf, tmp_path: Path) -> None:
    told = {"machine": replace(MACHINE, cpu=EVIL)}
    write_result(result(measured(numba_cpu=1000.0, torch=4000.0, copy=800.0), **told), tmp_path / "a.json")
    ended = lossconf("bench", "compare", "a.json")
    assert ended.code == 0
    assert "a [2Jb" in ended.out
    assert is_plain(ended.out + ended.err)


def _zipped(path: Path, members: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_member_that_is_no_array_or_encrypted_is_refused(tmp_path: Path) -> None:
    for content in (b"text", b"", b"\x93NUMPY\x01\x00\x10\x00nonsense........"):
        with pytest.raises(UsageError, match=r"x\.npz is no \.npz of plain arrays"):
            read_arrays(_zipped(tmp_path / "x.npz", {"x.npy": content}))
    whole = bytearray(_zipped(tmp_path / "x.npz", {"x.npy": b"\x93NUMPY"}).read_bytes())
    for place in (6, whole.index(b"PK\x01\x02") + 8):
        whole[place] |= 1  # the flag of an encrypted member, in its own header and in the archive's index
    (tmp_path / "x.npz").write_bytes(whole)
    with pytest.raises(UsageError, match="encrypted"):
        read_arrays(tmp_path / "x.npz")


def test_an_archive_is_not_unpacked_beyond_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(100_000))
    monkeypatch.setattr(arrays, "LARGEST", 100_000)
    with pytest.raises(UsageError, match="unpacked it has 800"):
        read_arrays(tmp_path / "x.npz")


def test_a_member_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }"
    content = b"\x93NUMPY\x01\x00" + (len(head) + 1).to_bytes(2, "little") + head + b"\n"
    with pytest.raises(UsageError, match="of plain arrays"):
        read_arrays(_zipped(tmp_path / "x.npz", {"x.npy": content}))


def test_arrays_of_numbers_are_read_whatever_their_type(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{"a/b": np.array([[1, 2]], np.int8), "c": np.array(True)})
    found = read_arrays(tmp_path / "x.npz")
    assert {name: array.tolist() for name, array in found.items()} == {"a/b": [[1.0, 2.0]], "c": 1.0}
