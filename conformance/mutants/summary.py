"""Summary: a kill matrix as a page of Markdown, as JSON, and in a few lines for a terminal; survivors first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from conformance.mutants.matrix import Row

__all__ = ["Summary"]


class Summary:
    """The rows of a kill matrix, and what is to be said of them."""

    def __init__(self, rows: Sequence[Row], seconds: float, once: bool = False) -> None:
        self.rows = rows
        self.seconds = seconds
        self.wanted = [row for row in rows if row.equivalent is None]
        self.equivalents = [row for row in rows if row.equivalent is not None]
        self.survivors = [row for row in self.wanted if not row.killed_by]
        self.refuted = [row for row in self.equivalents if row.killed_by]
        self.by_one = [row for row in self.wanted if len(row.killed_by) == 1 and not once]
        self.families = list(dict.fromkeys(family for row in rows for family in row.kills))

    @property
    def as_it_should(self) -> bool:
        """Every mutant is killed, and no equivalent one is."""
        return all(row.as_it_should for row in self.rows)

    def lines(self) -> list[str]:
        """The conclusion, for a person."""
        killed = len(self.wanted) - len(self.survivors)
        lines = [f"survived: {row.mutant} (of {', '.join(row.kills) or 'no family'})" for row in self.survivors]
        for row in self.refuted:
            kill = next(kill for kill in row.kills.values() if kill)
            lines.append(f"not equivalent after all: {row.mutant}, by {kill.check} [{kill.dtype}]: {kill.reason}")
        if self.by_one:
            lines.append(f"killed by one family alone: {len(self.by_one)}")
        lines.append(
            f"{killed} of {len(self.wanted)} mutants killed; {len(self.equivalents)} equivalent ones and controls, "
            f"{len(self.refuted)} of them killed; {self.seconds:.0f} s"
        )
        return lines

    def to_json(self) -> str:
        whole: dict[str, Any] = {
            "mutants": len(self.wanted),
            "killed": len(self.wanted) - len(self.survivors),
            "equivalent": len(self.equivalents),
            "seconds": round(self.seconds, 1),
            "families": self.families,
            "rows": [row.to_json() for row in self._survivors_first()],
        }
        return json.dumps(whole, indent=1) + "\n"

    def to_markdown(self) -> str:
        """Counts by layer, then the matrix: x is killed, o breaks a `should`, . survives, a blank is not concerned."""
        page = ["# Kill matrix", "", *self.lines(), "", "## By layer", "", *self._by_layer(), "", "## Mutants", ""]
        page += _table(
            ["mutant", "cause", *self.families],
            ([row.mutant, row.cause, *(self._mark(row, family) for family in self.families)] for row in self._listed()),
        )
        page += ["", "## Equivalent mutants and controls", ""]
        page += _table(
            ["mutant", "why no `must` can tell", "breaks a `should` in"],
            ([row.mutant, row.equivalent or "", ", ".join(row.noticed)] for row in self.equivalents),
        )
        return "\n".join(page) + "\n"

    def _listed(self) -> list[Row]:
        return [row for row in self._survivors_first() if row.equivalent is None]

    def _survivors_first(self) -> list[Row]:
        return sorted(self.rows, key=lambda row: (row.as_it_should, row.equivalent is not None))

    def _by_layer(self) -> list[str]:
        stems = list(dict.fromkeys(row.mutant.partition("/")[0] for row in self.wanted))
        body = []
        for stem in [*stems, ""]:
            rows = [row for row in self.wanted if row.mutant.startswith(f"{stem}/") or not stem]
            killed = sum(bool(row.killed_by) for row in rows)
            several = sum(len(row.killed_by) > 1 for row in rows)
            shares = [str(sum(bool(row.kills.get(family)) for row in rows)) for family in self.families]
            body.append([stem or "all", str(len(rows)), str(killed), str(several), *shares])
        return _table(["layer", "mutants", "killed", "by two or more", *self.families], body)

    @staticmethod
    def _mark(row: Row, family: str) -> str:
        if family not in row.kills:
            return ""
        return "x" if row.kills[family] else "o" if family in row.noticed else "."


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body)]
