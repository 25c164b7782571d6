"""Badge: the JSON that shields.io makes a badge of; a count, never a bare percentage."""

from __future__ import annotations

import json

from conformance.gate import Baseline
from conformance.record.report import Report
from conformance.views.summary import concluded

__all__ = ["badge_json"]


def badge_json(report: Report, baseline: Baseline | None = None) -> str:
    """Shields.io's endpoint schema: "412 of 418 musts, 6 known"; "incomplete" and the like where counts mislead."""
    found = concluded(report, baseline)
    musts = found.musts
    silent = not report.complete or bool(report.harness_errors) or not musts.passed or bool(found.share or found.quick)
    failing = "red" if musts.failed > found.known else "yellow"
    colour = "lightgrey" if silent else "brightgreen" if found.good else failing
    told = [f"{musts.passed} of {musts.owed} musts"]
    told += [f"{musts.failed - found.known} failed"] if musts.failed > found.known else []
    told += [f"{found.known} known"] if found.known else []
    told += [f"{musts.undecided} undecided"] if musts.undecided else []
    told += [f"{musts.declined} declined"] if musts.declined else []
    message = found.words.partition(":")[0] if silent else ", ".join(told)
    badge = {"schemaVersion": 1, "label": "Caffe losses", "message": message, "color": colour}
    return json.dumps(badge, indent=2) + "\n"
