"""Implementation: what a third party provides, and the ways in which running it can go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from conformance.case import Case
from conformance.outcome import Outcome, Refusal

__all__ = [
    "Crash",
    "Description",
    "DoesNotStart",
    "Implementation",
    "ImplementationError",
    "ProtocolError",
    "TimedOut",
    "Unsupported",
]


@dataclass(frozen=True)
class Description:
    """What an implementation says of itself.

    ``capability`` "net" takes a prototxt; "layer" computes one layer, and the reference's net is put around it.
    ``layers`` lists the types it computes (empty: any), ``dialect`` the one it claims, ``environment`` whatever
    belongs in a report.
    """

    name: str
    version: str = ""
    language: str = ""
    capability: Literal["net", "layer"] = "net"
    layers: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32",)
    devices: tuple[str, ...] = ("cpu",)
    dialect: str | None = None
    determinism: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)


class Implementation(Protocol):
    """Something that runs cases; used by one thread."""

    def describe(self) -> Description:
        """Start if need be. Raises `DoesNotStart`."""

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        """Run one case in ``dtype`` ("float32" or "float64").

        Raises `Unsupported` for what it does not claim to do, `Crash`, `TimedOut` or `ProtocolError` where it fails
        to answer; the next call must work again.
        """

    def close(self) -> None:
        """Release everything."""


class ImplementationError(Exception):
    """An implementation that gave no answer; ``detail`` holds the last lines it wrote, if any."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return self.reason


class Unsupported(ImplementationError):
    """It does not claim to do this."""


class Crash(ImplementationError):
    """It died without refusing, or raised something that is no refusal."""


class TimedOut(ImplementationError):
    """It did not answer in time and was stopped."""


class ProtocolError(ImplementationError):
    """It answered something that is no answer."""


class DoesNotStart(ImplementationError):
    """It cannot be started at all."""
