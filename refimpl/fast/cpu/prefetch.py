# mypy: disable-error-code="no-any-return, untyped-decorator"
"""Asking for memory before it is needed.

A kernel that computes for a while on what it has, and then waits for what comes next, takes the time of both. A
processor foresees a few lines of one stream; it does not see that a block's gradients will be written where nothing was
read, nor past the end of a row. Hints change when memory moves, and nothing else: not a bit of any result.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import for_range_slice, get_or_insert_function
from numba.extending import intrinsic

__all__ = ["AHEAD", "claim", "fetch"]

LINE = 64
"""Bytes that memory is moved by."""

AHEAD = 2048
"""Entries that a hint is ahead of the work at most: what several arrays need together stays in the first two caches."""


def _hint(name: str, write: bool, meaning: str) -> Any:
    """An intrinsic that asks for every line of a flat array. (As a loop of Numba's it would be unrolled at length.)"""

    def hint(typing_context, array):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            given = context.make_array(array)(context, builder, arguments[0])
            byte, number, size = ir.IntType(8).as_pointer(), ir.IntType(32), given.nitems.type
            kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
            function = get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            hints = [number(int(write)), number(3), number(1)]  # for reading or writing; to keep; data, not code
            step = size(LINE * 8 // array.dtype.bitwidth)
            with for_range_slice(builder, size(0), given.nitems, step, size) as (index, _):
                builder.call(function, [builder.bitcast(builder.gep(given.data, [index]), byte), *hints])
            return context.get_dummy_value()

        return types.void(array), generate

    hint.__name__, hint.__doc__ = name, meaning
    return intrinsic(hint)


fetch = _hint("fetch", False, "This part of an array is about to be read.")
claim = _hint("claim", True, "This part of an array is about to be written.")
