"""Does an implementation of a Caffe-compatible loss layer compute what it should? The names here are the public ones.

Everything else in these packages may change from version to version. A name is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conformance.adapters import open_implementation as open_implementation
    from conformance.adapters.process import ProcessImplementation as ProcessImplementation
    from conformance.contract.case import Case as Case
    from conformance.contract.case import Pass as Pass
    from conformance.contract.errors import UsageError as UsageError
    from conformance.contract.implementation import Crash as Crash
    from conformance.contract.implementation import Description as Description
    from conformance.contract.implementation import DoesNotStart as DoesNotStart
    from conformance.contract.implementation import Implementation as Implementation
    from conformance.contract.implementation import ImplementationError as ImplementationError
    from conformance.contract.implementation import ProtocolError as ProtocolError
    from conformance.contract.implementation import TimedOut as TimedOut
    from conformance.contract.implementation import Unsupported as Unsupported
    from conformance.contract.outcome import Outcome as Outcome
    from conformance.contract.outcome import Refusal as Refusal
    from conformance.contract.verdict import Level as Level
    from conformance.contract.verdict import Status as Status
    from conformance.contract.verdict import Verdict as Verdict
    from conformance.record.reader import read_report as read_report
    from conformance.testing import conformance_checks as conformance_checks

_HOMES = {
    "adapters": ("open_implementation",),
    "adapters.process": ("ProcessImplementation",),
    "contract.case": ("Case", "Pass"),
    "contract.errors": ("UsageError",),
    "contract.implementation": (
        "Crash",
        "Description",
        "DoesNotStart",
        "Implementation",
        "ImplementationError",
        "ProtocolError",
        "TimedOut",
        "Unsupported",
    ),
    "contract.outcome": ("Outcome", "Refusal"),
    "contract.verdict": ("Level", "Status", "Verdict"),
    "record.reader": ("read_report",),
    "testing": ("conformance_checks",),
}

__all__ = [name for names in _HOMES.values() for name in names]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
