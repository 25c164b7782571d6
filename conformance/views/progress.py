"""Progress: what is shown while a run goes on, on a terminal and in a log."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from conformance.contract.errors import one_line

__all__ = ["ProgressBar"]

_LOGGED = 10
"""Lines that a run writes where there is no terminal."""


class ProgressBar:
    """A bar that lives on a terminal; a few plain lines anywhere else."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = self._count = self._broken = 0
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[words]}", markup=False),
            )
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("checks", total=None, words="starting")

    def expect(self, items: int) -> None:
        self._total = items
        if self._bar is not None:
            self._bar.update(self._task, total=items)

    def at(self, item: str) -> None:
        if self._bar is not None:
            failed = f"{self._broken} failing  " if self._broken else ""
            self._bar.update(self._task, words=failed + one_line(item, 60))

    def judged(self, broken: bool) -> None:
        self._count += 1
        self._broken += broken
        if self._bar is not None:
            self._bar.advance(self._task)
        elif self._count * _LOGGED // self._total > (self._count - 1) * _LOGGED // self._total:
            self._console.print(f"{self._count} of {self._total} checks, {self._broken} failing", highlight=False)

    def __enter__(self) -> ProgressBar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
