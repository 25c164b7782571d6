"""What came of the goals, in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.timing.goals import ROWS, Reached, floors, growths, memories, ratios
from conformance.timing.measure import COPY
from conformance.timing.problem import LAYERS
from conformance.timing.result import Result
from conformance.timing.sizes import SIZES
from conformance.timing.table import heading

__all__ = ["Tally", "render_goals"]


@dataclass
class Tally:
    """Goals by what came of them."""

    met: int = 0
    missed: int = 0
    unmeasured: int = 0

    def count(self, reached: Reached) -> None:
        if reached.met is None:
            self.unmeasured += 1
        elif reached.met:
            self.met += 1
        else:
            self.missed += 1


def render_goals(result: Result, caffe: str | None, console: Console) -> Tally:
    """Print every goal beside what was reached."""
    tally, reasons = Tally(), {}
    console.print(Text(heading(result.machine, result.threads), style="bold"))
    console.print(
        Text(f"forward and backward by the plain functions; medians of {result.rounds} interleaved rounds, one run\n")
    )
    table = Table(
        title="Times as long as ours, and the least wanted", title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    for column in ("shape", "type", "against", *(LAYERS[layer].type for layer in LAYERS)):
        table.add_column(column)
    for row in ROWS:
        cells = {reached.what: reached for reached in ratios(result, row, caffe)}
        for reached in cells.values():
            tally.count(reached)
            if reached.reason:
                reasons[f"{row.size} {row.dtype} against {row.peer}, {reached.what}"] = reached.reason
        shape = "x".join(map(str, SIZES[row.size].shape))
        shown = (_cell(cells[layer], "{:.3g}x") if layer in cells else "" for layer in LAYERS)
        table.add_row(shape, row.dtype, row.peer, *shown)
    console.print(table)
    copies = (reached for reached in growths(result, COPY) if reached.value is not None)
    copied = {reached.what: f"a copy of as many bytes: {reached.value:.0%}" for reached in copies}
    for title, goals, form, beside in (
        ("Times as long as a plain copy of the same bytes", floors(result), "{:.2f}x", {}),
        ("Time per entry from 2^20 to 2^26 entries, off its middle", growths(result), "{:.0%}", copied),
        ("Memory beyond inputs and gradients at 2^26 entries", memories(result), "{:.2%}", {}),
    ):
        _render_list(title, goals, form, console, tally, reasons, beside)
    _render_notes(result, reasons, console)
    console.print(Text(f"\n{tally.met} met, {tally.missed} missed, {tally.unmeasured} not measured", style="bold"))
    return tally


def _render_list(
    title: str,
    goals: Iterable[Reached],
    form: str,
    console: Console,
    tally: Tally,
    reasons: dict[str, str],
    beside: Mapping[str, str],
) -> None:
    """One goal a line, with what there is to say ``beside`` it."""
    table = Table(title=f"\n{title}", title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=False)
    for reached in goals:
        tally.count(reached)
        if reached.reason:
            reasons[f"{title}: {reached.what}"] = reached.reason
        table.add_row(reached.what, _cell(reached, form), beside.get(reached.what, ""))
    console.print(table)


def _cell(reached: Reached, form: str) -> Text:
    sign = "<=" if reached.at_most else ">="
    wanted = f"{sign} {form.format(reached.wanted)}"
    if reached.value is None:
        return Text(f"not measured {wanted}", style="yellow")
    word, style = ("", "green") if reached.met else ("MISSED ", "bold red")
    return Text(f"{word}{form.format(reached.value)} {wanted}", style=style)


def _render_notes(result: Result, reasons: dict[str, str], console: Console) -> None:
    lines = [f"{what}: {why}" for what, why in reasons.items()] + list(result.warnings)
    wrong = [
        f"{spec}, {measured.problem}: wrong, {verdict['reason']}"
        for measured in result.measured
        for spec, verdict in measured.verdicts.items()
        if not verdict["accepted"]
    ]
    for title, held in (("Wrong", wrong), ("Note", lines)):
        if held:
            console.print(Text(f"\n{title}", style="bold"))
        for line in held:
            console.print(Text(f"  {line}"))
