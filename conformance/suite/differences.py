"""Differences: are reported gradients the derivative of the reported loss, and if not, do they lack its weight?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.outcome import Outcome
from conformance.contract.session import Session
from conformance.contract.verdict import Element, Status, Verdict
from conformance.judge.derivative import Slope, chosen_coordinates, slope
from conformance.judge.noise import noise_of
from conformance.judge.tolerance import DIFFERENCE_COORDINATES, DIFFERENCE_POWER
from conformance.requirements import CATALOGUE

__all__ = ["Compared", "Coordinate", "compare", "derivative_verdicts", "loss_of"]

Loss = Callable[[str, Array], float]
"""The reported total with one array, by its name, replaced."""


@dataclass(frozen=True)
class Coordinate:
    """One entry of a gradient as reported, the slope of the loss there, and how far apart the two may be."""

    name: str
    index: tuple[int, ...]
    got: float
    slope: Slope
    bound: float

    @property
    def off(self) -> float:
        return abs(self.got - self.slope.value)

    def within(self, factor: float) -> bool:
        """Whether the entry is right once ``factor`` is multiplied in."""
        return abs(self.got * factor - self.slope.value) <= self.bound * max(1.0, abs(factor))


@dataclass(frozen=True)
class Compared:
    """What came out: the first coordinate that is wrong, the first whose slope is too uncertain to tell, bound / error.

    ``by_weight`` tells that all of them are right once the loss weight is multiplied in or divided out.
    """

    wrong: Coordinate | None
    vague: Coordinate | None
    by_weight: bool
    room: float


def compare(
    loss: Loss,
    values: Mapping[str, Array],
    gradients: Mapping[str, Array],
    allowances: Mapping[str, Array],
    *,
    weight: float = 1.0,
    kinks: Mapping[str, Array] | None = None,
    excused: Callable[[str, tuple[int, ...]], bool] = lambda name, index: False,
) -> Compared:
    """Difference the loss over some coordinates of each of ``values``, beside the gradients reported for them.

    ``allowances`` are the roundings that a gradient's entries may carry, ``kinks`` each entry's distance to the nearest
    point without a derivative; a coordinate that is ``excused`` may have any gradient.
    """
    noise = max(noise_of(partial(_shifted, loss, name, values[name])) for name in gradients)
    factors = {weight, 1 / weight} - {1.0} if weight else set()
    wrong: Coordinate | None = None
    vague: Coordinate | None = None
    room = np.inf
    for name, gradient in gradients.items():
        scale = float(np.max(np.abs(gradient), initial=0.0))
        for index in chosen_coordinates(gradient, DIFFERENCE_COORDINATES // len(gradients)):
            near = np.inf if kinks is None else float(kinks[name][index])
            measured = slope(partial(_changed, loss, name, values[name], index), near, noise)
            bound = measured.error + float(allowances[name][index])
            one = Coordinate(name, index, float(gradient[index]), measured, bound)
            factors = {factor for factor in factors if one.within(factor)}
            if not one.off <= bound and not excused(name, index):
                wrong = wrong or one
                if not factors:
                    return Compared(wrong, vague, False, 0.0)
            elif measured.error > DIFFERENCE_POWER * max(scale, abs(measured.value)):
                vague = vague or one
            elif one.off:
                room = min(room, bound / one.off)
    return Compared(wrong, vague, wrong is not None, room)


def derivative_verdicts(check: str, subject: str, dtype: str, compared: Compared) -> list[Verdict]:
    """The verdict on ``<subject>.gradient``, and on ``<subject>.loss-weight`` where that is what the gradient lacks."""
    requirement = f"{subject}.gradient"
    verdict = Verdict(check, requirement, dtype, Status.PASSED, CATALOGUE[requirement].level, headroom=compared.room)
    one = compared.wrong
    if one is not None:
        element = Element(one.name, one.index, one.got, one.slope.value, one.bound)
        reason = (
            f"gradient {_place(one)}: reported {one.got:.12g}, "
            f"the reported loss has slope {one.slope.value:.12g} ± {one.slope.error:.2g}"
        )
        failed = replace(verdict, status=Status.FAILED, headroom=None, reason=reason, element=element)
        if not compared.by_weight:
            return [failed]
        lost = f"{subject}.loss-weight"
        reason = f"{reason}; right once the weight is put back"
        untold = f"the gradient is right but for the loss weight, see {lost}"
        return [
            replace(failed, requirement=lost, level=CATALOGUE[lost].level, reason=reason),
            replace(verdict, status=Status.INCONCLUSIVE, headroom=None, reason=untold),
        ]
    if compared.vague is not None:
        place, error = _place(compared.vague), compared.vague.slope.error
        reason = f"the loss is too noisy to difference at {place}: its slope is known to ± {error:.2g}"
        return [replace(verdict, status=Status.INCONCLUSIVE, headroom=None, reason=reason)]
    return [verdict]


def loss_of(session: Session, case: Case, name: str, values: Array) -> float:
    """The total that a forward pass reports with the input, or the first parameter of the layer, ``name`` replaced."""
    if name in case.inputs:
        changed = replace(case, inputs={**case.inputs, name: values}, steps=("forward",))
    else:
        changed = replace(case, params={**case.params, name: (values,)}, steps=("forward",))
    answer = session.run(changed)
    return answer.loss if isinstance(answer, Outcome) else float("nan")


def _place(one: Coordinate) -> str:
    return f"{one.name}{list(one.index)}"


def _changed(loss: Loss, name: str, values: Array, index: tuple[int, ...], change: float) -> float:
    changed = values.copy()
    changed[index] += change
    return loss(name, changed)


def _shifted(loss: Loss, name: str, values: Array, change: float) -> float:
    """The loss with all entries changed at once, by small multiples of the change."""
    return loss(name, values + change * (1 + np.arange(values.size) % 3).reshape(values.shape))
