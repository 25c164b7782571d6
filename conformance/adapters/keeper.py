"""Keeper: a process between the suite and somebody's, that outlives either for as long as it takes to leave nothing.

It makes a scratch folder, starts a command, waits, removes the folder and ends as the command ended. Whatever the
command has started ends with it, also what left its group or session: orphans become the keeper's own children where
the system has that (Linux), and are killed until there are none. The same happens at once where the suite dies or
closes its end of a pipe. The folder is the keeper's from beginning to end: at no moment would the suite's death leave
one. Run by its path, with nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["main", "remove"]

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_PATIENCE = 10.0  # seconds for which what goes on starting processes is killed
_CLEARING = 60.0  # seconds for which a folder is emptied
_NOT_FOUND = 127  # what a shell ends with where a command cannot be started
_DEFAULT = ("SIGPIPE", "SIGXFSZ", "SIGINT", "SIGHUP", "SIGTERM", "SIGCHLD")


def main() -> None:
    """The command line: the pipe that ends with the suite, the pipe to tell a failed start, the folder, the command."""
    watched, told, folder, *command = sys.argv[1:]
    watch, tell = int(watched), int(told)
    os.set_inheritable(watch, False)
    os.set_inheritable(tell, False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        os.mkdir(folder, 0o700)
    except OSError as error:
        _tell(tell, error, folder)
        os._exit(_NOT_FOUND)
    leader = _started(command, tell)
    os.close(tell)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    status = _waited(leader, watch)
    _end_all(leader)
    remove(folder)
    _end_as(status)


def remove(folder: str) -> None:
    """Removes a folder that somebody else wrote into, however deep it is and whatever it is by now; what the system
    does not do is left undone.

    What lies in a folder of it is moved up before that folder goes, so that no path becomes long.
    """
    number, left, deadline = 0, [""], time.monotonic() + _CLEARING
    with suppress(OSError):
        while left and time.monotonic() < deadline and stat.S_ISDIR(os.lstat(folder).st_mode):
            os.chmod(folder, 0o700)
            before, left = left, sorted(os.listdir(folder))
            if left == before:
                break  # nothing of it goes
            for name in left:
                path = os.path.join(folder, name)
                with suppress(OSError):
                    if not stat.S_ISDIR(os.lstat(path).st_mode):
                        os.unlink(path)
                        continue
                    os.chmod(path, 0o700)
                    for inner in os.listdir(path):
                        number += 1
                        _move_up(os.path.join(path, inner), os.path.join(folder, f".{number}"))
                    os.rmdir(path)
        os.rmdir(folder) if stat.S_ISDIR(os.lstat(folder).st_mode) else os.unlink(folder)


def _move_up(path: str, to: str) -> None:
    """Moves a file or a folder, which its owner has to be allowed to write to for that."""
    if stat.S_ISDIR(os.lstat(path).st_mode):
        os.chmod(path, 0o700)
    os.rename(path, to)


def _started(command: list[str], tell: int) -> int:
    """Starts the command at the head of a session of its own; one that cannot be started tells why."""
    keeper = os.getpid()
    leader = os.fork()
    if leader:
        return leader
    try:
        os.setsid()
        for name in _DEFAULT:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == keeper:
            os.execvp(command[0], command)
    except OSError as error:
        _tell(tell, error, command[0])
    finally:
        os._exit(_NOT_FOUND)


def _tell(tell: int, error: OSError, what: str) -> None:
    """What could not be made or started, behind its error's number."""
    os.write(tell, os.fsencode(f"{error.errno} {what}"))


def _waited(leader: int, watch: int) -> int | None:
    """Waits for the leader's end or the suite's: the leader's wait status, if it ended."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for name in ("SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(leader, signal.SIGTERM))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    poll = select.poll()
    poll.register(woken, select.POLLIN)
    poll.register(watch, select.POLLIN)
    while True:
        while (found := _reaped())[0]:
            if found[0] == leader:
                return found[1]
        ready = [fd for fd, _ in poll.poll()]
        if watch in ready:
            return None
        os.read(woken, 1 << 10)


def _reaped() -> tuple[int, int]:
    """A child that has ended and its status; (0, 0) where there is none."""
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0


def _end_all(leader: int) -> None:
    """Kills what there is until nothing is left: children of what was killed become children of this process."""
    _kill(leader, os.killpg)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        for child in _children():
            _kill(child, os.kill)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def _kill(number: int, how: Callable[[int, int], None]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        how(number, signal.SIGKILL)


def _children() -> list[int]:
    """The children of this process, as Linux lists them; elsewhere none."""
    me, found = os.getpid(), []
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    for name in names:
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == me:
            found.append(int(name))
    return found


def _end_as(status: int | None) -> None:
    """Ends as the command did; without a core of its own."""
    if status is None:
        os._exit(0)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
