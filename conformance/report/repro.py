"""The script that shows a failing case to a stranger: numpy alone, inputs and expected values inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import numpy as np

from conformance.case import Array
from conformance.diagnosis.exhibit import Exhibit
from conformance.errors import one_line
from conformance.outcome import Outcome
from conformance.version import VERSION

__all__ = ["repro_script"]

_PER_LINE = 6


def repro_script(exhibit: Exhibit, implementation: str, cause: str) -> str:
    """A Python script that runs by itself; it exits 1 where the recorded answer, or one given to it, is wrong."""
    template = (files("conformance.report") / "repro_script.txt").read_text("utf-8")
    head, _, body = template.partition("# <data>\n")
    return head + "".join(f"{line}\n" for line in _data(exhibit, implementation, cause)) + body


def _data(exhibit: Exhibit, implementation: str, cause: str) -> Iterator[str]:
    case, evidence = exhibit.case, exhibit.evidence
    told: Mapping[str, Any] = {
        "CHECK": one_line(evidence.check),
        "IMPLEMENTATION": one_line(implementation),
        "CAUSE": one_line(cause),
        "WRITTEN_BY": f"lossconf {VERSION}",
        "DTYPE": evidence.dtype,
        "PHASE": case.phase,
        "STEPS": list(case.steps),
        "LEVEL": case.level,
        "STAGES": list(case.stages),
        "PREFILL_DIFF": dict(case.prefill_diff),
        "TOP_DIFF": dict(case.top_diff),
        "FILES": dict(case.files),
    }
    for name, value in told.items():
        yield f"{name} = {value!r}"
    yield "NET = ("
    yield from (f"    {line!r}" for line in case.net.splitlines(keepends=True))
    yield ")"
    yield from _arrays("INPUTS", dict(case.inputs))
    yield from _arrays(
        "PARAMS", {f"{layer}[{i}]": a for layer, some in case.params.items() for i, a in enumerate(some)}
    )
    judged = [shown for shown in exhibit.arrays if "step" not in shown.blob or shown.aspect != "total"]
    yield from _arrays("EXPECTED", {shown.key: shown.want for shown in judged})
    yield "# How far off a plain evaluation in DTYPE may be."
    yield from _arrays("BOUND", {shown.key: shown.bound for shown in judged})
    yield from _arrays("ANSWER", {shown.key: shown.got for shown in judged})
    refused = "" if isinstance(evidence.answer, Outcome) or evidence.answer is None else evidence.answer.message
    yield f"REFUSED = {one_line(refused)!r}"


def _arrays(name: str, arrays: Mapping[str, Array]) -> Iterator[str]:
    if not arrays:
        yield f"{name} = {{}}"
        return
    yield f"{name} = {{"
    for key, array in arrays.items():
        numbers = [repr(float(x)) for x in np.asarray(array, dtype=np.float64).ravel()]
        shape = tuple(int(n) for n in np.shape(array))
        if len(numbers) <= _PER_LINE:
            yield f"    {key!r}: np.array([{', '.join(numbers)}]).reshape({shape}),"
            continue
        yield f"    {key!r}: np.array(["
        rows = (numbers[i : i + _PER_LINE] for i in range(0, len(numbers), _PER_LINE))
        yield from (f"        {', '.join(row)}," for row in rows)
        yield f"    ]).reshape({shape}),"
    yield "}"
