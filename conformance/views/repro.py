"""The script that shows a failing case to a stranger: numpy alone, inputs and expected values inside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from conformance.contract.case import Array
from conformance.contract.errors import UsageError, one_line
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.version import VERSION
from conformance.record.conclusion import implementation_of
from conformance.views.failing_case import FailingCase

__all__ = ["repro_script"]

_PER_LINE = 6


def repro_script(found: FailingCase) -> str:
    """A Python script that runs by itself; it exits 1 where the recorded answer, or one given to it, is wrong.

    Where no formula is known it calls the layer itself, and holds the gradient it reports against the slope of its
    loss.

    Without an answer in numbers it holds what Caffe computes, or Caffe's refusal. Raises `UsageError` where the report
    does not hold the case, or what was wanted of it.
    """
    own = found.evidence is not None and found.evidence.own_answers
    name = "repro_own_layer.txt" if own else "repro_script.txt"
    template = (files("conformance.views") / name).read_text("utf-8")
    head, _, body = template.partition("# <data>\n")
    return head + "".join(f"{line}\n" for line in _data(found)) + body


def _data(found: FailingCase) -> Iterator[str]:
    evidence = found.evidence
    if evidence is None or evidence.case is None or evidence.lacks:
        why = (evidence and evidence.lacks) or f"the report did not keep the case: {found.not_kept}"
        raise UsageError(f"nothing to write a script from: {why}")
    case, answer, refusal = evidence.case.rounded(evidence.dtype), evidence.answer, evidence.refusal
    constants: Mapping[str, Any] = {
        "CHECK": one_line(evidence.check),
        "IMPLEMENTATION": str(found.report.header["implementation"]["spec"])
        if evidence.own_answers
        else one_line(implementation_of(found.report.header)),
        "REASON": one_line(found.broken[0].verdict.reason),
        "HOME": os.getcwd(),
        "CAUSE": one_line(found.cause.sentence if found.cause else "not known"),
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
    for name, value in constants.items():
        yield f"{name} = {value!r}"
    yield "NET = ("
    yield from (f"    {line!r}" for line in case.net.splitlines(keepends=True))
    yield ")"
    yield from _arrays("INPUTS", dict(case.inputs))
    yield from _arrays("PARAMS", _learnable(case.params))
    yield "# Further passes through the same net: what each replaces, and whether the parameters' diffs are cleared."
    yield "PASSES = []"
    for one in case.passes:
        yield from _arrays("inputs", dict(one.inputs))
        yield from _arrays("params", _learnable(one.params))
        rest = (dict(one.prefill_diff), dict(one.top_diff), one.clear, list(one.steps))
        yield f"PASSES.append((inputs, params, {', '.join(map(repr, rest))}))"
    arrays = [array for array in evidence.arrays if array.aspect != "total" or "after step" not in array.blob]
    yield from _arrays("EXPECTED", {array.place: array.want.reshape(array.shape) for array in arrays})
    yield "# How far off a plain evaluation in DTYPE may be."
    yield from _arrays("BOUND", {array.place: array.bound.reshape(array.shape) for array in arrays})
    yield "# What Caffe says where it refuses the net."
    yield f"REFUSED_BY_CAFFE = {_said(refusal) if refusal is not None else ''!r}"
    answered = [array for array in arrays if isinstance(answer, Outcome)]
    yield from _arrays("ANSWER", {array.place: array.got.reshape(array.shape) for array in answered})
    yield f"ANSWERED = {isinstance(answer, Outcome)}"
    yield f"REFUSED = {_said(answer) if isinstance(answer, Refusal) else ''!r}"


def _learnable(params: Mapping[str, Sequence[Array]]) -> dict[str, Array]:
    return {f"{layer}[{i}]": array for layer, arrays in params.items() for i, array in enumerate(arrays)}


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
