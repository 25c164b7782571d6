"""The protocol: JSON lines between the harness and an implementation in its own process (docs/protocol.md)."""

from conformance.protocol.messages import (
    VERSION,
    Answer,
    case_message,
    read_answer,
    read_description,
    read_outcome,
    read_times,
    request,
)
from conformance.protocol.schema import violation

__all__ = [
    "VERSION",
    "Answer",
    "case_message",
    "read_answer",
    "read_description",
    "read_outcome",
    "read_times",
    "request",
    "violation",
]
