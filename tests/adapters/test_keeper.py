"""The keeper: whatever a process starts ends with it, and with the suite, however the suite ends."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.adapters.host import Host
from conformance.adapters.keeper import remove
from conformance.adapters.process import ProcessImplementation
from tests.miniatures import command, well_behaved

ESCAPES = """
import os, subprocess, sys, time
def stay():
    with open(os.environ["PIDS"], "a") as file:
        file.write(f"{os.getpid()} ")
    time.sleep(3600)
for leaves in (False, True):  # a child of its group, and one that leaves group and session
    if os.fork() == 0:
        leaves and os.setsid()
        stay()
if os.fork() == 0:  # a daemon: its parent is gone
    os.setsid()
    os.fork() == 0 and stay()
    os._exit(0)
while not os.path.exists(os.environ["PIDS"]) or open(os.environ["PIDS"]).read().count(" ") < 3:
    time.sleep(0.01)
"""
"""Starts three processes in three ways to get away, and goes on once all of them run."""

DEAF = "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n"

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are found on Linux alone")


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(check: Callable[[], bool]) -> bool:
    """Whether something comes true soon: a signal that was sent is heard when its process is next scheduled."""
    deadline = time.monotonic() + 60.0
    while not check() and time.monotonic() < deadline:
        time.sleep(0.01)
    return check()


@LINUX
@pytest.mark.parametrize("then", ["time.sleep(3600)", "sys.exit(3)", "os.kill(os.getpid(), 11)"])
def test_children_that_left_their_session_end_too(tmp_path: Path, then: str) -> None:
    pids = tmp_path / "pids"
    host = Host([sys.executable, "-c", f"{ESCAPES}\n{then}"], {**os.environ, "PIDS": str(pids)})
    assert gone(lambda: pids.exists() and len(pids.read_text().split()) == 3)
    if "sleep" not in then:
        assert gone(lambda: not host.alive)
    end = host.end(5.0 if "sleep" not in then else 0.0)
    assert end.status == {"time": None, "sys.": 3, "os.k": -11}[then[:4]]
    assert not any(alive(int(pid)) for pid in pids.read_text().split())
    assert not Path(host.scratch).exists()


@LINUX
@pytest.mark.parametrize("worker", ["", DEAF])
def test_nothing_is_left_where_the_suite_is_killed(tmp_path: Path, worker: str) -> None:
    pids, scratch = tmp_path / "pids", tmp_path / "scratch"
    scratch.mkdir()
    line = [sys.executable, "-c", f"{worker}{ESCAPES}\nprint('here', flush=True)\ntime.sleep(3600)"]
    suite = (
        "import os, time; from conformance.adapters.host import Host\n"
        f"host = Host({line!r}); host.receive(time.monotonic() + 60); os.kill(os.getpid(), 9)"
    )
    around = {**os.environ, "PIDS": str(pids), "TMPDIR": str(scratch)}
    assert subprocess.run([sys.executable, "-c", suite], env=around, check=False).returncode == -signal.SIGKILL
    assert gone(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))
    assert gone(lambda: not list(scratch.iterdir()))


BEFORE_THE_KEEPER = "import subprocess; subprocess.Popen = lambda *a, **k: os.kill(os.getpid(), 9); Host(['true'])"
AFTER_THE_KEEPER = "host = Host(['true']); host._popen.wait(); os.kill(os.getpid(), 9)"


@pytest.mark.parametrize("moment", [BEFORE_THE_KEEPER, AFTER_THE_KEEPER], ids=["before", "after"])
def test_no_folder_is_left_where_the_suite_is_killed_while_no_keeper_runs(tmp_path: Path, moment: str) -> None:
    suite = f"import os; from conformance.adapters.host import Host; {moment}"
    around = {**os.environ, "TMPDIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", suite], env=around, check=False).returncode == -signal.SIGKILL
    assert not list(tmp_path.iterdir())


def test_a_process_that_kills_its_parent_ends_as_killed() -> None:
    host = Host([sys.executable, "-c", "import os, time; os.kill(os.getppid(), 9); time.sleep(3600)"])
    assert gone(lambda: not host.alive)
    assert host.end(5.0).status == -signal.SIGKILL


def test_a_command_that_cannot_be_started_is_an_error_as_before(tmp_path: Path) -> None:
    (tmp_path / "no-program").write_text("")
    for name, error in (("no-such-command", FileNotFoundError), (str(tmp_path / "no-program"), PermissionError)):
        with pytest.raises(error):
            Host([name])


def test_a_scratch_folder_that_cannot_be_made_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match=r"none/lossconf-"):
        Host(["true"])


def test_an_implementation_finds_the_signals_as_a_shell_leaves_them() -> None:
    host = Host([sys.executable, "-S", "-c", "import signal; print([signal.getsignal(n) for n in (1, 15)])"])
    assert host.receive(time.monotonic() + 60) == b"[<Handlers.SIG_DFL: 0>, <Handlers.SIG_DFL: 0>]"
    host.end(5.0)


@LINUX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_asked_to_end_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    pids, scratch, deaf = tmp_path / "pids", tmp_path / "scratch", command("hangs_deaf_to_signals", when="")
    scratch.mkdir()
    spec = f"process:sh -c {shlex.quote(f'echo $$ >> {pids}; exec {shlex.join(deaf)}')}"
    words = ["run", spec, "-j", "1", "--case", "hinge_loss/grid-006", "--report", str(tmp_path / "report.jsonl")]
    with subprocess.Popen(
        [sys.executable, "-m", "conformance", *words],
        env={**os.environ, "TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # nohup leaves it ignored, and then a run goes on
    ) as run:
        assert gone(lambda: pids.exists() and bool(pids.read_text()))
        run.send_signal(number)
        assert run.stderr is not None
        assert run.stderr.read().splitlines()[-1].startswith(b"lossconf: ")
    assert run.returncode == 128 + number
    assert not any(alive(int(pid)) for pid in pids.read_text().split())
    assert not list(scratch.iterdir())


def test_the_folder_of_a_process_that_dies_between_cases_is_removed(tmp_path: Path) -> None:
    implementation = ProcessImplementation(well_behaved())
    implementation.describe()
    scratch = Path(str(implementation.scratch))
    implementation.close()
    assert not scratch.exists()


DEEP = """
import os
os.chdir(os.environ["TMPDIR"])
for _ in range(1100):
    os.mkdir("d"), os.chdir("d")
os.symlink(os.environ["MINE"], "link")
os.chmod("..", 0o500)
"""
LINK = """
import os
os.rmdir(os.environ["TMPDIR"]), os.symlink(os.environ["MINE"], os.environ["TMPDIR"])
"""


@pytest.mark.parametrize("program", [DEEP, LINK])
def test_a_scratch_folder_goes_whatever_was_made_of_it(tmp_path: Path, program: str) -> None:
    mine = tmp_path / "mine"
    mine.touch()
    host = Host([sys.executable, "-c", program], {**os.environ, "MINE": str(tmp_path)})
    assert host.end(30.0).status == 0
    assert not os.path.lexists(host.scratch)
    assert mine.exists()


def test_what_cannot_be_removed_is_left_and_nothing_waits_for_it(tmp_path: Path) -> None:
    remove(str(tmp_path / "nothing"))
    (tmp_path / "file").touch()
    remove(str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []
