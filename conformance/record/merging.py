"""Merging: the reports of shards become one; those of several machines, devices or versions stand side by side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.contract.errors import UsageError, one_line
from conformance.record.conclusion import Conclusion, Musts
from conformance.record.report import Report

__all__ = ["Column", "joined", "matrix"]

_OF_ONE_RUN = ("schema", "suite", "dialect", "seed", "explore", "fresh", "dtypes", "limits")


def joined(reports: Mapping[Path, Report]) -> list[tuple[list[Path], Report]]:
    """Shards of one run joined, everything else as it is; each with the files it comes from.

    Reports are shards of one run where suite, implementation, claim, selection and machine agree, and no item ran
    twice.
    """
    groups: dict[str, list[tuple[Path, Report]]] = {}
    for path, report in reports.items():
        group = groups.setdefault(_identity(report), [])
        group.append((path, report))
    found: list[tuple[list[Path], Report]] = []
    for group in groups.values():
        shards = [each for each in group if each[1].header["selection"].get("shares")]
        found += [([path], report) for path, report in group if (path, report) not in shards]
        if shards:
            found.append(([path for path, _ in shards], _join(shards)))
    return found


def _identity(report: Report) -> str:
    header = report.header
    told = [header.get(name) for name in _OF_ONE_RUN]
    told += [{name: value for name, value in header["selection"].items() if name != "shares"}]
    return json.dumps([told, header["implementation"], header["machine"].get("machine")], sort_keys=True)


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
    header = {**first, "selection": selection, "items": sum(report.header["items"] for report in reports)}
    ended = tuple(each for report in reports for each in report.ended)
    evidence = tuple(each for report in reports for each in report.evidence)
    footer = None
    if all(report.complete for report in reports):
        counts = Counter(each.verdict.status.value for each in judged)
        concluded = Conclusion(Report(header, judged, errors, {}))
        footer = {
            "kind": "footer",
            "verdicts": len(judged),
            "counts": dict(sorted(counts.items())),
            "harness_errors": len(errors),
            "seconds": round(sum(report.footer["seconds"] for report in reports if report.footer), 3),
            "exit": int(concluded.code),
            "conclusion": concluded.counts(),
        }
    return Report(header, judged, errors, footer, evidence, ended)


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
    words = [told["name"], told["version"], "+".join(told.get("devices", [])), machine.get("machine", "")]
    shares = report.header["selection"].get("shares")
    part = f", shard {' and '.join(f'{i}/{n}' for i, n in shares)}" if shares else ""
    return one_line(" ".join(str(word) for word in words if word) + part, 60)


def _cells(report: Report) -> Iterator[tuple[str, Musts]]:
    for stem in sorted({judged.stem for judged in report.judged}, key=lambda stem: (stem == "net", stem)):
        yield stem, Musts.of(judged.verdict for judged in report.judged if judged.stem == stem)
