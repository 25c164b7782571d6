# mypy: disable-error-code="no-any-return, untyped-decorator"
"""How the CPU kernels are compiled: flags, the disk cache, and specialisation on demand.

A kernel is a Numba dispatcher that never compiles by itself: called with types it has not seen it raises `TypeError` at
once, so that a strided array or a list cannot start a compilation of its own. `call` compiles what canonical arguments
need.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numba import njit, typeof, types
from numba.core.imputils import impl_ret_borrowed
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic, overload, register_jitable
from numba.np.arrayobj import populate_array

from refimpl.fast.cache import KernelCache
from refimpl.fast.scalar import FLAGS

__all__ = [
    "ADDING",
    "BLOCK",
    "CHUNK",
    "QUICK",
    "WIDE",
    "added",
    "call",
    "chunks_of",
    "fits",
    "flat",
    "helper",
    "kernel",
    "total",
    "written",
]

Function = Callable[..., Any]

ADDING: dict[str, Any] = {**FLAGS, "fastmath": {"contract", "reassoc", "nsz"}}
"""Flags for a function that only adds up: its order may change, to fill the lanes of a vector. NaN and infinities
survive."""

WRITTEN = {"out", "out_a", "out_b", "prob", "sums"}
"""Names of the arguments that kernels write to. All others are typed read-only, which takes writable arrays as well."""

CHUNK = 1 << 14
"""Entries of a chunk: what one partial sum is for. Its borders, and so the rounding of a result, depend on nothing
else."""

BLOCK = 1 << 12
"""Bytes of the scratch array that a kernel fills in one loop and reads in the next: a small part of the first level
cache."""

QUICK = 1 << 16
"""Inputs of at most so many entries are worked on in one call, with the GIL held: threads would not pay."""

WIDE = 1 << 12
"""Inputs of at most so many entries are computed in float64 even where exponentials make that slower: there it is not
felt."""

_compiling = threading.Lock()


def helper(**flags: Any) -> Callable[[Function], Function]:
    """A function for kernels to call, compiled into them."""
    return njit(**(flags or FLAGS), forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def kernel(*, nogil: bool) -> Callable[[Function], Function]:
    """A compiled function that Python calls, kept in the disk cache."""

    def decorate(function: Function) -> Function:
        dispatcher = njit(**{**FLAGS, "nogil": nogil})(function)
        if isinstance(dispatcher, CPUDispatcher):
            dispatcher._cache = KernelCache(function)
            dispatcher._can_compile = False
            dispatcher._compile_for_args = dispatcher._explain_matching_error = _refuse
        return dispatcher

    return decorate


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("the kernel is not compiled for these arguments")


def call(dispatcher: Any, *args: Any) -> Any:
    """Call a kernel, after compiling it for the types of these arguments if it is not yet."""
    try:
        return dispatcher(*args)
    except TypeError:
        if not isinstance(dispatcher, CPUDispatcher):
            raise
    names = dispatcher.py_func.__code__.co_varnames
    signature = tuple(_type(name, value) for name, value in zip(names, args, strict=False))
    with _compiling:
        dispatcher._can_compile = True
        try:
            dispatcher.compile(signature)
        finally:
            dispatcher._can_compile = False
    return dispatcher(*args)


def _type(name: str, value: Any) -> Any:
    kind = typeof(value)
    if isinstance(kind, types.Array) and name not in WRITTEN:
        return kind.copy(readonly=True)
    return kind


@intrinsic
def flat(typing_context, array):  # type: ignore[no-untyped-def]
    """An argument of a kernel as a flat array that is not counted as a reference to it.

    Slices of counted arrays are counted, at worst once per row; two threads that count references to the same array
    spend their time passing that counter to and fro. The caller of the kernel keeps the array alive.
    """
    result = types.Array(array.dtype, 1, "C", readonly=not array.mutable)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        given = context.make_array(array)(context, builder, arguments[0])
        made = context.make_array(result)(context, builder)
        size, step = given.nitems, given.itemsize
        populate_array(made, data=given.data, shape=[size], strides=[step], itemsize=step, meminfo=None)
        return impl_ret_borrowed(context, builder, result, made._getvalue())

    return result(array), generate


def written(out: Any, like: Any) -> Any:
    """An output of a kernel, flat; None becomes an empty array."""
    return _nothing(out, like) if out is None else out.reshape(-1)


def fits(out: Any, like: Any) -> bool:
    """Whether an output is absent or has the shape of its input."""
    return out is None or out.shape == like.shape


def _nothing(out: Any, like: Any) -> Any:
    return np.empty(0, like.dtype)


def _flat_output(out: Any, like: Any) -> Any:
    return flat(out)


def _absent(out: Any, like: Any) -> bool:
    return True


def _same_shape(out: Any, like: Any) -> bool:
    return bool(out.shape == like.shape)


@overload(written)
def _written(out: Any, like: Any) -> Function:
    return _nothing if out is types.none else _flat_output


@overload(fits)
def _fits(out: Any, like: Any) -> Function:
    return _absent if out is types.none else _same_shape


@helper()
def added(sums: Any) -> float:
    """Partial sums added in their order, as `refimpl.fast.cpu.threads.spread` adds them."""
    result = 0.0
    for chunk in range(sums.size):
        result += sums[chunk]
    return result


@register_jitable
def chunks_of(size: int) -> int:
    """How many chunks so many entries make."""
    return (size + CHUNK - 1) // CHUNK


@helper(**ADDING)
def total(values: Any) -> float:
    """The sum of a block, in float64."""
    result = 0.0
    for i in range(values.size):
        result += np.float64(values[i])
    return result
