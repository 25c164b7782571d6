"""Assembly: a kernel compiled and assembled for one type and one compute capability, and what is wrong with it.

``python -m refimpl.fast.cuda.assembly 8.0`` does it for every kernel, and writes JSON; `refimpl.fast.cuda.assemble`
starts one such process per capability.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from refimpl.dtypes import DEFAULT, DOUBLE
from refimpl.fast.cuda.kernel import Kernel, kernels
from refimpl.fast.cuda.listing import narrow_addresses, ptx_float64, ptx_local, reduction_only, sass_float64, sass_local
from refimpl.fast.cuda.occupancy import occupancy
from refimpl.fast.cuda.toolchain import Assembled, AssemblyError, Capability, Toolchain, find_toolchain

__all__ = ["DTYPES", "Assembly", "assembled", "main", "shown"]

DTYPES = DEFAULT


@dataclass(frozen=True)
class Assembly:
    """One row of the table. ``float64`` counts float64 instructions of the SASS, or of the PTX where there is no
    nvdisasm; ``problems`` are sentences, empty where all is well."""

    kernel: str
    dtype: str
    capability: str
    block: int = 0
    registers: int = 0
    shared: int = 0
    stack: int = 0
    spills: int = 0
    occupancy: float = 0.0
    float64: int = 0
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Assembly:
        return cls(**{**value, "problems": tuple(value["problems"])})


def shown(capability: Capability) -> str:
    """As in ``8.0``."""
    return f"{capability[0]}.{capability[1]}"


def assembled(kernel: Kernel, dtype: str, capability: Capability, tools: Toolchain) -> Assembly:
    """Compile and assemble a kernel; what goes wrong is among the row's problems."""
    row = Assembly(kernel.name, dtype, shown(capability), kernel.block)
    try:
        ptx = tools.to_ptx(kernel.function, kernel.signature(dtype), capability)
        made = tools.assemble(ptx, capability)
    except AssemblyError as error:
        return replace(row, problems=(str(error),))
    found = ptx_float64(ptx) if made.sass is None else sass_float64(made.sass)
    return replace(
        row,
        registers=made.registers,
        shared=made.shared,
        stack=made.stack,
        spills=made.spills,
        occupancy=occupancy(capability, kernel.block, made.registers, made.shared),
        float64=sum(found.values()),
        problems=tuple(_problems(kernel, dtype, ptx, made)),
    )


def _problems(kernel: Kernel, dtype: str, ptx: str, made: Assembled) -> Iterator[str]:
    if made.spills:
        yield f"spills {made.spills} bytes"
    if made.stack or ptx_local(ptx) or (made.sass is not None and sass_local(made.sass)):
        yield f"uses local memory, {made.stack} bytes of stack"
    if made.shared != kernel.shared(dtype):
        yield f"takes {made.shared} bytes of shared memory and says {kernel.shared(dtype)}"
    if dtype != DOUBLE.name:
        stray = reduction_only(ptx_float64(ptx))
        stray += [] if made.sass is None else reduction_only(sass_float64(made.sass))
        if stray:
            yield f"computes in float64: {', '.join(stray)}"
    if narrow := narrow_addresses(ptx):
        yield f"computes addresses in 32 bits: {', '.join(narrow)}"


def rows(
    capability: Capability, tools: Toolchain, which: Iterable[Kernel], dtypes: Iterable[str]
) -> Iterator[Assembly]:
    """Every kernel in every type."""
    for kernel in which:
        for dtype in dtypes:
            yield assembled(kernel, dtype, capability, tools)


def main(arguments: list[str]) -> None:
    """``MAJOR.MINOR``: write a JSON line for every kernel and type."""
    major, minor = arguments[0].split(".")
    for row in rows((int(major), int(minor)), find_toolchain(), kernels(), DTYPES):
        print(json.dumps(row.to_json()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
