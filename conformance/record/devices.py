"""Devices: one implementation on two of them, layer by layer and type by type, and which of them is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.contract.errors import one_line
from conformance.contract.verdict import Verdict
from conformance.record.conclusion import Musts
from conformance.record.report import Report, net_last

__all__ = ["Side", "Standing", "device_of", "devices_between"]


@dataclass(frozen=True)
class Side:
    """What one device did for a layer in a type: its musts, and the largest error that was measured, in units of the
    bound: at most 1 where all is right; None where nothing was measured."""

    musts: Musts
    error: float | None


@dataclass(frozen=True)
class Standing:
    """A layer in a type on two devices. Of ``measured`` verdicts, those with an error on both, ``unlike`` have not the
    same: the devices computed other numbers there, right or wrong."""

    stem: str
    dtype: str
    sides: tuple[Side, Side]
    measured: int
    unlike: int

    @property
    def right(self) -> tuple[bool, bool]:
        """Whether each device failed nothing, and decided something."""
        first, second = (not side.musts.failed and side.musts.decided > 0 for side in self.sides)
        return first, second


def device_of(header: Mapping[str, Any]) -> str:
    """The devices of a report's implementation, with the name of its GPU where that is told."""
    told = header["implementation"]
    named = (told.get("environment") or {}).get("gpu")
    return one_line(" ".join(["+".join(told.get("devices") or ["cpu"]), *([f"({named})"] if named else [])]), 60)


def devices_between(one: Report, other: Report) -> list[Standing]:
    """A row for each layer and type of both reports, the net last; none where they are not of one implementation,
    name and version, on two devices."""
    headers = [report.header for report in (one, other)]
    names = {(header["implementation"]["name"], header["implementation"]["version"]) for header in headers}
    if len(names) > 1 or device_of(headers[0]) == device_of(headers[1]):
        return []
    tables = [_by_place(report) for report in (one, other)]
    places = sorted(tables[0].keys() & tables[1].keys(), key=lambda place: (net_last(place[0]), place))
    return [_standing(place, tables[0][place], tables[1][place]) for place in places]


Keyed = dict[tuple[str, str], Verdict]
"""Verdicts by check and requirement."""


def _by_place(report: Report) -> dict[tuple[str, str], Keyed]:
    """The verdicts of each layer in each type."""
    found: dict[tuple[str, str], Keyed] = {}
    for judged in report.judged:
        verdict = judged.verdict
        found.setdefault((judged.stem, verdict.dtype), {})[verdict.check, verdict.requirement] = verdict
    return found


def _standing(place: tuple[str, str], one: Keyed, other: Keyed) -> Standing:
    pairs = [(one[key].headroom, other[key].headroom) for key in one.keys() & other.keys()]
    both = [pair for pair in pairs if None not in pair]
    sides = tuple(Side(Musts.of(each.values()), _largest(each.values())) for each in (one, other))
    return Standing(*place, (sides[0], sides[1]), len(both), sum(a != b for a, b in both))


def _largest(verdicts: Iterable[Verdict]) -> float | None:
    errors = [1 / v.headroom if v.headroom else float("inf") for v in verdicts if v.headroom is not None]
    return max(errors, default=None)
