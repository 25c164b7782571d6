"""Merging: the reports of shards become one; those of several machines, devices or versions stand side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.contract.errors import UsageError, one_line
from conformance.record.conclusion import Conclusion, Musts
from conformance.record.devices import device_of
from conformance.record.report import Report, net_last
from conformance.record.whole import digest_of_items, footer_of, refuse_cut

__all__ = ["Column", "joined", "matrix", "unlike"]

_OF_ONE_RUN = ("schema", "suite", "losses", "dialect", "seed", "explore", "fresh", "dtypes", "limits", "plan")
"""Fields of the header that shards of one run agree on, beside selection, implementation and kind of machine."""

_OF_A_MACHINE = ("environment",)
"""What may differ in an implementation's description from one shard's machine to another's."""

_NAMES = {"plan": "set of checks", "losses": "losses from outside"}
"""Fields whose name says little to a person."""


def joined(reports: Mapping[Path, Report]) -> list[tuple[list[Path], Report]]:
    """Shards of one run joined, everything else as it is; each with the files it comes from.

    Reports are shards of one run where suite, items, implementation, claim, selection and kind of machine agree. Raises
    `UsageError` where an item ran twice, `NotWhole` where all shards are there and their items are not the run's.
    """
    groups: dict[str, list[tuple[Path, Report]]] = {}
    for path, report in reports.items():
        group = groups.setdefault(json.dumps(_identity(report), sort_keys=True), [])
        group.append((path, report))
    found: list[tuple[list[Path], Report]] = []
    for group in groups.values():
        shards = [each for each in group if each[1].header["selection"].get("shares")]
        found += [([path], report) for path, report in group if (path, report) not in shards]
        if shards:
            found.append(([path for path, _ in shards], _join(shards)))
    return found


def unlike(reports: Iterable[Report]) -> list[str]:
    """In what reports differ that shards of one run agree on."""
    told = [_identity(report) for report in reports]
    names = dict.fromkeys(name for each in told for name in each)
    return [name for name in names if any(each.get(name) != told[0].get(name) for each in told)]


def _identity(report: Report) -> dict[str, Any]:
    header = report.header
    told = {_NAMES.get(name, name): header.get(name) for name in _OF_ONE_RUN}
    told |= {name: value for name, value in header["selection"].items() if name != "shares"}
    who = {name: value for name, value in header["implementation"].items() if name not in _OF_A_MACHINE}
    return told | {"implementation": who, "machine": header["machine"].get("machine")}


def _join(shards: Sequence[tuple[Path, Report]]) -> Report:
    ran: dict[str, Path] = {}
    for path, report in shards:
        for end in report.ended:
            other = ran.setdefault(str(end["item"]), path)
            if other is not path:
                item = one_line(str(end["item"]))
                raise UsageError(f"{other} and {path} both ran {item}: they are no shards of one run")
    reports = [report for _, report in shards]
    judged = tuple(each for report in reports for each in report.judged)
    errors = tuple(each for report in reports for each in report.harness_errors)
    first = reports[0].header
    selection = {**first["selection"], "shares": [] if _whole(reports) else [s for r in reports for s in _shares(r)]}
    ended = tuple(each for report in reports for each in report.ended)
    digest = digest_of_items(str(end["item"]) for end in ended) if selection["shares"] else first.get("plan")
    header = {**first, "selection": selection, "items": sum(r.header["items"] for r in reports), "digest": digest}
    evidence = tuple(each for report in reports for each in report.evidence)
    footer = None
    if all(report.complete for report in reports):
        seconds = sum(report.footer["seconds"] for report in reports if report.footer)
        footer = footer_of(Report(header, judged, errors, {}, evidence, ended), seconds)
    whole = Report(header, judged, errors, footer, evidence, ended)
    refuse_cut(whole, f"what {_listed(path for path, _ in shards)} make together")
    return whole


def _listed(paths: Iterable[Path]) -> str:
    names = [str(path) for path in paths]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _shares(report: Report) -> list[Any]:
    return list(report.header["selection"]["shares"])


def _whole(reports: Sequence[Report]) -> bool:
    """Whether the shards 1/n to n/n are all there."""
    shares = [share for report in reports for share in _shares(report)]
    counts = {count for _, count in shares}
    return len(counts) == 1 and sorted(index for index, _ in shares) == list(range(1, counts.pop() + 1))


@dataclass(frozen=True)
class Column:
    """One run in the matrix: its conclusion in words, and the musts of each layer."""

    label: str
    conclusion: str
    cells: Mapping[str, Musts]


def matrix(runs: Sequence[tuple[Sequence[Path], Report]]) -> list[Column]:
    """A column per run; labels name what the runs differ in."""
    labels = [_label(report) for _, report in runs]
    for i, (paths, _) in enumerate(runs):
        if labels.count(labels[i]) > 1:
            labels[i] = f"{labels[i]} ({paths[0].name})"
    told = zip(labels, runs, strict=True)
    return [Column(label, Conclusion(report).words, dict(_cells(report))) for label, (_, report) in told]


def _label(report: Report) -> str:
    told, machine = report.header["implementation"], report.header["machine"]
    words = [told["name"], told["version"], device_of(report.header), machine.get("machine", "")]
    shares = report.header["selection"].get("shares")
    part = f", shard {' and '.join(f'{i}/{n}' for i, n in shares)}" if shares else ""
    return one_line(" ".join(str(word) for word in words if word) + part, 60)


def _cells(report: Report) -> Iterator[tuple[str, Musts]]:
    for stem in sorted({judged.stem for judged in report.judged}, key=net_last):
        yield stem, Musts.of(judged.verdict for judged in report.judged if judged.stem == stem)
