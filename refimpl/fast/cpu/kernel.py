# mypy: disable-error-code="no-any-return, untyped-decorator"
"""How the CPU kernels are compiled and called: flags, the disk cache, the quick path, specialisation on demand.

A kernel is a Numba dispatcher that never compiles by itself: called with types it has not seen it raises `NotCompiled`
at once, so that a strided array or a list cannot start a compilation of its own. `attempt` is the quick path: it calls
a kernel if its arguments are ready as they are. `call` compiles what canonical arguments need.

A kernel for chunks returns a status; one for a whole small problem a loss and a status. The loss means something where
the status is `DONE`, NaN included.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from llvmlite import ir
from numba import njit, typeof, types
from numba.core.cgutils import alloca_once
from numba.core.imputils import impl_ret_borrowed
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic, overload, register_jitable
from numba.np.arrayobj import populate_array
from numpy import ndarray

from refimpl.fast.cache import KernelCache
from refimpl.fast.cpu.arguments import DOUBLE, SINGLE
from refimpl.fast.scalar import FLAGS
from refimpl.fast.stored import BITS

__all__ = [
    "ADDING",
    "BLOCK",
    "CHUNK",
    "DONE",
    "QUICK",
    "UNFIT",
    "WIDE",
    "WRONG_LABEL",
    "NotCompiled",
    "added",
    "attempt",
    "block",
    "call",
    "chunks_of",
    "fits",
    "flat",
    "helper",
    "kernel",
    "native",
    "partial_sums",
    "total",
    "written",
]

Function = Callable[..., Any]

DONE, UNFIT, WRONG_LABEL = 0, 1, 2
"""What a kernel says of its work: done; not begun, since its arguments do not fit together; a label is no class (and
not ignored), so that loss and gradients mean nothing."""

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


class NotCompiled(Exception):
    """A kernel was called with types that it is not compiled for."""


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
    raise NotCompiled


def attempt(kernel: Any, *args: Any) -> tuple[float, int]:
    """The quick path: what a kernel for small problems returns, or `UNFIT` where its arguments are not ready for it.

    Two inputs come first, of which the second may hold labels, then one output or two, each an array or None; of a
    third input the caller has made sure (`native`). They are ready if they are arrays (what has no dtype is none),
    native, of one floating type, and the kernel is compiled for types like these; it checks sizes itself. Numba tells
    arrays apart by a fingerprint that forgets their byte order, so dtypes are compared here.
    """
    try:
        first, second, output, other = args[0], args[1], args[2], args[3]
        dtype, kind = first.dtype, second.dtype
        if (
            (dtype is SINGLE or dtype is DOUBLE)
            and (kind is dtype or kind.isnative)
            and (output is None or output.dtype is dtype)
            and (type(other) is not ndarray or other.dtype is dtype)
        ):
            result: tuple[float, int] = kernel(*args)
            return result
        if dtype in BITS:
            return _attempt_bits(kernel, dtype, args)
    except (NotCompiled, AttributeError):
        pass
    return math.nan, UNFIT


def _attempt_bits(kernel: Any, half: Any, args: tuple[Any, ...]) -> tuple[float, int]:
    """The same for arrays of a half type. Whatever else has two bytes an entry would pass for it."""
    bits, ready = BITS[half], []
    for one in args:
        if type(one) is ndarray:
            dtype = one.dtype
            if dtype == half:
                one = one.view(bits)
            elif dtype.itemsize == bits.itemsize or not dtype.isnative:
                return math.nan, UNFIT
        ready.append(one)
    result: tuple[float, int] = kernel(*ready)
    return result


def native(array: Any) -> bool:
    """Whether it is an array of native byte order."""
    return type(array) is ndarray and array.dtype.isnative


def call(dispatcher: Any, *args: Any) -> Any:
    """Call a kernel, after compiling it for the types of these arguments if it is not yet."""
    try:
        return dispatcher(*args)
    except NotCompiled:
        pass
    names = dispatcher.py_func.__code__.co_varnames
    signature = tuple(_type(name, value) for name, value in zip(names, args, strict=False))
    with _compiling:
        dispatcher._can_compile = True
        try:
            dispatcher.compile(signature)
        finally:
            dispatcher._can_compile = False
    try:
        return dispatcher(*args)
    except NotCompiled:
        told = ", ".join(map(str, map(typeof, args)))
        raise TypeError(
            f"{dispatcher.py_func.__qualname__} is compiled for {signature}, and called with {told}"
        ) from None


def _type(name: str, value: Any) -> Any:
    kind = typeof(value)
    if isinstance(kind, types.Array) and name not in WRITTEN:
        return kind.copy(readonly=True)
    return kind


def _uncounted(name: str, meaning: str, whole: bool) -> Any:
    """An intrinsic that makes a flat array of an array's memory, or of none of it, without counting a reference.

    Slices of counted arrays are counted, at worst once per row; two threads that count references to the same array
    spend their time passing that counter to and fro. The caller of the kernel keeps the array alive.
    """

    def view(typing_context, array):  # type: ignore[no-untyped-def]
        result = types.Array(array.dtype, 1, "C", readonly=whole and not array.mutable)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            given = context.make_array(array)(context, builder, arguments[0])
            made = context.make_array(result)(context, builder)
            size, step = given.nitems if whole else given.nitems.type(0), given.itemsize
            populate_array(made, data=given.data, shape=[size], strides=[step], itemsize=step, meminfo=None)
            return impl_ret_borrowed(context, builder, result, made._getvalue())

        return result(array), generate

    view.__name__, view.__doc__ = name, meaning
    return intrinsic(view)


flat = _uncounted("flat", "An argument of a kernel as a flat array.", True)
_nothing = _uncounted("_nothing", "An empty array for results of the type of an argument.", False)


def _on_stack(name: str, meaning: str, entries: int) -> Any:
    """An intrinsic that makes a float64 array which lasts as long as the call of the kernel, and costs nothing."""
    result = types.Array(types.float64, 1, "C")

    def room(typing_context):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            data = alloca_once(builder, ir.DoubleType(), size=entries)
            made, size, step = context.make_array(result)(context, builder), ir.IntType(64)(entries), ir.IntType(64)(8)
            populate_array(made, data=data, shape=[size], strides=[step], itemsize=step, meminfo=None)
            return impl_ret_borrowed(context, builder, result, made._getvalue())

        return result(), generate

    room.__name__, room.__doc__ = name, meaning
    return intrinsic(room)


block = _on_stack("block", "Scratch for a block of entries in float64.", BLOCK // 8)
partial_sums = _on_stack("partial_sums", "Room for the sums of all chunks of a small problem.", WIDE // 2)


def written(out: Any, like: Any) -> Any:
    """An output of a kernel, flat; None becomes an empty array."""
    return np.empty(0, like.dtype) if out is None else out.reshape(-1)


def fits(out: Any, like: Any) -> bool:
    """Whether an output is absent or has the shape of its input."""
    return out is None or out.shape == like.shape


def _no_output(out: Any, like: Any) -> Any:
    return _nothing(like)


def _flat_output(out: Any, like: Any) -> Any:
    return flat(out)


def _absent(out: Any, like: Any) -> bool:
    return True


def _same_shape(out: Any, like: Any) -> bool:
    return bool(out.shape == like.shape)


@overload(written)
def _written(out: Any, like: Any) -> Function:
    return _no_output if out is types.none else _flat_output


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
