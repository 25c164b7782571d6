"""Opening: from ``direct:package.module:object`` and its like to an implementation."""

from __future__ import annotations

import inspect
import traceback
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from conformance.contract.errors import UsageError, unknown
from conformance.contract.implementation import DoesNotStart, Implementation

__all__ = ["GROUP", "Spelling", "open_implementation", "spellings"]

GROUP = "lossconf.implementations"
"""The entry points by which other distributions register implementations (docs/adapters/registered.md)."""


@dataclass(frozen=True)
class Spelling:
    """One way to name an implementation, and the function that opens it, which is imported only then.

    The function gets what stands after the colon and, where it has parameters of these names, ``dialect``, the one
    asked for or None, and ``timeout``, the seconds that a case may take. It raises `ValueError` for an argument that
    makes no sense. ``missing`` is what an import that fails means, and what to do about it.
    """

    name: str
    form: str
    what: str
    function: str
    missing: str = ""

    def load(self) -> Any:
        return EntryPoint(self.name, self.function, GROUP).load()

    def open(self, argument: str, dialect: str | None, timeout: float) -> Implementation:
        """Raises `ValueError`, `UsageError`, `DoesNotStart`."""
        try:
            function = self.load()
        except ImportError as error:
            if not self.missing:
                raise
            raise DoesNotStart(self.missing.format(error)) from None
        opened: Implementation = _called(function, argument, dialect, timeout)
        return opened


@dataclass(frozen=True)
class Registered(Spelling):
    """An implementation that another distribution has registered; what opening it raises is that one's fault."""

    version: str = ""

    @classmethod
    def of(cls, point: EntryPoint) -> Registered:
        name, version = ("", "") if point.dist is None else (point.dist.name, point.dist.version)
        return cls(point.name, f"{point.name}[:ARGUMENT]", f"registered by {name} {version}", point.value, "", version)

    def open(self, argument: str, dialect: str | None, timeout: float) -> Implementation:
        from conformance.adapters.direct import wrapped
        from conformance.adapters.process import ProcessImplementation
        from conformance.adapters.single_layers import SingleLayers

        try:
            found = self.load()
            ready = inspect.isclass(found) or not callable(found)
            opened = found if ready else _called(found, argument, dialect, timeout)
        except (ValueError, UsageError, DoesNotStart):
            raise
        except (Exception, SystemExit) as error:
            what = f"{self.function} raised {type(error).__name__}: {error}"
            raise DoesNotStart(what, traceback.format_exc()) from None
        if isinstance(opened, (ProcessImplementation, SingleLayers)):
            return opened
        return wrapped(opened, self.name, self.version, timeout)


def _called(function: Any, argument: str, dialect: str | None, timeout: float) -> Any:
    known = inspect.signature(function).parameters
    return function(argument, **{k: v for k, v in (("dialect", dialect), ("timeout", timeout)) if k in known})


def _own(name: str, form: str, what: str, missing: str = "") -> Spelling:
    stem = name.replace("-", "_")
    return Spelling(name, name + form, what, f"conformance.adapters.{stem}:open_{stem}", missing)


_BUILT_IN = {
    spelling.name: spelling
    for spelling in (
        _own("reference", "[:DIALECT]", "the built-in float64 reference"),
        _own("direct", ":PACKAGE.MODULE:OBJECT", "a Python object with forward and backward per layer"),
        _own("numba-cpu", "", "the built-in fast layers on this machine's CPU"),
        _own(
            "numba-cuda",
            " [--simulate[=ORDER]]",
            "the built-in fast layers on a GPU (an extra), or simulated",
            "this Numba has no CUDA ({}): pip install 'caffe-loss-conformance[cuda]'",
        ),
        _own(
            "torch",
            "",
            "PyTorch's own losses and autograd (an extra)",
            "torch is not installed ({}): pip install 'caffe-loss-conformance[torch]'",
        ),
        _own("python-layer", ":FILE:CLASS [--as TYPE]", "a pycaffe layer, without Caffe"),
        _own("process", ":COMMAND", "anything that speaks JSON lines on stdin and stdout"),
        _own("pycaffe", "[:PYTHON]", "any Caffe with pycaffe, in its own Python"),
        _own("files", ":FOLDER [ANSWERS]", "answers to what lossconf export wrote"),
    )
}


def spellings() -> dict[str, Spelling]:
    """Every way to name an implementation, by its name: the built-in ones, and those that are registered."""
    registered = {point.name: Registered.of(point) for point in entry_points(group=GROUP)}
    return {**_BUILT_IN, **{name: found for name, found in registered.items() if name not in _BUILT_IN}}


def open_implementation(spec: str, dialect: str | None = None, timeout: float = 60.0) -> Implementation:
    """The implementation that ``spec`` spells.

    ``dialect`` is the one the run asks for (a built-in implementation takes that side), ``timeout`` the seconds a case
    may take.
    Raises `UsageError` for a spelling that makes no sense, `DoesNotStart` for an implementation that cannot be loaded.
    """
    head, colon, argument = spec.partition(":")
    name, dashes, options = head.partition(" --")
    if dashes:
        argument = f"--{options}{colon}{argument}"
    spelling = _BUILT_IN.get(name) or spellings().get(name)
    if spelling is None:
        raise unknown("implementation", name, spellings())
    try:
        return spelling.open(argument, dialect, timeout)
    except ValueError as error:
        raise UsageError(f"implementation {spec!r}: {error}; it is spelled {spelling.form}") from None
