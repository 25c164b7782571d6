"""``lossconf init``: from what somebody has to a stub, the files of a gate, and the command to run first."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import click

from conformance.cli.completing import types
from conformance.cli.saying import say
from conformance.contract.errors import UsageError
from conformance.contract.paths import failed, put

__all__ = ["KINDS", "command"]

WORKFLOW = Path(".github/workflows/conformance.yml")
BASELINE = Path("baseline.toml")

_COMPILED = "g++ -std=c++11 -DCPU_ONLY -I$CAFFE/include {0}.cpp -o {0} -L$CAFFE/lib -lcaffe -lprotobuf -lglog"
_OBJECT = r":(?P<object>[A-Za-z_]\w*)"
_FILE = re.compile(r"(?P<file>[\w./-]+\.py)" + _OBJECT)
_MODULE = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)" + _OBJECT)


@dataclass(frozen=True)
class _Kind:
    """What somebody may have: ``name`` is what is judged unless they say, ``spelled`` what a name has to be."""

    what: str
    name: str
    form: str
    spelled: re.Pattern[str] | None = None
    typed: bool = False
    extra: str = ""
    spelling: str = ""


KINDS = {
    "python-layer": _Kind("a pycaffe Python layer, no Caffe", "my_loss.py:MyLoss", "FILE.py:CLASS", _FILE, typed=True),
    "direct": _Kind("a Python class on numpy arrays", "my_layers:MyLoss", "MODULE:CLASS", _MODULE),
    "torch": _Kind("a function in PyTorch", "my_kernel:loss", "MODULE:FUNCTION", _MODULE, True, "torch"),
    "jax": _Kind("a function in JAX", "my_kernel:loss", "MODULE:FUNCTION", _MODULE, True, "jax"),
    "worker": _Kind("a Caffe in C++, without Python", "./caffe_worker", "PROGRAM", spelling="process"),
    "pycaffe": _Kind("a Caffe with pycaffe", "python3", "PYTHON"),
    "process": _Kind("a program that speaks the protocol", "./my-worker", "COMMAND"),
}


@click.command("init")
@click.argument("name", required=False)
@click.option("--kind", type=click.Choice(list(KINDS)), help="What you have; asked for if not given.")
@click.option(
    "--as",
    "loss",
    metavar="TYPE",
    shell_complete=types,
    help="The layer type that a Python layer or a function computes.",
)
def command(name: str | None, kind: str | None, loss: str | None) -> int:
    """Start with what you have: a stub of NAME where there is none, a workflow for GitHub, the commands to run first.

    NAME is what is judged, as `lossconf run` spells it behind the kind. A file that exists is left as it is.

    \b
    Examples:
      lossconf init                                                asks
      lossconf init --kind python-layer my_loss.py:MyLoss --as TYPE
      lossconf init --kind torch mykernel:loss
      lossconf init --kind worker
    """
    if kind is None:
        kind, name = _asked(name)
    has = KINDS[kind]
    name = name or has.name
    found = has.spelled.fullmatch(name) if has.spelled else None
    if has.spelled and found is None:
        raise UsageError(f"{name!r}: --kind {kind} needs {has.form}, as in {has.name}")
    if loss and not (has.typed and re.fullmatch(r"\w+", loss)):
        raise UsageError(f"--as {loss}: " + ("this is no layer type" if has.typed else f"--kind {kind} has no --as"))
    if kind == "worker":
        _is_written(Path(f"{name}.cpp"), (files("conformance.adapters") / "caffe_worker.cpp").read_text("utf-8"))
    elif found:
        loss = _stub(kind, found, loss)
    spelled = f"{has.spelling or kind}:{name}" + (f" --as {loss}" if loss and has.typed else "")
    _gate(spelled, has)
    say("")
    if kind == "worker":
        say(f"first: {_COMPILED.format(shlex.quote(name))}")
    say(f"{'then' if kind == 'worker' else 'first'}: lossconf smoke {shlex.quote(spelled)}")
    say(f"then: lossconf run {shlex.quote(spelled)} --baseline {BASELINE}")
    say("what fails and is to be known: lossconf baseline update --from report.jsonl")
    return 0


def _asked(name: str | None) -> tuple[str, str]:
    """The kind and the name that somebody at a terminal gives. Raises `UsageError` where there is nobody."""
    if not _someone_is_there():
        raise UsageError(f"there is no terminal to ask on: say --kind, one of {', '.join(KINDS)}")
    say("What do you have?")
    for kind, has in KINDS.items():
        say(f"  {kind:13} {has.what}")
    chosen: str = click.prompt("kind", type=click.Choice(list(KINDS)), show_choices=False)
    has = KINDS[chosen]
    return chosen, name or click.prompt(has.form, default=has.name)


def _someone_is_there() -> bool:
    return sys.stdin.isatty()


def _stub(kind: str, found: re.Match[str], loss: str | None) -> str | None:
    """Write a stub where there is no such file or module; the type that is to be judged, if anything says so."""
    start = next(each for each in (files("conformance.cli") / "starts").iterdir() if each.name.startswith(f"{kind}."))
    computed = start.name.split(".")[1]
    place = found.groupdict()
    if "module" in place and _is_installed(place["module"].partition(".")[0]):
        say(f"{place['module']} is installed, so that no stub is written")
        return loss
    path = Path(place["file"] if "file" in place else place["module"].replace(".", "/") + ".py")
    text = start.read_text("utf-8").replace("@NAME@", place["object"]).replace("@TYPE@", loss or computed)
    return loss or computed if _is_written(path, text) else loss


def _is_installed(name: str) -> bool:
    """Whether a module of that name is found anywhere but in the working directory."""
    spec = find_spec(name)
    return spec is not None and not Path(spec.origin or ".").resolve().is_relative_to(Path.cwd())


def _gate(spelled: str, has: _Kind) -> None:
    from conformance.gate import Baseline, write_baseline

    if _is_free(BASELINE):
        write_baseline(Baseline(path=BASELINE))
        say(f"{BASELINE}: written; nothing is known to fail")
    text = (files("conformance.cli") / "starts" / "workflow.txt").read_text("utf-8")
    build = "" if has.spelled else "      # what is judged has to be built or installed here, before the next step\n"
    filled = {"@BUILD@": build, "@IMPLEMENTATION@": json.dumps(spelled), "@EXTRAS@": has.extra}
    for mark, value in filled.items():
        text = text.replace(mark, value)
    _is_written(WORKFLOW, text)


def _is_written(path: Path, text: str) -> bool:
    """Write a file where there is none, and say so. Raises `UsageError` where that fails."""
    if not _is_free(path):
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise failed(f"{path.parent} cannot be made", error) from None
    put(path, text)
    say(f"{path}: written")
    return True


def _is_free(path: Path) -> bool:
    if path.exists():
        say(f"{path}: is there already, and stays as it is")
    return not path.exists()
