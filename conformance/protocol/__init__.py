"""The protocol: JSON lines between the harness and an implementation in its own process (docs/protocol.md)."""

from conformance.protocol.messages import (
    VERSION,
    Answer,
    array_message,
    case_message,
    layer_message,
    read_answer,
    read_computed,
    read_description,
    read_outcome,
    read_times,
    request,
)
from conformance.protocol.schema import violation

__all__ = [
    "VERSION",
    "Answer",
    "array_message",
    "case_message",
    "layer_message",
    "read_answer",
    "read_computed",
    "read_description",
    "read_outcome",
    "read_times",
    "request",
    "violation",
]
