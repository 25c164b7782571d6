"""``lossconf smoke``: is an implementation plugged in rightly?"""

from __future__ import annotations

import click

from conformance.cli.completing import implementations
from conformance.cli.layer_options import python_layer_options
from conformance.cli.run_options import timeout_option
from conformance.cli.saying import say
from conformance.cli.simulate_option import simulate_option
from conformance.contract.exit_codes import ExitCode

__all__ = ["command"]

_DETAIL = 6
"""Lines of an implementation's own output that are shown with a step."""


@click.command("smoke")
@click.argument("implementation", shell_complete=implementations)
@timeout_option
@python_layer_options
@simulate_option
def command(implementation: str, timeout: float) -> int:
    """Start IMPLEMENTATION and give it one case of each kind: is it plugged in rightly?

    \b
    The plumbing is judged and not the losses: whether it describes itself, gets the inputs and gives the blobs in the
    right types and shapes, computes backward, refuses, and goes on after what it could not do. For each step it says
    what to fix.

    \b
    Exit codes: 0 nothing to fix, 1 something, 2 a spelling that makes no sense, 6 it does not start.

    \b
    Examples:
      lossconf smoke direct:mylayers:MyLoss
      lossconf smoke "process:./my-losses --serve"
      lossconf smoke pycaffe:/opt/py36/bin/python --timeout 10
    """
    import shlex

    from conformance.contract.errors import one_line
    from conformance.smoke import Found, State, smoke

    def lines(found: Found) -> list[str]:
        shown = [f"{found.state.value:<5}{found.step:<13}{one_line(found.said)}"]
        if found.remedy:
            shown.append(f"{'':18}to do: {found.remedy}")
        return shown + [f"{'':18}| {one_line(line, 160)}" for line in found.detail.strip().splitlines()[-_DETAIL:]]

    steps: list[Found] = []
    for found in smoke(implementation, timeout=timeout):
        steps.append(found)
        say("\n".join(lines(found)))
    broken = sum(found.state is State.FIX for found in steps)
    tried = sum(found.state is not State.SKIPPED for found in steps)
    if broken:
        say(f"\n{broken} of {tried} steps to fix")
        return ExitCode.DOES_NOT_CONFORM
    say(f"\n{tried} of {tried} steps are right; `lossconf run {shlex.quote(implementation)}` judges the losses")
    return ExitCode.CONFORMS
