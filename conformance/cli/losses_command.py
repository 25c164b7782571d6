"""``lossconf losses``: the losses that are known, what is known of one, and files that describe further ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli.completing import profiles, types
from conformance.cli.saying import say
from conformance.contract.errors import UsageError, unknown
from conformance.contract.paths import put

if TYPE_CHECKING:
    from conformance.losses import Loss

__all__ = ["command"]

_TYPE = re.compile(r"[A-Z][A-Za-z0-9]*")


@click.group("losses", invoke_without_command=True)
@click.option("--profile", shell_complete=profiles, help="Only the losses of this profile.")
@click.pass_context
def command(context: click.Context, profile: str | None) -> int:
    """List the losses that are known, by profile; show, check and start descriptions of them.

    \b
    Examples:
      lossconf losses
      lossconf losses show TYPE
      lossconf losses new MyLoss
      lossconf losses check my_loss.py
    """
    if context.invoked_subcommand is not None:
        return 0
    from conformance.losses import PROFILES
    from conformance.suite.outside import installed

    list(installed())
    if profile is not None and profile not in PROFILES:
        raise unknown("profile", profile, PROFILES, "lossconf losses")
    for name, losses in PROFILES.items():
        if profile not in (None, name) or not losses:
            continue
        say(name)
        width = max(len(loss.title) for loss in losses.values())
        for loss in losses.values():
            told = "" if loss.recorded else "  (read, not measured)"
            say(f"  {loss.title.ljust(width)}  {loss.stem}{told}")
    return 0


@command.command("show")
@click.argument("name", metavar="TYPE|FILE.py", shell_complete=types)
def show(name: str) -> int:
    """Print what is known of a loss: formula, bottoms, options, forms and where they are from."""
    for line in _told(_named(name)):
        say(line)
    return 0


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> int:
    """Check a description by itself, before anything is judged by it.

    Gradients are held against differences and imaginary steps of the layer's own forward, kinks and bounds on errors
    against evaluations, options against variants. Prints one line for each fault, and ends with 1 where there is one.
    """
    from conformance.suite.described import faults_of
    from conformance.suite.outside import load_loss

    loss = load_loss(str(file))
    faults = list(faults_of(loss))
    for fault in faults:
        say(fault)
    count = f"{len(loss.variants)} variants, {len(loss.options)} options"
    told = f"{len(faults)} faults" if len(faults) > 1 else "1 fault" if faults else "it holds together"
    say(f"{file}: {loss.type}, {count}: {told}")
    return 1 if faults else 0


@command.command("new")
@click.argument("kind", metavar="TYPE")
@click.option("--out", type=click.Path(path_type=Path), help="The file to write; TYPE in lower case if not given.")
def new(kind: str, out: Path | None) -> int:
    """Write a description to start from: a commented loss of two bottoms with one option; it passes its own check."""
    if not _TYPE.fullmatch(kind):
        raise UsageError(f"{kind!r} is no layer type: a capital letter, then letters and digits, as in MyLoss")
    stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()
    path = out or Path(f"{stem}.py")
    if path.exists():
        raise UsageError(f"{path} exists: remove it, or name another file with --out")
    if not path.stem.isidentifier():
        raise UsageError(f"{path}: the file's name is the loss's in ids, so that it is to be a word with underscores")
    template = (files("conformance.suite") / "new_loss.txt").read_text("utf-8")
    put(path, template.replace("@TYPE@", kind).replace("@STEM@", path.stem))
    say(f"{path}: change it, then `lossconf losses check {path}`")
    return 0


def _named(name: str) -> Loss:
    """A loss by its type, its name in ids, or the file that describes it."""
    from conformance.losses import KNOWN, loss_of_type
    from conformance.suite.outside import installed, load_loss

    if name.endswith(".py"):
        return load_loss(name)
    list(installed())
    if found := KNOWN.get(name) or loss_of_type(name):
        return found
    raise unknown("loss", name, [loss.type for loss in KNOWN.values()], "lossconf losses")


def _told(loss: Loss) -> Iterator[str]:
    from refimpl.layers import FORMS

    yield f"{loss.title}  [{loss.profile}]" + ("" if loss.recorded else "  read, not measured")
    yield ""
    text = (loss.layer.__doc__ or "").replace("``", "").strip()
    yield from (f"  {line.strip()}" for line in text.splitlines())
    yield ""
    yield "bottoms"
    for bottom in loss.bottoms:
        traits = [type(bottom.role).__name__.lower(), *(["takes a gradient"] if bottom.learns else [])]
        traits += ["may be absent"] if bottom.optional else []
        traits += [f"or a file, {bottom.file}"] if bottom.file else []
        yield f"  {bottom.name}: {', '.join(traits)}"
    if loss.feeds is not None:
        yield f"judged beneath {loss.feeds.type}: it feeds a loss and weighs nothing by itself"
    if loss.options:
        yield "options"
        for path, values in loss.options.items():
            yield f"  {path}: {', '.join(map(str, values))}  (default first)"
    forms = [(found, form) for found in FORMS.get(loss.type, ()) for form in found.forms]
    if forms:
        yield "forms"
        for found, form in forms:
            switches = ", ".join(f"{name} {value}" for name, value in form.switches.items())
            yield f"  {form.name}: {(found.__doc__ or '').replace('``', '').strip().splitlines()[0]}"
            yield from (f"      {line}" for line in (switches, form.citation) if line)
    departures = [d for found in FORMS.get(loss.type, ()) for d in vars(found).get("departures", ())]
    if departures:
        yield "where the gradient is not the derivative of the loss"
        yield from (f"  {d.name}: {d.region}: {d.statement} [{d.citation}]" for d in departures)
    yield "variants"
    yield f"  {', '.join(variant.name for variant in loss.variants)}"
