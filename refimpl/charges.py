"""Charges: how far the elementary functions of common libraries are off, in units in the last place.

One table for all bounds. Each row is what a document states or a measurement found, each function is charged the most
that any row has for its type. What a document leaves to the compiler's flags is what it states without fast-math.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from refimpl.dtypes import DOUBLE, FLOAT, Dtype

__all__ = ["FUNCTIONS", "STATED", "Stated", "charges_of", "to_markdown"]

FUNCTIONS = (np.exp, np.log, np.tanh, np.sqrt, np.power)
"""The elementary functions that the layers' formulas call; 1 + x in a log, and 1 from an exp, are operations."""


@dataclass(frozen=True)
class Stated:
    """What ``library`` is off by in one type: ULP of each of `FUNCTIONS`, None where its ``source`` does not say."""

    library: str
    dtype: Dtype
    ulps: tuple[float | None, ...]
    source: str


_NUMPY = "measured, numpy 2.4.6 on x86-64 with AVX2 and FMA, 4e6 arguments each against 80-bit values"
_NOTES = "release notes of 1.17 (vectorised float32 exp and log)"
_GLIBC = "The GNU C Library manual, Errors in Math Functions, x86_64"
_CUDA = "CUDA C++ Programming Guide, Mathematical Functions"
_OPENCL = "The OpenCL C Specification 3.0, Relative Error as ULPs, full profile"
_ROCM = "HIP math API, ULP difference of maximum absolute error"
_XLA = "docs.jax.dev, Numerical accuracy (x86-64, H100, B200)"

STATED: tuple[Stated, ...] = (
    Stated("GNU C library", FLOAT, (1, 1, 2, 0.5, 1), _GLIBC),
    Stated("numpy", FLOAT, (2.52, 3.83, None, None, None), _NOTES),
    Stated("numpy", FLOAT, (2.45, 3.78, 1.37, 0.5, 0.51), _NUMPY),
    Stated("CUDA", FLOAT, (2, 1, 2, 0.5, 4), _CUDA),
    Stated("OpenCL", FLOAT, (3, 3, 5, 3, 16), _OPENCL),
    Stated("ROCm", FLOAT, (1, 2, None, None, None), _ROCM),
    Stated("XLA", FLOAT, (2, 1.5, 5.5, 1, None), _XLA),
    Stated("GNU C library", DOUBLE, (1, 1, 2, 0.5, 1), _GLIBC),
    Stated("numpy", DOUBLE, (0.51, 0.52, 1.17, None, 0.51), _NUMPY),
    Stated("CUDA", DOUBLE, (1, 1, 2, 0.5, 2), _CUDA),
    Stated("OpenCL", DOUBLE, (3, 3, 5, 0.5, 16), _OPENCL),
    Stated("ROCm", DOUBLE, (1, 1, None, None, None), _ROCM),
    Stated("XLA", DOUBLE, (2, 1.5, 7, 0.5, None), _XLA),
)


def charges_of(dtype: Dtype) -> Mapping[np.ufunc, float]:
    """ULP that each function is charged in a type.

    Types narrower than float compute their functions in float and round once: half an ULP, and what float's may be
    off by in ULP of the narrower type.
    """
    own = DOUBLE if dtype == DOUBLE else FLOAT
    rows = [row.ulps for row in STATED if row.dtype == own]
    most = (max(ulps for ulps in column if ulps is not None) for column in zip(*rows, strict=True))
    share = own.unit_roundoff / dtype.unit_roundoff
    return {
        function: ulps if dtype == own else 0.5 + share * ulps for function, ulps in zip(FUNCTIONS, most, strict=True)
    }


def to_markdown() -> str:
    """The table with its last row, what is charged, for each type (`docs/verdicts.md`)."""
    names = [function.__name__ for function in FUNCTIONS]
    lines = [["type", "library", *names, "source"], ["---"] * (len(names) + 3)]
    for dtype in (FLOAT, DOUBLE):
        rows = [row for row in STATED if row.dtype == dtype]
        lines += [[dtype.name, row.library, *map(_shown, row.ulps), row.source] for row in rows]
        lines.append([dtype.name, "**charged**", *(f"**{ulps:g}**" for ulps in charges_of(dtype).values()), ""])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _shown(ulps: float | None) -> str:
    return "" if ulps is None else f"{ulps:g}"
