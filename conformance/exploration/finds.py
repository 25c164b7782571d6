"""Finds: what failed in a campaign, once for each cause in each loss, with the simplest case that shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from conformance.contract.case import Case
from conformance.contract.paths import put
from conformance.contract.verdict import Verdict
from conformance.diagnosis.diagnosis import diagnose
from conformance.exploration.explored import Explored
from conformance.losses import KNOWN
from conformance.losses.space import Space
from conformance.record.cause import Cause
from conformance.record.evidence import Evidence
from conformance.record.grade import Grade
from conformance.suite.exploration import mark_of, point_of
from conformance.suite.space import Point

__all__ = ["Find", "finds_of", "write_cases"]

SCHEMA = 1


@dataclass(frozen=True)
class Find:
    """A cause in a loss: the verdicts that it explains, the one of the simplest case first, and who was explored."""

    stem: str
    cause: Cause
    verdicts: tuple[Verdict, ...]
    name: str

    @property
    def first(self) -> Verdict:
        return self.verdicts[0]

    @property
    def cases(self) -> int:
        return len({(verdict.check, verdict.dtype) for verdict in self.verdicts})

    @property
    def dtypes(self) -> list[str]:
        return sorted({verdict.dtype for verdict in self.verdicts})

    @property
    def requirements(self) -> list[str]:
        return sorted({verdict.requirement for verdict in self.verdicts})

    @property
    def seed(self) -> str:
        """The seed that gave the simplest case."""
        return self.first.check.split("/")[2]

    @cached_property
    def point(self) -> Point | None:
        """The simplest case as a row of its space; None where a process died with all that was known of it."""
        return _point(self.stem, self.first)

    @property
    def row(self) -> dict[str, str]:
        """What of it is no default."""
        if self.point is None:
            return {}
        defaults = self.point.space.dimensions
        return {name: one for name, one in self.point.row.items() if one != defaults[name][0]}

    @property
    def file(self) -> str:
        """The name of its file among the campaign's finds; empty where there is none."""
        return "" if self.point is None else f"{self.stem}-{self.cause.value.replace('/', '-')}.json"

    def document(self) -> dict[str, Any] | None:
        """The case as a file: a golden case's fields, but for those that an oracle fills."""
        if self.point is None:
            return None
        case = self.point.case()
        case_id = f"{self.stem}/found-{case.digest()}"
        told = f"Found by exploring {self.name} from seed {self.seed}: {self.cause.sentence}."
        served = list(dict.fromkeys((*self.point.served, *self.requirements)))
        content = Case.to_json(case)
        return {
            "schema": SCHEMA,
            "id": case_id,
            "purpose": told,
            "requirements": served,
            "dtype": self.first.dtype,
            "case": content,
        }


def finds_of(explored: Explored) -> list[Find]:
    """The finds of a campaign, loss by loss, the cause that explains most first."""
    pieces = {(piece.check, piece.dtype): piece for piece in explored.evidence}
    by_stem: dict[str, dict[tuple[str, str], list[Verdict]]] = {}
    for judged in explored.broken:
        verdict = judged.verdict
        by_stem.setdefault(judged.stem, {}).setdefault((verdict.check, verdict.dtype), []).append(verdict)
    return [
        Find(stem, cause, verdicts, explored.name)
        for stem, broken in sorted(by_stem.items())
        for cause, verdicts in _grouped(stem, broken, pieces)
    ]


def write_cases(folder: Path, finds: Sequence[Find]) -> None:
    """Each find's case as a file of ``folder``, which holds no others then. Raises as `put` does."""
    folder.mkdir(exist_ok=True)
    written = set()
    for find in finds:
        document = find.document()
        if document is not None:
            put(folder / find.file, json.dumps(document, indent=1) + "\n")
            written.add(find.file)
    for path in folder.glob("*.json"):
        if path.name not in written:
            path.unlink()


def _grouped(
    stem: str, broken: Mapping[tuple[str, str], Sequence[Verdict]], pieces: Mapping[tuple[str, str], Evidence]
) -> Iterator[tuple[Cause, tuple[Verdict, ...]]]:
    """What the causes explain, in the order of the diagnosis; each group's simplest case first.

    Numbers may fit a cause by chance: what fails one requirement on one simplest row is one mistake, whatever the
    numbers of each case point to.
    """
    refusing = {Cause.REFUSES: Grade.EXACT}
    groups = [
        (group.cause, [broken[piece.check, piece.dtype] for piece in group.cases])
        for group in diagnose([pieces.get(key) or Evidence(*key, refusing) for key in broken])
    ]
    told = {(verdicts[0].check, verdicts[0].dtype) for _, group in groups for verdicts in group}
    rest = [verdicts for key, verdicts in broken.items() if key not in told]
    groups += [(Cause.UNNAMEABLE, rest)] if rest else []
    found: dict[tuple[str, str], tuple[Cause, list[Sequence[Verdict]]]] = {}
    for cause, group in groups:
        first = min(group, key=lambda verdicts: _size(stem, verdicts[0]))[0]
        alike = (first.requirement, str(first.detail.get("row", first.check)))
        found.setdefault(alike, (cause, []))[1].extend(group)
    yield from ((cause, _simplest_first(stem, group)) for cause, group in found.values())


def _simplest_first(stem: str, cases: Sequence[Sequence[Verdict]]) -> tuple[Verdict, ...]:
    ordered = sorted(cases, key=lambda verdicts: _size(stem, verdicts[0]))
    return tuple(verdict for verdicts in ordered for verdict in verdicts)


def _size(stem: str, verdict: Verdict) -> tuple[int, int]:
    """How far from simple: the classes that are no default, then the numbers that it has."""
    point = _point(stem, verdict)
    if point is None:
        return 1 << 30, 0
    items, entries = point.size
    return sum(one != point.space.dimensions[name][0] for name, one in point.row.items()), items * entries


def _point(stem: str, verdict: Verdict) -> Point | None:
    if stem not in KNOWN or "row" not in verdict.detail:
        return None
    space = Space(KNOWN[stem])
    if verdict.detail.get("space") != mark_of(space):
        return None
    return point_of(space, verdict.detail)
