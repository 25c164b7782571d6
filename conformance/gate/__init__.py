"""The gate: a report held against what is known to fail and what has to run."""

from conformance.gate.baseline import Baseline, Known, KnownDeclined, read_baseline, write_baseline
from conformance.gate.gate import Decision, Objection, decision_on
from conformance.gate.lock import Lock, read_lock, write_lock

__all__ = [
    "Baseline",
    "Decision",
    "Known",
    "KnownDeclined",
    "Lock",
    "Objection",
    "decision_on",
    "read_baseline",
    "read_lock",
    "write_baseline",
    "write_lock",
]
