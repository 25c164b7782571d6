"""The protocol: JSON lines between the harness and an implementation in its own process (docs/protocol.md)."""

from conformance.protocol.demand import meet
from conformance.protocol.messages import (
    PASSES_SINCE,
    SPOKEN,
    VERSION,
    Answer,
    array_message,
    case_message,
    layer_message,
    outcome_message,
    read_answer,
    read_case,
    read_computed,
    read_description,
    read_outcome,
    read_times,
    refusal_message,
    request,
)
from conformance.protocol.schema import violation

__all__ = [
    "PASSES_SINCE",
    "SPOKEN",
    "VERSION",
    "Answer",
    "array_message",
    "case_message",
    "layer_message",
    "meet",
    "outcome_message",
    "read_answer",
    "read_case",
    "read_computed",
    "read_description",
    "read_outcome",
    "read_times",
    "refusal_message",
    "request",
    "violation",
]
