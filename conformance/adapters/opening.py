"""Opening: from ``direct:package.module:object`` and its like to an implementation."""

from __future__ import annotations

import inspect
import traceback
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from conformance.contract.errors import UsageError, unknown
from conformance.contract.implementation import DoesNotStart, Implementation

__all__ = ["GROUP", "Spelling", "open_implementation", "refuse_in_process", "spellings"]

GROUP = "lossconf.implementations"
"""The entry points by which other distributions register implementations (docs/adapters/registered.md)."""


@dataclass(frozen=True)
class Spelling:
    """One way to name an implementation, and the function that opens it, which is imported only then.

    The function gets what stands after the colon and, where it has parameters of these names, ``dialect``, the one
    asked for or None, and ``timeout``, the seconds that a case may take. It raises `ValueError` for an argument that
    makes no sense. ``missing`` is what an import that fails means, and what to do about it. What is ``foreign`` is
    somebody's Python code, which gets a process of its own.
    """

    name: str
    form: str
    what: str
    function: str
    missing: str = ""
    foreign: bool = False
    functions: bool = False

    def is_foreign(self, argument: str) -> bool:
        """Whether it is somebody's Python code: with ``functions`` it is where an argument names one."""
        return self.foreign or (self.functions and bool(argument))

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

    foreign: bool = True
    version: str = ""

    @classmethod
    def of(cls, point: EntryPoint) -> Registered:
        name, version = ("", "") if point.dist is None else (point.dist.name, point.dist.version)
        what = f"registered by {name} {version}"
        return cls(point.name, f"{point.name}[:ARGUMENT]", what, point.value, version=version)

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


def _own(
    name: str, form: str, what: str, missing: str = "", foreign: bool = False, functions: bool = False
) -> Spelling:
    stem = name.replace("-", "_")
    return Spelling(name, name + form, what, f"conformance.adapters.{stem}:open_{stem}", missing, foreign, functions)


_BUILT_IN = {
    spelling.name: spelling
    for spelling in (
        _own("reference", "[:DIALECT]", "the built-in float64 reference"),
        _own("direct", ":PACKAGE.MODULE:OBJECT", "a Python object with forward and backward per layer", foreign=True),
        _own("numba-cpu", "", "the built-in fast layers on this machine's CPU"),
        _own(
            "numba-cuda",
            " [--simulate[=ORDER]]",
            "the built-in fast layers on a GPU (an extra), or simulated",
            "this Numba has no CUDA ({}): pip install 'caffe-loss-conformance[cuda]'",
        ),
        _own(
            "torch",
            "[:MODULE:FUNCTION [--as TYPE]]",
            "PyTorch's own losses and autograd, or a function f(scores, target) of yours (an extra)",
            "torch is not installed ({}): pip install 'caffe-loss-conformance[torch]'",
            functions=True,
        ),
        _own(
            "jax",
            ":MODULE:FUNCTION [--as TYPE]",
            "a function f(scores, target) of yours in JAX (an extra)",
            "jax is not installed ({}): pip install 'caffe-loss-conformance[jax]'",
            functions=True,
        ),
        _own("python-layer", ":FILE:CLASS [--as TYPE]", "a pycaffe layer, without Caffe", foreign=True),
        _own("process", ":COMMAND", "anything that speaks JSON lines on stdin and stdout"),
        _own("pycaffe", "[:PYTHON]", "any Caffe with pycaffe, in its own Python"),
        _own("files", ":FOLDER [ANSWERS]", "answers to what lossconf export wrote"),
    )
}


def spellings() -> dict[str, Spelling]:
    """Every way to name an implementation, by its name: the built-in ones, and those that are registered."""
    registered = {point.name: Registered.of(point) for point in entry_points(group=GROUP)}
    return {**_BUILT_IN, **{name: found for name, found in registered.items() if name not in _BUILT_IN}}


def open_implementation(
    spec: str, dialect: str | None = None, timeout: float = 60.0, *, in_process: bool = False
) -> Implementation:
    """The implementation that ``spec`` spells.

    ``dialect`` is the one the run asks for (a built-in implementation takes that side), ``timeout`` the seconds a case
    may take. Somebody's Python code gets a process of its own, unless it is to be ``in_process``; then what is wrong
    with it is told at once, and else by ``describe``.
    Raises `UsageError` for a spelling that makes no sense, `DoesNotStart` for an implementation that cannot be loaded.
    """
    spelling, argument = _found(spec)
    if spelling.is_foreign(argument) and not in_process:
        from conformance.adapters.child import Child

        return Child(spec, dialect, timeout)
    try:
        return spelling.open(argument, dialect, timeout)
    except ValueError as error:
        raise UsageError(f"implementation {spec!r}: {error}; it is spelled {spelling.form}") from None


def refuse_in_process(spec: str) -> None:
    """Raises `UsageError` where ``spec`` spells nothing that would have a process of its own without being asked."""
    spelling, argument = _found(spec)
    if not spelling.is_foreign(argument):
        raise UsageError(f"--in-process is for somebody's Python code, and {spelling.name} is none")


def _found(spec: str) -> tuple[Spelling, str]:
    head, colon, argument = spec.partition(":")
    name, dashes, options = head.partition(" --")
    if dashes:
        argument = f"--{options}{colon}{argument}"
    spelling = _BUILT_IN.get(name) or spellings().get(name)
    if spelling is None:
        raise unknown("implementation", name, spellings())
    return spelling, argument
