"""Reports made by hand, for the tests of what is rendered from them and held against them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance.cli.main import main
from conformance.contract.verdict import Status, Verdict
from conformance.record.report import Judged, Report
from conformance.record.whole import digest_of_items, footer_of
from conformance.record.writer import verdict_to_json

__all__ = ["HEADER", "HOSTILE", "failed", "failing_run", "hostile_report", "passed", "report_of", "saved", "verdict"]

HEADER: dict[str, Any] = {
    "kind": "header",
    "schema": 2,
    "suite": {"name": "caffe-loss-conformance", "version": "0.1.0", "requirements": "2"},
    "implementation": {
        "spec": "process:./mine",
        "name": "mine",
        "version": "1.2",
        "language": "C++",
        "capability": "net",
        "layers": [],
        "dtypes": ["float32", "float64"],
        "devices": ["cpu"],
        "dialect": None,
        "determinism": None,
        "environment": {"compiler": "gcc 12"},
    },
    "dialect": None,
    "seed": 0,
    "dtypes": ["float32", "float64"],
    "machine": {"system": "Linux", "machine": "x86_64", "python": "3.11.2", "processors": 2},
    "selection": {"selection": {}, "keyword": "", "shares": []},
    "items": 3,
    "started": "2030-01-01T00:00:00+00:00",
}


def verdict(check: str, status: Status, requirement: str = "hinge_loss.backward", **fields: Any) -> Judged:
    """A verdict of the golden family on HingeLoss, in float32 unless told otherwise."""
    made = Verdict(**{"check": check, "requirement": requirement, "dtype": "float32", "status": status, **fields})
    return Judged("golden", "hinge_loss", made)


def passed(check: str, **fields: Any) -> Judged:
    return verdict(check, Status.PASSED, **{"headroom": 8.0, "seconds": 0.001, **fields})


def failed(check: str, **fields: Any) -> Judged:
    return verdict(check, Status.FAILED, **{"reason": "bottom gradient x[0]: got 2, want 1", **fields})


def report_of(*judged: Judged, complete: bool = True, evidence: Sequence[dict[str, Any]] = (), **header: Any) -> Report:
    """A report with these verdicts; ``header`` replaces fields of the header."""
    names = dict.fromkeys(f"{each.verdict.check}[{each.verdict.dtype}]" for each in judged)
    ended = tuple({"kind": "end", "item": name, "seconds": 0.001, "cases": {}} for name in names)
    digest = digest_of_items(names)
    whole = {**HEADER, "items": len(names), "digest": digest, "plan": digest, **header}
    found = Report(whole, tuple(judged), (), {}, tuple(evidence), ended)
    return replace(found, footer=footer_of(found, 1.5) if complete else None)


def saved(path: Path, report: Report) -> None:
    """Write a report to a file."""
    whole = [report.header, *map(verdict_to_json, report.judged), *report.evidence, *report.ended, report.footer]
    path.write_text("".join(json.dumps(line) + "\n" for line in whole if line))


def failing_run(folder: Path) -> Path:
    """A report of a real run that fails: EuclideanLoss without its loss_weight, in float32."""
    path = folder / "failing.jsonl"
    part = ("--family", "loss_weight", "--layer", "euclidean_loss", "--dtype", "float32")
    with pytest.raises(SystemExit), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        main(["run", "-j", "0", "direct:tests.direct_miniatures:IgnoresWeight", *part, "--report", str(path)])
    return path


HOSTILE = (
    "<script>alert(1)</script>]]>&\"'{{ 7 * 7 }}\x1b[2J\x07\x00\u202e\u2028\udc80 ../../etc/passwd" + "A" * 10_000_000
)
"""Markup, a template, terminal controls, a lone surrogate, a path, and ten megabytes."""


def hostile_report() -> Report:
    """A report of an implementation that puts `HOSTILE` wherever it can."""
    implementation = {
        **HEADER["implementation"],
        "name": HOSTILE,
        "version": HOSTILE,
        "environment": {HOSTILE: HOSTILE},
    }
    detail = {"stderr": HOSTILE}
    bad = failed(HOSTILE[:5000], reason=HOSTILE, layer=HOSTILE, side=HOSTILE, detail=detail, requirement=HOSTILE[:500])
    case = {"net": HOSTILE[:5000], "inputs": {HOSTILE[:200]: {"shape": [1], "data": [1.0]}}}
    evidence = {
        "kind": "evidence",
        "check": HOSTILE[:5000],
        "dtype": "float32",
        "causes": {"sign": 1.0, HOSTILE[:100]: 1.0},
        "case": case,
        "answer": {"error": HOSTILE[:5000], "stage": HOSTILE[:500]},
    }
    return report_of(passed("h/1"), bad, evidence=[evidence], implementation=implementation)
