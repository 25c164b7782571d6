"""Summary: what a report comes to, in the words and numbers that every format uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from conformance.gate import Baseline, decision_on
from conformance.record.conclusion import Conclusion, Musts, Undecided
from conformance.record.report import Judged, Report, net_last

__all__ = ["Grid", "concluded", "dialect_of", "reasons", "suite_errors"]

_NAMED = 4
"""Requirements that a reason names with their counts; more are counted."""


def concluded(report: Report, baseline: Baseline | None = None) -> Conclusion:
    """The conclusion of a report, beside what a baseline expects."""
    decision = decision_on(report, baseline, None)
    return Conclusion(report, len(decision.known), len(decision.accepted))


@dataclass(frozen=True)
class Grid:
    """Musts by layer and family. Of ``silent`` layers no claimed must was decided; the net comes last."""

    families: Sequence[str]
    stems: Sequence[str]
    silent: Sequence[str]
    cells: Mapping[tuple[str, str], Musts]

    @classmethod
    def of(cls, judged: Sequence[Judged]) -> Grid:
        members: dict[tuple[str, str], list[Judged]] = defaultdict(list)
        for each in judged:
            members[each.stem, each.family].append(each)
        cells = {place: Musts.of(each.verdict for each in some) for place, some in members.items()}
        stems = sorted({stem for stem, _ in cells}, key=net_last)
        told = {stem for (stem, _), musts in cells.items() if musts.claimed} or set(stems)
        families = list(dict.fromkeys(each.family for each in judged))
        return cls(families, [s for s in stems if s in told], [s for s in stems if s not in told], cells)

    def cell(self, stem: str, family: str) -> Musts | None:
        """The musts of a layer in a family; None where none is owed and claimed."""
        musts = self.cells.get((stem, family))
        return musts if musts is not None and musts.claimed else None


def reasons(undecided: Sequence[Undecided]) -> Iterator[tuple[int, str, str]]:
    """Why musts were not decided: how many, the reason, and the requirements with their counts; the most first."""
    groups: dict[tuple[str, str], list[Undecided]] = defaultdict(list)
    for each in undecided:
        groups[each.status, each.reason].append(each)
    for (status, reason), members in sorted(groups.items(), key=lambda group: -sum(each.count for each in group[1])):
        counts: dict[str, int] = defaultdict(int)
        for each in members:
            counts[each.requirement] += each.count
        told = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:_NAMED])
        more = f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
        yield sum(counts.values()), f"{status}: {reason}" if reason else status, told + more


def dialect_of(report: Report) -> str:
    """What was asked for where Caffe departs from its documentation."""
    dialect = report.header["dialect"]
    return f"the {dialect} dialect" if dialect else "Caffe's way or its documentation's, where they differ"


def suite_errors(report: Report) -> list[str]:
    """What went wrong in the suite itself, a sentence each."""
    return [f"suite error in {error['item']}: {error['message']}" for error in report.harness_errors]
