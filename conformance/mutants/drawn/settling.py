"""Settling: whether a mutant is wrong, found out on cases of their own before the suite sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from conformance.contract.case import Case
from conformance.contract.dtypes import DOUBLE
from conformance.contract.implementation import ImplementationError
from conformance.contract.outcome import Outcome, Refusal
from conformance.losses import KNOWN
from conformance.mutants.drawn.cases import settling_cases
from conformance.mutants.mutant import Mutant, MutantImplementation
from conformance.record.cause import Cause
from refimpl.fast.layers import KERNELS

__all__ = ["CASES", "Settled", "settled"]

CASES = 200
"""Cases for each loss, the same for all its mutants."""

_RARE = CASES // 20

_SEED = "settling"
_VISIBLE = 2.0**-40
"""Of an array's largest entry: float64's rounding is far below, the smallest effect far above."""


@dataclass(frozen=True)
class Settled:
    """In how many of the cases it was ``wrong``, counted up to where it is rare no more; ``at`` is the first."""

    wrong: int
    at: str = ""

    @property
    def rare(self) -> bool:
        return self.wrong <= _RARE


def settled(mutant: Mutant, kernels: bool = False) -> Settled:
    """Run the mutant on its loss's cases, in float64, beside the reference; or beside the ``kernels`` that nobody
    changed, which round otherwise."""
    wrong, at = 0, ""
    implementation = MutantImplementation(mutant)
    for case, right in _answers(mutant.stem, mutant.dialect, CASES, kernels):
        try:
            answer = implementation.run(case, DOUBLE.name)
        except ImplementationError:
            answer = None
        if answer is None or _differ(answer, right):
            wrong, at = wrong + 1, at or case.id
            if wrong > _RARE:
                break
    return Settled(wrong, at)


@cache
def _answers(stem: str, dialect: str, count: int, kernels: bool) -> tuple[tuple[Case, Outcome | Refusal], ...]:
    loss = KNOWN[stem]
    layers = {loss.type: KERNELS[loss.layer]} if kernels else {}
    right = Mutant(stem, "nothing", "", Cause.NONE, layers, dialect=dialect)
    implementation, cases = MutantImplementation(right), settling_cases(loss, _SEED, count)
    return tuple((case, implementation.run(case, DOUBLE.name)) for case in cases)


def _differ(answer: Outcome | Refusal, right: Outcome | Refusal) -> bool:
    if isinstance(answer, Refusal) or isinstance(right, Refusal):
        return type(answer) is not type(right)
    if answer.loss_trace and right.loss_trace and _far(np.array(answer.loss_trace), np.array(right.loss_trace)):
        return True
    return _any_far(answer.data, right.data) or _any_far(answer.diff, right.diff)


def _any_far(got: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray]) -> bool:
    return any(_far(got[name], want[name]) for name in want)


def _far(got: np.ndarray, want: np.ndarray) -> bool:
    scale = np.abs(want[np.isfinite(want)]).max(initial=0.0)
    return got.shape != want.shape or not np.allclose(got, want, rtol=0, atol=_VISIBLE * scale, equal_nan=True)
