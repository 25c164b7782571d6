"""The script that shows a failing case to a stranger: numpy alone, inputs and expected values inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import numpy as np

from conformance.contract.case import Array
from conformance.contract.errors import one_line
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.version import VERSION
from conformance.diagnosis.exhibit import Exhibit, expected_by

__all__ = ["repro_script"]

_PER_LINE = 6


def repro_script(exhibit: Exhibit, implementation: str, cause: str, dialect: str | None = None) -> str:
    """A Python script that runs by itself; it exits 1 where the recorded answer, or one given to it, is wrong.

    Without an answer in numbers it holds what Caffe computes, or Caffe's refusal.
    """
    template = (files("conformance.views") / "repro_script.txt").read_text("utf-8")
    head, _, body = template.partition("# <data>\n")
    return head + "".join(f"{line}\n" for line in _data(exhibit, implementation, cause, dialect)) + body


def _data(exhibit: Exhibit, implementation: str, cause: str, dialect: str | None) -> Iterator[str]:
    case, evidence = exhibit.case, exhibit.evidence
    expected = exhibit if exhibit.arrays else expected_by(exhibit, dialect)
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
    shown = () if isinstance(expected, Refusal) else expected.arrays
    judged = [each for each in shown if "step" not in each.blob or each.aspect != "total"]
    yield from _arrays("EXPECTED", {each.key: each.want for each in judged})
    yield "# How far off a plain evaluation in DTYPE may be."
    yield from _arrays("BOUND", {each.key: each.bound for each in judged})
    yield "# What Caffe says where it refuses the net."
    yield f"REFUSED_BY_CAFFE = {_said(expected) if isinstance(expected, Refusal) else ''!r}"
    answered = {each.key: each.got for each in judged} if isinstance(evidence.answer, Outcome) else {}
    yield from _arrays("ANSWER", answered)
    yield f"ANSWERED = {isinstance(evidence.answer, Outcome)}"
    yield f"REFUSED = {_said(evidence.answer) if isinstance(evidence.answer, Refusal) else ''!r}"


def _said(refusal: Refusal) -> str:
    return one_line(f"{refusal.stage}: {refusal.message}")


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
