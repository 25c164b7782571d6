"""Details: what a failing case's page shows beside its verdicts: net, inputs, arrays, how far off each element is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.contract.case import Case
from conformance.contract.item import item_name
from conformance.contract.outcome import Outcome, Refusal
from conformance.diagnosis.diagnosis import Group
from conformance.record.cause import Cause
from conformance.record.deviation import Deviation
from conformance.record.evidence import Evidence
from conformance.views.text import printable
from conformance.views.words import NOT_FORETOLD

__all__ = ["MOST", "details_of"]

MOST = 300
"""Cases whose arrays are in the page, shared evenly among the causes."""

_DRAWN = 1024
"""Elements of an array that are drawn."""

_LISTED = 256
"""Elements of an array whose numbers are in the page."""

_LEVELS = 10.0 ** np.arange(9)
"""Errors, in units of the bound, from which an element is drawn in the next darker shade."""


def details_of(diagnosis: Iterable[Group]) -> dict[str, dict[str, Any]]:
    """The details of failing cases by CHECK[TYPE]."""
    return {
        item_name(printable(piece.check, 1000), piece.dtype): _details(
            piece, piece.case.rounded(piece.dtype), group.cause, any(piece is other for other in group.beside)
        )
        for group, piece in _chosen(list(diagnosis))
        if piece.case is not None
    }


def _chosen(diagnosis: list[Group]) -> list[tuple[Group, Evidence]]:
    """The first cases of every cause, in turn."""
    found: list[tuple[Group, Evidence]] = []
    cases = [group.cases for group in diagnosis]
    for i in range(max(map(len, cases), default=0)):
        found += [(group, own[i]) for group, own in zip(diagnosis, cases, strict=True) if i < len(own)]
    return found[:MOST]


def _details(evidence: Evidence, case: Case, cause: Cause, beside: bool) -> dict[str, Any]:
    also = [c.sentence for c in evidence.causes if c not in (cause, Cause.UNNAMEABLE)][:3]
    answered = evidence.arrays if isinstance(evidence.answer, Outcome) else ()
    return {
        "also": also,
        "beside": NOT_FORETOLD if beside else "",
        "formula": printable(evidence.formula),
        "net": printable(case.net, 20_000),
        "steps": "; ".join(", ".join(one.steps) for one in case.sequence),
        "answer": _answer(evidence.answer) or evidence.lacks,
        "inputs": [[printable(name, 200), *_numbers(array)] for name, array in _inputs(case)],
        "arrays": [_array(array) for array in answered if array.whole and (array.rejected or array.size > 1)],
    }


def _inputs(case: Case) -> Iterator[tuple[str, NDArray[np.floating[Any]]]]:
    yield from case.inputs.items()
    for number, one in enumerate(case.passes, start=2):
        yield from ((f"{name} in pass {number}", array) for name, array in one.inputs.items())


def _answer(answer: Outcome | Refusal | None) -> str:
    if isinstance(answer, Refusal):
        return f"refused at {printable(answer.stage, 100)}: {printable(answer.message, 1000)}"
    return "" if answer is not None else "there was no answer"


def _array(array: Deviation) -> dict[str, Any]:
    """Its title, its shape, one shade per element (0 right, 1 to 9 wrong, x no number), and the numbers."""
    letters = np.zeros(array.size, int).astype(str)
    ratios = array.in_bounds()[array.wrong]
    shades = 1 + np.searchsorted(_LEVELS, np.nan_to_num(ratios, nan=np.inf, posinf=1e300), side="left").clip(0, 8)
    letters[array.wrong] = np.where(np.isfinite(array.got[array.wrong]), shades.astype(str), "x")
    listed = np.arange(array.size) if array.size <= _LISTED else array.wrong[:_LISTED]
    return {
        "title": printable(array.title, 300),
        "layer": printable(array.layer or "the net", 200),
        "shape": list(array.shape),
        "wrong": array.rejected,
        "size": array.size,
        "shades": "".join(letters[:_DRAWN].tolist()),
        "told": [
            [int(i), *(_number(values[i]) for values in (array.got, array.want, array.bound))]
            for i in listed
            if i < _DRAWN
        ],
    }


def _numbers(array: NDArray[np.floating[Any]]) -> tuple[list[int], list[float | str]]:
    return list(array.shape), [_number(x) for x in array.ravel()[:_LISTED]]


def _number(value: float) -> float | str:
    """Nine digits, which tell float32 numbers apart; what JSON lacks as a word."""
    return float(f"{value:.9g}") if np.isfinite(value) else str(float(value))
