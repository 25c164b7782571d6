"""Badge: the JSON that shields.io makes a badge of; a count, never a bare percentage."""

from __future__ import annotations

import json

from conformance.gate import Baseline
from conformance.record.report import Report
from conformance.views.summary import Summary

__all__ = ["badge_json"]


def badge_json(report: Report, baseline: Baseline | None = None) -> str:
    """Shields.io's endpoint schema: "412 of 418, 6 known"; "incomplete" and the like where counts would mislead."""
    summary = Summary.of(report, baseline)
    silent = report.footer is None or bool(report.harness_errors) or not summary.passed
    failing = "red" if summary.failed > summary.known else "yellow"
    colour = "lightgrey" if silent else "brightgreen" if summary.good else failing
    message = summary.conclusion.partition(":")[0] if silent else summary.counted()
    badge = {"schemaVersion": 1, "label": "Caffe losses", "message": message, "color": colour}
    return json.dumps(badge, indent=2) + "\n"
