"""``python -m refimpl.fast.cuda.assemble``: does every kernel become machine code, and is it the code it should be?

Compiles and assembles every kernel, in float32 and float64, for real architectures, without a GPU or its driver, and
prints a table. Ends with 0 where all is well; 1 where a kernel does not assemble, spills, uses local memory, takes
other shared memory than it says, computes an address in 32 bits, or a float32 kernel computes in float64 more than the
reduction of its loss (convert and add); 2 for arguments that make no sense; 77 where there is no toolchain.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from refimpl.dtypes import DOUBLE
from refimpl.fast.cuda.occupancy import LIMITS
from refimpl.fast.cuda.toolchain import Capability, NoToolchain, Toolchain, find_toolchain

if TYPE_CHECKING:
    from refimpl.fast.cuda.assembly import Assembly

__all__ = ["NOT_RUN", "main", "possible"]

WANTED: tuple[Capability, ...] = ((7, 0), (7, 5), (8, 0), (9, 0), (10, 0), (12, 0))
"""Volta, Turing, Ampere, Hopper, Blackwell in data centres, Blackwell elsewhere."""

LAST_BUILT_IN: Capability = (9, 0)
"""The last capability that Numba's own CUDA target knows; for later ones numba-cuda has to be installed."""

NOT_RUN = 77
"""The exit code for a check that cannot be done here, as Automake has it."""

PATIENCE = 1800
"""Seconds for all kernels on one capability."""


class Failed(Exception):
    """A process ended without its rows; ``str()`` says how."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        tools = find_toolchain()
    except NoToolchain as reason:
        print(f"not run: {reason}")
        return NOT_RUN
    chosen = tuple(asked.cc or possible(tools))
    if not chosen:
        print(f"not run: ptxas {tools.release()} assembles for none of {', '.join(map(_shown, WANTED))}")
        return NOT_RUN
    print(f"{_target()}, libnvvm and ptxas {tools.release()}, {'with' if tools.nvdisasm else 'without'} nvdisasm\n")
    rows, failures = _assembled(chosen, asked.processes)
    print(_markdown(rows) if asked.markdown else _table(rows))
    failures += [f"{row.kernel} {row.dtype} {row.capability}: {said}" for row in rows for said in row.problems]
    left_out = [] if asked.cc else [_shown(capability) for capability in WANTED if capability not in chosen]
    if left_out:
        print(f"\nnot run: {', '.join(left_out)}, which these tools do not compile for")
    good = sum(not row.problems for row in rows)
    print(f"\n{good} of {len(rows)} as they should be" + "".join(f"\n  {failure}" for failure in failures))
    return 1 if failures else 0


def _assembled(chosen: Sequence[Capability], processes: int) -> tuple[list[Assembly], list[str]]:
    """The rows of all capabilities, and what is wrong with processes that did not make theirs."""
    with ThreadPoolExecutor(processes) as pool:
        runs = [pool.submit(_of_capability, capability) for capability in chosen]
    rows: list[Assembly] = []
    failures = []
    for capability, run in zip(chosen, runs, strict=True):
        try:
            rows += run.result()
        except Failed as reason:
            failures.append(f"{_shown(capability)}: {reason}")
    return rows, failures


def possible(tools: Toolchain) -> Iterator[Capability]:
    """Those of `WANTED` that ptxas knows and Numba compiles for."""
    known = tools.architectures()
    for capability in WANTED:
        if capability in known and (capability <= LAST_BUILT_IN or _has_numba_cuda()):
            yield capability


def _has_numba_cuda() -> bool:
    return importlib.util.find_spec("numba_cuda") is not None


def _target() -> str:
    from importlib.metadata import version

    return f"numba {version('numba')}, " + (
        f"numba-cuda {version('numba-cuda')}" if _has_numba_cuda() else "its built-in CUDA target"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m refimpl.fast.cuda.assemble",
        description="Compile and assemble every CUDA kernel; no GPU needed.",
    )
    parser.add_argument(
        "--cc", nargs="+", type=_capability, metavar="MAJOR.MINOR", help="compute capabilities; all that the tools know"
    )
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="at once")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/cuda.md")
    return parser


def _capability(text: str) -> Capability:
    found = re.fullmatch(r"(\d+)\.(\d)", text)
    capability = None if found is None else (int(found[1]), int(found[2]))
    if capability not in LIMITS:
        known = ", ".join(map(_shown, LIMITS))
        raise argparse.ArgumentTypeError(f"{text!r} is none of the capabilities that are known: {known}")
    return capability


def _shown(capability: Capability) -> str:
    return f"{capability[0]}.{capability[1]}"


def _of_capability(capability: Capability) -> list[Assembly]:
    """The rows of one capability, from a process of its own. Raises `Failed`."""
    from refimpl.fast.cuda.assembly import Assembly

    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    environment["PYTHONWARNINGS"] = "ignore"
    command = [sys.executable, "-m", "refimpl.fast.cuda.assembly", _shown(capability)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end after {PATIENCE} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failed(f"the process that compiles ended with {done.returncode}: {last}")
    return [Assembly.from_json(json.loads(line)) for line in done.stdout.splitlines()]


COLUMNS = ("kernel", "type", "cc", "block", "registers", "shared", "stack", "spills", "occupancy", DOUBLE.name)


def _table(rows: Sequence[Assembly]) -> str:
    """Every row, and its problems below it."""
    cells = [_cells(row) for row in rows]
    widths = [max(len(line[i]) for line in [COLUMNS, *cells]) for i in range(len(COLUMNS))]
    lines = [_line(COLUMNS, widths)]
    for row, line in zip(rows, cells, strict=True):
        lines.append(_line(line, widths))
        lines += [f"    ^ {problem}" for problem in row.problems]
    return "\n".join(lines)


def _cells(row: Assembly) -> tuple[str, ...]:
    numbers = (row.block, row.registers, row.shared, row.stack, row.spills)
    share = f"{row.occupancy:.0%}"
    return row.kernel, row.dtype, row.capability, *map(str, numbers), share, str(row.float64)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join([*left, *right])


def _markdown(rows: Sequence[Assembly]) -> str:
    """A row for every kernel and type, a column for every capability: registers and occupancy."""
    capabilities = list(dict.fromkeys(row.capability for row in rows))
    found = {(row.kernel, row.dtype, row.capability): row for row in rows}
    lines = ["| kernel | type | block | shared | " + " | ".join(capabilities) + " |"]
    lines.append("|---|---|---|---|" + "---|" * len(capabilities))
    for kernel, dtype in dict.fromkeys((row.kernel, row.dtype) for row in rows):
        of = [found[kernel, dtype, capability] for capability in capabilities if (kernel, dtype, capability) in found]
        values = [f"{row.registers}, {row.occupancy:.0%}" for row in of]
        lines.append(f"| {kernel} | {dtype} | {of[0].block} | {of[0].shared} | {' | '.join(values)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
