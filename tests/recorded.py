"""The reference held against what BVLC Caffe computed: used by the tests, and runnable for a table of the worst errors.

``python -m tests.recorded`` prints, per family, the worst error relative to the largest magnitude of its array (at
least 1e-3, since some arrays are rounding residue) and the worst relative error of a single element.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from conformance.contract.case import Case, array_from_json
from conformance.judge.reference import build, run_steps
from refimpl.errors import NetError
from refimpl.net import Net

__all__ = ["Report", "compare", "recordings"]

FIXTURES = Path(__file__).parent.parent / "fixtures"
STAGES = ("parse", "setup", "forward", "backward")
SMALLEST_SCALE = 1e-3


@dataclass
class Report:
    """What differs between a recording and the reference; ``by_array`` and ``by_element`` are the worst relative
    errors."""

    id: str
    wrong: list[str] = field(default_factory=list)
    by_array: float = 0.0
    by_element: float = 0.0

    def array(self, name: str, got: Any, want: dict[str, Any]) -> None:
        expected = array_from_json(want)
        if got.shape != expected.shape:
            self.wrong.append(f"{name}: shape {got.shape}, recorded {expected.shape}")
            return
        odd = ~(np.isfinite(expected) & np.isfinite(got))
        if odd.any() and not np.array_equal(np.where(odd, got, 0), np.where(odd, expected, 0), equal_nan=True):
            self.wrong.append(f"{name}: {got.tolist()}, recorded {expected.tolist()}")
            return
        error = np.where(odd, 0.0, np.abs(np.where(odd, 0, got) - np.where(odd, 0, expected)))
        scale = max(np.abs(np.where(odd, 0, expected)).max(initial=0.0), SMALLEST_SCALE)
        self.by_array = max(self.by_array, float(error.max(initial=0.0) / scale))
        beyond = np.maximum(error - 1e-14, 0)
        element = beyond / np.maximum(np.abs(np.where(odd, 1, expected)), 1e-300)
        self.by_element = max(self.by_element, float(element.max(initial=0.0)))

    def equal(self, name: str, got: Any, want: Any) -> None:
        if got != want:
            self.wrong.append(f"{name}: {got!r}, recorded {want!r}")


def recordings(family: str = "*") -> Iterator[dict[str, Any]]:
    """The fixtures that come from a recording."""
    for path in sorted(FIXTURES.glob(f"{family}/*.json")):
        fixture = json.loads(path.read_text())
        if fixture.get("provenance", {}).get("oracle") == "bvlc-caffe":
            yield fixture


def compare(fixture: dict[str, Any]) -> Report:
    """Run a recording's case in the bvlc dialect at float64 and compare everything it records."""
    report = Report(fixture["id"])
    case = Case.from_json(fixture["id"], fixture["case"])
    want = fixture["expected"]["float64"]
    try:
        net = build(case, dialect="bvlc")
        trace = run_steps(net, case)
    except NetError as refused:
        _compare_refusal(report, refused, want)
        return report
    if "error" in want:
        report.wrong.append(f"not refused; recorded at {want['stage']}: {want['error']}")
        return report
    _compare_outcome(report, net, trace, want)
    return report


def _compare_refusal(report: Report, refused: NetError, want: dict[str, Any]) -> None:
    if "error" not in want:
        report.wrong.append(f"refused: {refused}")
        return
    empty_batch = report.id.endswith("empty-batch") and STAGES.index(refused.stage) <= STAGES.index(want["stage"])
    if refused.stage != want["stage"] and not empty_batch:
        report.wrong.append(f"refused at {refused.stage} ({refused}), recorded at {want['stage']}: {want['error']}")


def _compare_outcome(report: Report, net: Net, trace: list[float], want: dict[str, Any]) -> None:
    report.array("loss", np.array(trace[-1]), {"shape": [], "data": [want["loss"]]})
    if "loss_trace" in want:
        report.array("loss_trace", np.array(trace), {"shape": [len(want["loss_trace"])], "data": want["loss_trace"]})
    report.equal("blobs", sorted(net.blobs), sorted(want["data"]))
    for name, blob in net.blobs.items():
        if name in want["data"]:
            report.array(f"{name}.data", blob.data, want["data"][name])
            report.array(f"{name}.diff", blob.diff, want["diff"][name])
    report.equal("params", sorted(net.params), sorted(want["param_diff"]))
    for name, blobs in net.params.items():
        for i, (blob, array) in enumerate(zip(blobs, want["param_diff"].get(name, ()), strict=True)):
            report.array(f"{name}[{i}].diff", blob.diff, array)
    layers = [
        {
            "name": node.name,
            "type": node.type,
            "bottoms": list(node.bottoms),
            "tops": list(node.tops),
            "loss_weights": list(node.loss_weights),
            "need_backward": node.need_backward,
        }
        for node in net.layers
    ]
    report.equal("layers", layers, want["layers"])
    report.equal("outputs", net.outputs, want["outputs"])


def main() -> None:
    worst: dict[str, list[Report]] = defaultdict(list)
    for fixture in recordings():
        report = compare(fixture)
        worst[report.id.partition("/")[0]].append(report)
        for wrong in report.wrong[:3]:
            print(f"{report.id}: {wrong[:300]}")
    print(f"{'family':28} {'cases':>5} {'wrong':>5} {'by array':>9} {'by element':>10}")
    for family, reports in worst.items():
        wrongs = sum(bool(report.wrong) for report in reports)
        by_array, by_element = max(r.by_array for r in reports), max(r.by_element for r in reports)
        print(f"{family:28} {len(reports):5} {wrongs:5} {by_array:9.1e} {by_element:10.1e}")


if __name__ == "__main__":
    main()
