"""Paths that a person names: no pipe is waited for, no device read, nothing that was there is lost to a full disk."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.contract.errors import Stopped, UsageError
from conformance.contract.paths import content_of, put, text_of
from conformance.record.reader import read_report
from conformance.record.writer import ReportWriter
from tests.command_line import Lossconf, lossconf_in
from tests.reports import HEADER, passed, report_of, saved


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def failing(number: int) -> Callable[..., Any]:
    def fails(*arguments: Any, **named: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fails


def test_a_pipe_a_device_and_a_folder_are_not_read(tmp_path: Path, pipe: Path) -> None:
    for path, kind in ((pipe, "a pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "a folder|Is a directory")):
        with pytest.raises(UsageError, match=kind):
            content_of(path)


def test_no_more_is_read_than_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert content_of(tmp_path / "x", largest=5) == b"12345"
    with pytest.raises(UsageError, match="more than 4 bytes"):
        content_of(tmp_path / "x", largest=4)
    (tmp_path / "x").write_bytes(b"a\xff")
    with pytest.raises(UsageError, match="not UTF-8 at byte 1"):
        text_of(tmp_path / "x")
    with pytest.raises(UsageError, match="no path"):
        content_of(Path("a\0b"))


def test_every_command_refuses_a_pipe_and_a_device_as_what_it_reads(lossconf: Lossconf, pipe: Path) -> None:
    saved(pipe.parent / "report.jsonl", report_of(passed("h/1")))
    for path in ("pipe", "/dev/zero"):
        for arguments in (
            ("report", path),
            ("check", path),
            ("check", "--baseline", path),
            ("check", "--lock", path),
            ("diff", path, path),
            ("merge", path),
            ("explain", path, "h/1"),
            ("audit", path),
            ("eval", path),
            ("bench", "compare", path),
            ("bench", "goals", path),
            ("run", "reference", "--resume", "--report", path),
            ("judge", path),
        ):
            ended = lossconf(*arguments)
            assert ended.code == 2, (arguments, ended)
            assert len(ended.err.splitlines()) == 1, (arguments, ended)


def test_no_command_waits_for_a_pipe_that_it_is_to_write(lossconf: Lossconf, pipe: Path) -> None:
    saved(pipe.parent / "report.jsonl", report_of(passed("h/1")))
    few = ("--case", "euclidean_loss/grid-001", "-j", "0")
    for arguments in (
        ("run", "reference", *few, "--report", "pipe"),
        ("run", "reference", *few, "--report", "/dev/full"),
        ("run", "reference", *few, "--report", "/dev/null"),
        ("report", "--html", "pipe"),
        ("baseline", "lock", "--from", "report.jsonl", "--lock", "pipe"),
    ):
        ended = lossconf(*arguments)
        assert ended.code == 2, (arguments, ended)
        assert "cannot write" in ended.err


def test_no_command_writes_over_what_it_reads(lossconf: Lossconf, tmp_path: Path) -> None:
    saved(tmp_path / "report.jsonl", report_of(passed("h/1")))
    before = (tmp_path / "report.jsonl").read_bytes()
    (tmp_path / "link").symlink_to("report.jsonl")
    for arguments in (
        ("report", "--html", "report.jsonl"),
        ("report", "--json", "link"),
        ("report", "link", "--junit", "report.jsonl"),
        ("repro", "report.jsonl", "h/1", "-o", "report.jsonl"),
        ("merge", "report.jsonl", "--html", "link"),
        ("baseline", "lock", "--from", "report.jsonl", "--lock", "link"),
        ("baseline", "update", "--from", "report.jsonl", "--baseline", "report.jsonl"),
        ("run", "reference", "--lock", "report.jsonl"),
        ("run", "reference", "--baseline", "link"),
        ("judge", "report.jsonl"),
    ):
        ended = lossconf(*arguments)
        assert (ended.code, ended.err.count("\n")) == (2, 1), (arguments, ended)
        assert "is read from and would be written over" in ended.err
    assert (tmp_path / "report.jsonl").read_bytes() == before


def test_a_pipe_that_somebody_reads_is_written_to(pipe: Path) -> None:
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    while True:
        try:
            put(pipe, "text" * 100_000)
            break
        except UsageError:  # the reader has not come yet
            continue
    reader.join()
    assert found == [b"text" * 100_000]


def test_a_full_device_is_told_in_the_systems_words(tmp_path: Path) -> None:
    with pytest.raises(Stopped, match="No space left on device") as raised:
        put(Path("/dev/full"), "text")
    assert raised.value.code == 5


def test_what_was_there_stays_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "baseline.toml"
    put(path, "old")
    path.chmod(0o640)
    monkeypatch.setattr(os, "replace", failing(errno.ENOSPC))
    with pytest.raises(Stopped, match="No space left on device"):
        put(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["baseline.toml"]
    put(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link_and_a_mounted_file_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    put(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"
    monkeypatch.setattr(os, "replace", failing(errno.EBUSY))
    put(tmp_path / "file", "newer")
    assert (tmp_path / "file").read_text() == "newer"


class Half:
    """A file that takes half of what it is given, then nothing for a while."""

    def __init__(self, file: Any, number: int) -> None:
        self._file, self._number, self.full = file, number, False

    def write(self, content: Any) -> int:
        if self.full:
            raise OSError(self._number, os.strerror(self._number))
        self.full = len(content) > 1
        return int(self._file.write(bytes(content[: max(1, len(content) // 2)])))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EFBIG])
def test_a_report_keeps_whole_lines_where_the_disk_is_full(tmp_path: Path, number: int) -> None:
    path = tmp_path / "report.jsonl"
    with pytest.raises(Stopped, match=os.strerror(number)), ReportWriter(path) as writer:
        writer.write(HEADER)
        writer._file = Half(writer._file, number)  # type: ignore[assignment]
        writer.write({"kind": "end", "item": "h/1[float32]", "cases": {}})
    assert path.read_bytes().endswith(b"}\n")
    assert read_report(path).ended == ()


def test_what_the_system_does_not_do_is_no_bug_of_lossconf(
    lossconf: Lossconf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.cli.check_command.decided", failing(errno.EMFILE))
    ended = lossconf("check")
    assert (ended.code, ended.err) == (5, f"lossconf: the system failed: {os.strerror(errno.EMFILE)}\n")
