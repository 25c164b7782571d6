"""Implementation: what a third party provides, and the ways in which running it can go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from conformance.contract.case import Case
from conformance.contract.dtypes import DEFAULT, FLOAT
from conformance.contract.outcome import Outcome, Refusal

__all__ = [
    "DETERMINISM",
    "Crash",
    "Declined",
    "Description",
    "DoesNotStart",
    "Implementation",
    "ImplementationError",
    "ProtocolError",
    "Threaded",
    "TimedOut",
    "Unsupported",
]

DETERMINISM = ("none", "run-to-run", "bitwise")
"""What an implementation may promise: nothing; the same bits for a case run again; the same for any number of threads,
too."""


@dataclass(frozen=True)
class Description:
    """What an implementation says of itself.

    ``capability`` "net" takes a prototxt; "layer" computes one layer, and the reference's net is put around it.
    ``layers`` lists the types it computes (empty: any), TYPE:FORM where one of a type's forms is meant, ``profiles``
    the sets of losses that a run is about beside BVLC Caffe's where it names none. ``dialect`` is the one it claims,
    ``environment`` whatever belongs in a report. ``determinism`` is what it promises, one of `DETERMINISM`, or None.
    ``dtypes`` are names of claims of types (`TypeClaim`) that a run is in where it asks for no others;
    ``differences`` those beyond them in which it runs so that its loss can be differenced; and with ``any_types`` it
    also runs in any other that a run asks for, since it keeps arrays in the types that it is given. ``snippets`` are
    its layers of types that the suite has no formula for, as prototxt.

    ``protocol`` is the version of the protocol that it speaks, None where no protocol is between. ``declines`` are
    limits beside those: what it says before the first case that it does not compute. ``in_process`` where it shares
    the judge's process and memory: nothing that it answers can then be relied on. With ``any_forms`` it is told the
    forms of a case, computes a type of several in the first that the case names, else in the type's first, and is
    judged by that one alone.

    Raises `ValueError` where ``any_forms`` is claimed of single layers, which are told no form, or beside some forms.
    """

    name: str
    version: str = ""
    language: str = ""
    capability: Literal["net", "layer"] = "net"
    layers: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = (FLOAT.name,)
    devices: tuple[str, ...] = ("cpu",)
    dialect: str | None = None
    determinism: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    snippets: tuple[str, ...] = ()
    protocol: int | None = None
    declines: tuple[str, ...] = ()
    in_process: bool = False
    profiles: tuple[str, ...] = ()
    any_types: bool = False
    any_forms: bool = False

    def __post_init__(self) -> None:
        if self.any_forms and self.capability == "layer":
            raise ValueError("any_forms is of nets: a single layer is not told which form of its type is meant")
        if self.any_forms and any(":" in name for name in self.layers):
            raise ValueError("any_forms is every form: layers then names none of them as TYPE:FORM")

    def takes(self, dtype: str) -> bool:
        """Whether it runs in a claim of types."""
        return dtype in (*self.dtypes, *self.differences) or (self.any_types and dtype not in DEFAULT)


class Implementation(Protocol):
    """Something that runs cases; used by one thread."""

    def describe(self) -> Description:
        """Start if need be. Raises `DoesNotStart`."""

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        """Run one case in ``dtype``, the name of a claim of types.

        Raises `Unsupported` for what it does not claim to do, `Crash`, `TimedOut` or `ProtocolError` where it fails
        to answer; the next call must work again.
        """

    def close(self) -> None:
        """Release everything."""


@runtime_checkable
class Threaded(Protocol):
    """What an implementation has besides where it can be told how many threads to use."""

    def use_threads(self, count: int | None) -> None:
        """Use ``count`` threads from the next case on; None: as many as by default."""


class ImplementationError(Exception):
    """An implementation that gave no answer; ``detail`` holds the last lines it wrote, if any."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return self.reason


class Unsupported(ImplementationError):
    """It does not do this."""


class Declined(Unsupported):
    """It said beforehand that it does not do this: ``limit`` is what it said, in a word or two."""

    def __init__(self, limit: str) -> None:
        super().__init__(f"outside what is claimed: {limit}")
        self.limit = limit


class Crash(ImplementationError):
    """It died without refusing, or raised something that is no refusal."""


class TimedOut(ImplementationError):
    """It did not answer in time and was stopped."""


class ProtocolError(ImplementationError):
    """It answered something that is no answer."""


class DoesNotStart(ImplementationError):
    """It cannot be started at all."""
