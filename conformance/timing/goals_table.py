"""What came of goals, in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.timing.goals import Goals, Reached
from conformance.timing.result import Result
from conformance.timing.table import heading, print_lines, wrong_answers

__all__ = ["render_goals"]

ABOUT = {
    "ratio": ("times as long: {}", "{:.3g}x"),
    "growth": ("time per entry, off its middle", "{:.0%}"),
    "memory": ("memory beyond inputs and gradients", "{:.2%}"),
}

WORDS = {True: ("met", "green"), False: ("MISSED", "bold red"), None: ("not measured", "yellow")}


def render_goals(goals: Goals, result: Result, console: Console) -> list[Reached]:
    """Print every goal beside what was reached; all that was reached."""
    console.print(Text(heading(result.machine, result.threads), style="bold"))
    console.print(Text(f"{goals.implementation}: medians of {result.rounds} interleaved rounds, one run"))
    every: list[Reached] = []
    for goal in goals.goals:
        what, form = ABOUT[goal.kind]
        sizes = " to ".join(dict.fromkeys((goal.sizes[0].name, goal.sizes[-1].name)))
        title = f"\n{sizes}, {goal.dtype}, {goal.mode}: {what.format(goal.peer)}"
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=False)
        for layer, reached in goal.reached(result, goals.implementation).items():
            every.append(reached)
            table.add_row(layer, *_cells(reached, form))
        console.print(table)
    print_lines(console, "Wrong", wrong_answers(result))
    print_lines(console, "Note", iter(result.warnings))
    counts = ", ".join(
        f"{sum(reached.met is met for reached in every)} {word.lower()}" for met, (word, _) in WORDS.items()
    )
    console.print(Text(f"\n{counts}", style="bold"))
    return every


def _cells(reached: Reached, form: str) -> tuple[str, str, Text]:
    """What was reached, what was wanted, and the verdict."""
    value = "" if reached.value is None else form.format(reached.value)
    word, style = WORDS[reached.met]
    verdict = Text(word, style=style).append(f": {reached.reason}" if reached.reason else "", style="default")
    return value, f"{'<=' if reached.at_most else '>='} {form.format(reached.wanted)}", verdict
