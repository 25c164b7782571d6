"""Documents that the decoders take, for a fuzzer to begin with."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.outcome import Outcome
from conformance.contract.selection import Selection
from conformance.fixtures import case_ids, load
from conformance.gate import Baseline, Lock
from conformance.gate.baseline import Known, write_baseline
from conformance.gate.lock import write_lock
from conformance.protocol import case_message, outcome_message
from conformance.protocol.index import NAME, Index, Item
from conformance.timing.result import write_result
from tests.fuzz import CASE
from tests.reports import failed, passed, report_of, saved
from tests.timing.test_results import measured, result

__all__ = ["seeds"]


def seeds(name: str) -> Iterator[bytes]:
    """Some documents for the decoder of that name."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _SEEDS[name](Path(folder))


def _answers(folder: Path) -> Iterator[bytes]:
    outcome = ReferenceImplementation().run(CASE, "float32")
    assert isinstance(outcome, Outcome)
    plain = outcome.to_json()
    for body in (
        outcome_message(outcome),
        {"outcome": plain},
        {"refusal": {"stage": "construct", "message": "no", "layer": "l"}},
        {"unsupported": "no"},
        {"crash": {"reason": "r", "stage": "forward"}},
        {"times": {"forward": [1.0, 2.0, 3.0]}},
        {"computed": {"tops": [{"shape": [], "data": [1.0]}], "bottom_diffs": [None]}},
        {"description": {"protocol": 2, "name": "n", "capability": "net", "dtypes": ["float32"], "environment": {}}},
    ):
        yield json.dumps({"id": 1, **body}).encode()


def _cases(folder: Path) -> Iterator[bytes]:
    for case_id in case_ids()[::97]:
        yield json.dumps(case_message(load(case_id).case, "float32")).encode()[:4000]
    yield json.dumps(case_message(CASE, "float32")).encode()


def _reports(folder: Path) -> Iterator[bytes]:
    evidence = {"kind": "evidence", "check": "h/2", "dtype": "float32", "causes": {}, "case": CASE.to_json()}
    for report in (report_of(passed("h/1")), report_of(failed("h/2"), evidence=[evidence])):
        saved(folder / "report.jsonl", report)
        yield (folder / "report.jsonl").read_bytes()


def _indexes(folder: Path) -> Iterator[bytes]:
    Index(Selection(), ("float32",), (Item(2, "float32", "float32/h/1.json", "d"),)).write(folder)
    yield (folder / NAME).read_bytes()


def _baselines(folder: Path) -> Iterator[bytes]:
    write_baseline(Baseline((Known("why", "hinge_loss.forward", ("h/1",)),), folder / "baseline.toml"))
    yield (folder / "baseline.toml").read_bytes()


def _locks(folder: Path) -> Iterator[bytes]:
    write_lock(Lock({"h/1[float32]": 3}, "2", folder / "lossconf.lock"))
    yield (folder / "lossconf.lock").read_bytes()


def _results(folder: Path) -> Iterator[bytes]:
    write_result(result(measured(numba_cpu=1000.0, torch=4000.0)), folder / "bench.json")
    yield (folder / "bench.json").read_bytes()


def _archives(folder: Path) -> Iterator[bytes]:
    for save in (np.savez, np.savez_compressed):
        content = io.BytesIO()
        save(content, x=np.zeros((2, 3)), y=np.array([1, 2], np.int8))
        yield content.getvalue()


def _models(folder: Path) -> Iterator[bytes]:
    blob = b"\x3a\x02\x0a\x00" + b"\x2a\x04\x00\x00\x80\x3f"
    layer = b"\x0a\x01l" + b"\x3a" + bytes([len(blob)]) + blob
    yield b"\xa2\x06" + bytes([len(layer)]) + layer
    yield b"\x12" + bytes([len(layer)]) + layer


def _nets(folder: Path) -> Iterator[bytes]:
    for case_id in case_ids()[::53]:
        yield load(case_id).case.net.encode()


_SEEDS = {
    "answer": _answers,
    "case": _cases,
    "report": _reports,
    "index": _indexes,
    "baseline": _baselines,
    "lock": _locks,
    "result": _results,
    "npz": _archives,
    "caffemodel": _models,
    "prototxt": _nets,
}
