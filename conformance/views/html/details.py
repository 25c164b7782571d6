"""Details: what a failing case's page shows beside its verdicts: net, inputs, arrays, how far off each element is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.contract.item import item_name
from conformance.contract.outcome import Outcome, Refusal
from conformance.diagnosis.evidence import Evidence
from conformance.diagnosis.exhibit import Exhibit, Shown, exhibit_of
from conformance.record.cause import Cause
from conformance.record.report import Report
from conformance.views.text import printable

__all__ = ["MOST", "details_of"]

MOST = 300
"""Cases whose arrays are in the page, shared evenly among the causes."""

_DRAWN = 1024
"""Elements of an array that are drawn."""

_TOLD = 256
"""Elements of an array whose numbers are in the page."""

_LEVELS = 10.0 ** np.arange(9)
"""Errors, in units of the bound, from which an element is drawn in the next darker shade."""


def details_of(report: Report, diagnosis: Iterable[tuple[Cause, list[Evidence]]]) -> dict[str, dict[str, Any]]:
    """The details of failing cases by CHECK[TYPE]."""
    chosen = _chosen(list(diagnosis))
    details = {}
    for cause, piece in chosen:
        exhibit = exhibit_of(piece, report.header["dialect"])
        if exhibit is not None:
            key = item_name(printable(piece.check, 1000), piece.dtype)
            details[key] = _details(exhibit, cause)
    return details


def _chosen(diagnosis: list[tuple[Cause, list[Evidence]]]) -> list[tuple[Cause, Evidence]]:
    """The first cases of every cause, in turn."""
    found: list[tuple[Cause, Evidence]] = []
    for i in range(max((len(pieces) for _, pieces in diagnosis), default=0)):
        found += [(cause, pieces[i]) for cause, pieces in diagnosis if i < len(pieces)]
    return found[:MOST]


def _details(exhibit: Exhibit, cause: Cause) -> dict[str, Any]:
    evidence, answer = exhibit.evidence, exhibit.evidence.answer
    also = [c.sentence for c in evidence.causes if c not in (cause, Cause.UNNAMEABLE)][:3]
    shown = [*exhibit.wrong, *(s for s in exhibit.arrays if not s.wrong and s.got.size > 1)]
    return {
        "also": also,
        "side": printable(exhibit.side),
        "formula": exhibit.formula,
        "net": printable(exhibit.case.net, 20_000),
        "steps": ", ".join(exhibit.case.steps),
        "answer": _answer(answer),
        "inputs": [[printable(name, 200), *_numbers(array)] for name, array in exhibit.case.inputs.items()],
        "arrays": [_array(each) for each in shown],
    }


def _answer(answer: Outcome | Refusal | None) -> str:
    if isinstance(answer, Refusal):
        return f"refused at {printable(answer.stage, 100)}: {printable(answer.message, 1000)}"
    return "" if answer is not None else "there was no answer"


def _array(shown: Shown) -> dict[str, Any]:
    """Its title, its shape, one shade per element (0 right, 1 to 9 wrong, x no number), and the numbers."""
    ratios = shown.in_bounds().ravel()
    rejected = shown.rejected.ravel()
    shades = 1 + np.searchsorted(_LEVELS, np.nan_to_num(ratios, nan=np.inf, posinf=1e300), side="left").clip(0, 8)
    letters = np.where(rejected, shades, 0).astype(str)
    letters[~np.isfinite(shown.got.ravel()) & rejected] = "x"
    told = np.arange(ratios.size) if ratios.size <= _TOLD else np.flatnonzero(rejected)[:_TOLD]
    return {
        "title": printable(shown.title, 300),
        "layer": printable(shown.layer or "the net", 200),
        "shape": list(shown.got.shape),
        "wrong": shown.wrong,
        "size": int(shown.got.size),
        "shades": "".join(letters[:_DRAWN].tolist()),
        "told": [
            [int(i), *(_number(a.ravel()[i]) for a in (shown.got, shown.want, shown.bound))] for i in told if i < _DRAWN
        ],
    }


def _numbers(array: NDArray[np.floating[Any]]) -> tuple[list[int], list[float | str]]:
    return list(array.shape), [_number(x) for x in array.ravel()[:_TOLD]]


def _number(value: float) -> float | str:
    """Nine digits, which tell float32 numbers apart; what JSON lacks as a word."""
    return float(f"{value:.9g}") if np.isfinite(value) else str(float(value))
