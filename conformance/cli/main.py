"""``lossconf``: finds the command asked for, and turns every mistake into one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

import click

from conformance.cli.signals import interrupted_by
from conformance.contract.errors import NotWhole, Stopped, UsageError, one_line
from conformance.contract.exit_codes import MEANINGS, ExitCode
from conformance.contract.paths import system_told
from conformance.contract.version import VERSION

__all__ = ["cli", "main"]

COMMANDS = {
    "run": "run the suite on an implementation",
    "explore": "search with cases that seeds draw, for hours, and go on another time",
    "init": "start: a stub, a gate for GitHub and the first command, from what you have",
    "smoke": "see whether an implementation is plugged in rightly, before a run",
    "list": "list cases, checks, requirements or implementations",
    "losses": "list losses, show one, check or start a description of your own",
    "show": "print one case so that a person can read it",
    "audit": "say what the loss of a training net is, and which layers it trains",
    "eval": "compute losses and gradients of a net with the reference",
    "mutants": "measure what the suite would catch, on wrong implementations",
    "bench": "time implementations, compare machines, gate regressions",
    "report": "print a report, or write it as HTML, JUnit, Markdown or a badge",
    "explain": "say what is wrong with one failing case, and why",
    "repro": "write a script that shows a failing case to a stranger",
    "check": "hold a report against a baseline and a lock",
    "baseline": "write what is known to fail and what has to run",
    "diff": "say what changed between two reports",
    "history": "say how an implementation fared, report by report",
    "merge": "join the reports of shards, or set those of devices side by side",
    "scoreboard": "set implementations side by side, as a site of pages",
    "export": "write cases as files, for a machine without lossconf",
    "judge": "judge the answers to exported cases",
    "worker": "print the program that drives a Caffe of yours, in C++ or Python",
    "completion": "print the completion script of a shell",
}
"""Every command and what it does; each is ``command`` in the module of its name."""

_DETAIL = 12
"""Lines of an implementation's own output that are shown where it does not start."""

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {int(code)}  {meaning}" for code, meaning in MEANINGS.items())


class _Commands(click.Group):
    """Imports a command only when it is asked for, so that the others' libraries cost nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"conformance.cli.{cmd_name}_command").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="lossconf")
def cli() -> None:
    """Does an implementation of Caffe's loss layers compute what Caffe computes, forward and backward?

    \b
    Examples:
      lossconf run                                  judge the built-in fast layers, numba-cpu
      lossconf run pycaffe:/opt/py36/bin/python     judge a Caffe in its own Python
      lossconf run direct:mylayers:MyLoss           judge a Python class
      lossconf show CASE                            print a case
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: ends the process with one of `ExitCode`, or with 128 and the number of a signal."""
    _open_what_is_closed()
    came: list[signal.Signals] = []
    try:
        with interrupted_by(signal.SIGTERM, signal.SIGHUP) as came:
            outcome = cli.main(args=arguments, prog_name="lossconf", standalone_mode=False)
        sys.stdout.flush()
        code = int(outcome) if isinstance(outcome, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = ExitCode.USAGE
    except click.ClickException as error:
        code = _fail(ExitCode.USAGE, error.format_message())
    except Stopped as error:
        code = _fail(ExitCode(error.code), error.message, error.detail)
    except NotWhole as error:
        code = _fail(ExitCode.HARNESS_BROKEN, str(error))
    except UsageError as error:
        told = str(error)
        code = _fail(ExitCode.USAGE, told, width=len(told))
    except (click.Abort, KeyboardInterrupt):
        by = came[0] if came else signal.SIGINT
        code = _fail(128 + by, f"interrupted by {by.name}" if came else "interrupted")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read the output has gone: not an error
        code = 0
    except OSError as error:
        code = _fail(ExitCode.HARNESS_BROKEN, system_told(error))
    except MemoryError:
        code = _fail(ExitCode.HARNESS_BROKEN, "out of memory")
    except Exception as error:
        if os.environ.get("LOSSCONF_TRACEBACK"):
            traceback.print_exc()
        told = f"{type(error).__name__}: {error}; this is a bug of lossconf (LOSSCONF_TRACEBACK=1 shows where)"
        code = _fail(ExitCode.HARNESS_BROKEN, told)
    sys.exit(code)


def _open_what_is_closed() -> None:
    """Standard streams that a shell has closed (``>&-``) hold nothing from here on, and their numbers no other file."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "w" if number else "r")  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _fail(code: int, message: str, detail: str = "", width: int = 400) -> int:
    with suppress(OSError):  # the exit code is told in any case
        click.echo(f"lossconf: {one_line(message, width)}", err=True)
        for line in detail.strip().splitlines()[-_DETAIL:]:
            click.echo(f"  | {one_line(line, 200)}", err=True)
    _forget_unwritten()
    return code


def _forget_unwritten() -> None:
    """Drop what standard output does not take: else the interpreter would try again at its end, and complain."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
