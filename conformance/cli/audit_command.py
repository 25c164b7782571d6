"""``lossconf audit``: what the loss of a training net is, and which layers it trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli.saying import say
from conformance.contract.errors import UsageError
from conformance.contract.exit_codes import ExitCode

if TYPE_CHECKING:
    from conformance.audit.audit import Audit

__all__ = ["command"]


@click.command("audit")
@click.argument("nets", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--phase", type=click.Choice(["TRAIN", "TEST"]), default="TRAIN", show_default=True)
@click.option("--stage", "stages", multiple=True, help="A stage that holds; repeatable.")
@click.option("--level", type=int, help="The level that holds, whatever the net or solver says.")
@click.option("--ignore", "ignored", multiple=True, metavar="ID", help="Leave out findings of this id; repeatable.")
@click.option("--check", "checking", is_flag=True, help="End with 1 where there is an error or a warning.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown.")
@click.option("--torch", "as_torch", is_flag=True, help="Print the loss of one net as a Python module in PyTorch.")
@click.option("--svg", "as_svg", is_flag=True, help="Print a drawing of one net: which layers lead to which loss.")
def command(
    nets: tuple[Path, ...],
    phase: str,
    stages: tuple[str, ...],
    level: int | None,
    ignored: tuple[str, ...],
    checking: bool,
    as_json: bool,
    as_markdown: bool,
    as_torch: bool,
    as_svg: bool,
) -> int:
    """Say what the loss of NETS is a sum of and which layers are trained by it, from the prototxt of a net or a solver
    alone.

    \b
    Examples:
      lossconf audit train_val.prototxt
      lossconf audit solver.prototxt --check
      lossconf audit a.prototxt b.prototxt --json
      lossconf audit train_val.prototxt --torch > loss.py
    """
    from conformance.audit.audit import SCHEMA, audit
    from conformance.audit.findings import IDS, Level
    from conformance.audit.pytorch import in_pytorch
    from conformance.audit.svg import drawing
    from conformance.audit.text import lines, markdown, table
    from conformance.contract.errors import unknown

    forms = {"--json": as_json, "--markdown": as_markdown, "--torch": as_torch, "--svg": as_svg}
    asked = [name for name, wanted in forms.items() if wanted]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} are several forms: ask for one at a time")
    if len(nets) > 1 and (as_torch or as_svg):
        raise UsageError(f"{asked[0]} is about one net: give one, not {len(nets)}")
    for name in ignored:
        if name not in IDS:
            raise unknown("finding", name, IDS)
    audits: list[Audit] = []
    broken: list[tuple[Path, UsageError]] = []
    for path in nets:
        try:
            audits.append(audit(path, phase, level, stages, ignored))
        except UsageError as error:
            broken.append((path, error))
    if as_json:
        refused = [{"file": str(path), "why": str(error)} for path, error in broken]
        whole = {"schema": SCHEMA, "nets": [each.to_json() for each in audits], "refused": refused}
        say(json.dumps(whole, indent=1))
    elif as_markdown:
        say("\n".join(markdown(each) for each in audits), nl=False)
    elif as_torch:
        say("".join(map(in_pytorch, audits)), nl=False)
    elif as_svg:
        say("".join(map(drawing, audits)), nl=False)
    else:
        for line in table(audits) if len(nets) > 1 else (line for each in audits for line in lines(each)):
            say(line)
    for _, why in broken:
        say(f"lossconf: {why}", err=True)
    if broken:
        return ExitCode.USAGE
    bad = checking and any(each.worst() in (Level.ERROR, Level.WARNING) for each in audits)
    return ExitCode.DOES_NOT_CONFORM if bad else ExitCode.CONFORMS
