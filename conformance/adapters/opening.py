"""Opening: from ``direct:package.module:object`` and its like to an implementation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conformance.contract.errors import UsageError, unknown
from conformance.contract.implementation import DoesNotStart, Implementation

__all__ = ["SPELLINGS", "Spelling", "open_implementation"]


@dataclass(frozen=True)
class Spelling:
    """One way to name an implementation.

    ``open`` takes what stands after the colon, the dialect asked for and the seconds a case may take. It raises
    `ValueError` for an argument that makes no sense, and imports its adapter only when called.
    """

    name: str
    form: str
    what: str
    open: Callable[[str, str | None, float], Implementation]


def _reference(argument: str, dialect: str | None, timeout: float) -> Implementation:
    from conformance.adapters.reference import ReferenceImplementation

    return ReferenceImplementation(argument or dialect or "documented")


def _direct(argument: str, dialect: str | None, timeout: float) -> Implementation:
    from conformance.adapters.direct import open_direct

    return open_direct(argument, timeout)


def _python_layer(argument: str, dialect: str | None, timeout: float) -> Implementation:
    from conformance.adapters.python_layer import open_python_layer

    return open_python_layer(argument, timeout)


def _process(argument: str, dialect: str | None, timeout: float) -> Implementation:
    from conformance.adapters.process import ProcessImplementation

    if not argument.strip():
        raise ValueError("process: needs a command, as in process:./my-caffe --serve")
    return ProcessImplementation(argument, timeout=timeout)


def _pycaffe(argument: str, dialect: str | None, timeout: float) -> Implementation:
    from conformance.adapters.pycaffe import PycaffeImplementation

    return PycaffeImplementation.from_text(argument, timeout=timeout)


def _numba_cpu(argument: str, dialect: str | None, timeout: float) -> Implementation:
    from conformance.adapters.numba_cpu import NumbaCpuImplementation

    return NumbaCpuImplementation(timeout)


def _numba_cuda(argument: str, dialect: str | None, timeout: float) -> Implementation:
    try:
        from conformance.adapters.numba_cuda import open_numba_cuda
    except ImportError as error:
        raise DoesNotStart(f"this Numba has no CUDA ({error}): pip install 'caffe-loss-conformance[cuda]'") from None
    return open_numba_cuda(argument, timeout)


def _files(argument: str, dialect: str | None, timeout: float) -> Implementation:
    from conformance.adapters.files import open_files

    return open_files(argument)


def _torch(argument: str, dialect: str | None, timeout: float) -> Implementation:
    try:
        from conformance.adapters.torch import open_torch
    except ImportError as error:
        raise DoesNotStart(f"torch is not installed ({error}): pip install 'caffe-loss-conformance[torch]'") from None
    return open_torch(timeout)


SPELLINGS: dict[str, Spelling] = {
    spelling.name: spelling
    for spelling in (
        Spelling("reference", "reference[:DIALECT]", "the built-in float64 reference", _reference),
        Spelling(
            "direct", "direct:PACKAGE.MODULE:OBJECT", "a Python object with forward and backward per layer", _direct
        ),
        Spelling("numba-cpu", "numba-cpu", "the built-in fast layers on this machine's CPU", _numba_cpu),
        Spelling(
            "numba-cuda",
            "numba-cuda [--simulate[=ORDER]]",
            "the built-in fast layers on a GPU, or simulated (extras)",
            _numba_cuda,
        ),
        Spelling("torch", "torch", "PyTorch's own losses and autograd (an extra)", _torch),
        Spelling(
            "python-layer", "python-layer:FILE:CLASS [--as TYPE]", "a pycaffe layer, without Caffe", _python_layer
        ),
        Spelling("process", "process:COMMAND", "anything that speaks JSON lines on stdin and stdout", _process),
        Spelling("pycaffe", "pycaffe[:PYTHON]", "any Caffe with pycaffe, in its own Python", _pycaffe),
        Spelling("files", "files:FOLDER [ANSWERS]", "answers to what lossconf export wrote", _files),
    )
}


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
    if name not in SPELLINGS:
        raise unknown("implementation", name, SPELLINGS)
    spelling = SPELLINGS[name]
    try:
        return spelling.open(argument, dialect, timeout)
    except ValueError as error:
        raise UsageError(f"implementation {spec!r}: {error}; it is spelled {spelling.form}") from None
