"""Conclusion as JSON: what a script reads instead of the terminal."""

from __future__ import annotations

import json

from conformance.gate import Baseline
from conformance.record.report import Report
from conformance.views.summary import concluded

__all__ = ["conclusion_json"]


def conclusion_json(report: Report, baseline: Baseline | None = None) -> str:
    """The first line, the exit code, the claim, counts of musts and recommendations, what is open and why."""
    return json.dumps(concluded(report, baseline).to_json(), indent=2) + "\n"
