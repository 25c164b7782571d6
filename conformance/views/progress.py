"""Progress: what is shown while a run goes on, on a terminal and in a log."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from conformance.contract.errors import one_line

__all__ = ["ProgressBar"]

_LOGGED = 10
"""Lines that a run writes where there is no terminal."""

_LOGGED_CASES = 1000
"""Cases of one check after which it writes a line there."""


class ProgressBar(Progress):
    """A bar that lives on a terminal; a few plain lines anywhere else."""

    def __init__(self, console: Console) -> None:
        words = TextColumn("{task.fields[words]}", markup=False)
        columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), words
        super().__init__(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._broken = 0
        self.add_task("checks", total=None, words="starting")
        (self._checks,) = self.tasks

    def expect(self, items: int) -> None:
        self.update(self._checks.id, total=items)

    def at(self, item: str) -> None:
        self._say(one_line(item, 60))

    def within(self, item: str, cases: int) -> None:
        self._say(f"{one_line(item, 60)}, {cases} cases")
        if self.disable and cases % _LOGGED_CASES == 0:
            self.console.print(f"{one_line(item)}: {cases} cases", highlight=False, markup=False)

    def _say(self, words: str) -> None:
        failed = f"{self._broken} failing  " if self._broken else ""
        self.update(self._checks.id, words=failed + words)

    def judged(self, broken: bool) -> None:
        self._broken += broken
        self.advance(self._checks.id)
        done, total = int(self._checks.completed), int(self._checks.total or 1)
        if self.disable and done * _LOGGED // total > (done - 1) * _LOGGED // total:
            self.console.print(f"{done} of {total} checks, {self._broken} failing", highlight=False)
