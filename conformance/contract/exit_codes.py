"""Exit codes: what the end of a command says to a script."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["MEANINGS", "ExitCode"]


class ExitCode(IntEnum):
    """The exit codes of every command; a signal ends with 128 and its number, Ctrl-C with 130, as a shell has it."""

    CONFORMS = 0
    DOES_NOT_CONFORM = 1
    USAGE = 2
    STALE_BASELINE = 3
    FEWER_CHECKS_THAN_LOCK = 4
    HARNESS_BROKEN = 5
    DOES_NOT_START = 6
    UNDECIDED = 7


MEANINGS = {
    ExitCode.CONFORMS: "the implementation conforms, within the limits that it stated",
    ExitCode.DOES_NOT_CONFORM: "it does not, or got worse than its baseline",
    ExitCode.USAGE: "the command was given something it cannot use",
    ExitCode.STALE_BASELINE: "the baseline no longer describes the implementation",
    ExitCode.FEWER_CHECKS_THAN_LOCK: "fewer checks ran than the lock asks for",
    ExitCode.HARNESS_BROKEN: "the suite itself broke: the run says nothing",
    ExitCode.DOES_NOT_START: "the implementation does not start",
    ExitCode.UNDECIDED: "something that it has to do, and claims to, was not decided",
}
