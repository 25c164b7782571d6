"""Slopes: the gradients that a layer reports beside the slopes of the loss it reports, where nothing else is known.

The noise of the loss is measured first and the steps are chosen for it, so that a type of few digits decides what it
can. Small arrays are differenced entry by entry; of larger ones some entries are, and directions through all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from conformance.contract.case import Array, array_to_json
from conformance.contract.dtypes import Dtype
from conformance.contract.verdict import Element, Status, Verdict
from conformance.judge.derivative import Search, Slope, chosen_coordinates, slope
from conformance.judge.noise import noise_of
from conformance.judge.tolerance import (
    FREE_COORDINATES,
    FREE_DIRECTIONS,
    FREE_ENOUGH,
    FREE_LEVELS,
    FREE_POWER,
    FREE_STEP,
    gradient_allowance,
)
from conformance.requirements import CATALOGUE

__all__ = ["Slopes", "slope_verdicts", "slopes_of"]

Loss = Callable[[str, Array], float]
"""The reported total with one array, by its name, replaced."""


@dataclass(frozen=True)
class Slopes:
    """One array: its ``reported`` gradient, the slope ``measured`` at each entry (NaN where none was) and the ``bound``
    on how far the two may be apart.

    ``along`` are directions through the array: what it is, the slope as reported and as measured, the bound.
    ``scale`` is the largest gradient, reported or measured; ``noise`` the standard deviation of one loss.
    """

    name: str
    reported: Array
    measured: Array
    bound: Array
    along: tuple[tuple[str, float, float, float], ...]
    scale: float
    noise: float

    @property
    def wrong(self) -> Array:
        """Which entries are known to be wrong."""
        return self._beyond(1.0)

    @property
    def wrong_along(self) -> list[tuple[str, float, float, float]]:
        """The directions that are known to be wrong."""
        return [each for each in self.along if abs(each[1] - each[2]) > each[3]]

    def right_with(self, factor: float) -> bool:
        """Whether nothing is known to be wrong once ``factor`` is multiplied in."""
        wide = max(1.0, abs(factor))
        along = any(abs(got * factor - want) > bound * wide for _, got, want, bound in self.along)
        return not along and not bool(self._beyond(factor).any())

    @property
    def resolution(self) -> float:
        """How far, relative to the largest gradient, an entry that was differenced may be from the slope of the
        loss."""
        known = ~np.isnan(self.measured)
        apart = np.abs(self.reported - self.measured)[known] + self.bound[known]
        return float(np.max(apart, initial=0.0)) / self.scale if self.scale else np.inf

    @property
    def vaguest(self) -> tuple[int, ...] | None:
        """The entry whose slope is known least, where that is too little to tell; None where every one is known."""
        tried = np.isfinite(self.bound) | np.isnan(self.measured)
        bounds = np.where(np.isnan(self.bound), -1.0, self.bound)
        if tried.all() and self.scale and float(bounds.max(initial=0.0)) <= FREE_POWER * self.scale:
            return None
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(bounds)), bounds.shape))

    def to_json(self) -> dict[str, Any]:
        """What a failing verdict keeps: reported, measured and bound of every entry; where none was measured, the
        reported one with no bound."""
        unknown = np.isnan(self.measured)
        want, bound = np.where(unknown, self.reported, self.measured), np.where(unknown, np.inf, self.bound)
        return {"shape": list(self.reported.shape)} | {
            name: array_to_json(np.asarray(array))["data"]
            for name, array in (("reported", self.reported), ("measured", want), ("bound", bound))
        }

    def _beyond(self, factor: float) -> Array:
        with np.errstate(invalid="ignore"):
            off = np.abs(self.reported * factor - self.measured)
            return np.asarray(~np.isnan(self.measured) & ~(off <= self.bound * max(1.0, abs(factor))))


def slopes_of(
    loss: Loss, values: Mapping[str, Array], gradients: Mapping[str, Array], held: Dtype, rounded: Dtype
) -> list[Slopes]:
    """Difference the loss in every array of ``values`` beside the gradient reported for it.

    ``held`` is the type that inputs and the loss are of, ``rounded`` that of the gradients' roundings.
    """
    noise = max(noise_of(partial(_shifted, loss, name, values[name]), held) for name in gradients)
    whole = max(_largest(gradient) for gradient in gradients.values())
    found = []
    for name, gradient in gradients.items():
        here = loss(name, values[name])
        found.append(
            _measured(partial(loss, name), name, values[name], gradient, _Means(held, rounded, noise, here, whole))
        )
    return found


@dataclass(frozen=True)
class _Means:
    """What all slopes of one check share; ``whole`` is the largest gradient reported for any array."""

    held: Dtype
    rounded: Dtype
    noise: float
    here: float
    whole: float

    def search(self, values: Array, scale: float) -> Search:
        """Steps that the type holds exactly beside the values, larger ones for larger values."""
        exponent = np.floor(np.log2(max(_largest(values), 2.0**-8)))
        return Search(
            first=FREE_STEP * 2.0 ** max(0.0, exponent - 2),
            levels=FREE_LEVELS,
            smallest=2.0 ** (exponent + 3 - self.held.significand),
            enough=FREE_ENOUGH[self.held.differenceable] * scale,
            here=self.here,
        )


def _measured(loss: Callable[[Array], float], name: str, values: Array, gradient: Array, means: _Means) -> Slopes:
    scale = _largest(gradient) or means.whole
    search = means.search(values, scale)
    measured, error = np.full(gradient.shape, np.nan), np.full(gradient.shape, np.nan)

    def along(direction: Array) -> Slope:
        return slope(lambda change: loss(values + change * direction), noise=means.noise, search=search)

    for index in chosen_coordinates(gradient, FREE_COORDINATES):
        unit = np.zeros(gradient.shape)
        unit[index] = 1.0
        known = along(unit)
        measured[index], error[index] = (known.value, known.error) if np.isfinite(known.error) else (0.0, np.inf)
    scale = max(scale, float(np.max(np.abs(measured), initial=0.0, where=np.isfinite(error))))
    allowance = gradient_allowance(means.rounded) * scale
    directions = []
    for what, direction in _directions(gradient):
        known = along(direction)
        if np.isfinite(known.error):
            reported = float(np.sum(gradient * direction))
            directions.append((what, reported, known.value, known.error + allowance * gradient.size))
    return Slopes(name, gradient, measured, error + allowance, tuple(directions), scale, means.noise)


def _directions(gradient: Array) -> Iterator[tuple[str, Array]]:
    """The signs of the gradient, in which the loss changes most, and random ones."""
    if gradient.size == 1:
        return
    yield "along the signs of its gradient", np.where(gradient < 0, -1.0, 1.0)
    rng = np.random.default_rng(gradient.size)
    for i in range(FREE_DIRECTIONS):
        yield f"along random signs {i + 1}", rng.choice([-1.0, 1.0], gradient.shape)


def slope_verdicts(check: str, subject: str, dtype: str, slopes: Sequence[Slopes], weight: float) -> list[Verdict]:
    """The verdict on ``<subject>.gradient``, and on ``<subject>.loss-weight`` where that is what the gradient lacks.

    One that passed says within what: no entry that was differenced is further from the slope of the loss.
    """
    requirement = f"{subject}.gradient"
    verdict = Verdict(check, requirement, dtype, Status.PASSED, CATALOGUE[requirement].level)
    wrong = [each for each in slopes if each.wrong.any() or each.wrong_along]
    if wrong:
        reason, element = _wrongest(wrong)
        detail = {"slopes": {each.name: each.to_json() for each in slopes}, "weight": weight}
        failed = replace(verdict, status=Status.FAILED, reason=reason, element=element, detail=detail)
        if not any(all(each.right_with(factor) for each in slopes) for factor in (weight, 1 / weight)):
            return [failed]
        lost = f"{subject}.loss-weight"
        untold = f"the gradient is right but for the loss weight, see {lost}"
        return [
            replace(
                failed,
                requirement=lost,
                level=CATALOGUE[lost].level,
                reason=f"{reason}; right once the weight is put back",
            ),
            replace(verdict, status=Status.INCONCLUSIVE, reason=untold),
        ]
    vague = [(each, place) for each in slopes if (place := each.vaguest) is not None]
    if vague:
        return [replace(verdict, status=Status.INCONCLUSIVE, reason=_too_vague(*vague[0]))]
    worst = max(each.resolution for each in slopes)
    rooms = [float(np.min(_rooms(each), initial=np.inf)) for each in slopes]
    told = f"agrees with the slope of the reported loss within {_percent(worst)} of the largest gradient"
    return [replace(verdict, headroom=min(rooms), reason=told)]


def _wrongest(wrong: Sequence[Slopes]) -> tuple[str, Element | None]:
    """The entry that is furthest beyond its bound, or a direction where no single entry is."""
    for each in wrong:
        if each.wrong.any():
            rooms = np.where(each.wrong, _rooms(each), np.inf)
            index = tuple(int(i) for i in np.unravel_index(int(np.argmin(rooms)), rooms.shape))
            got, want, bound = float(each.reported[index]), float(each.measured[index]), float(each.bound[index])
            entries = f"{int(each.wrong.sum())} of {int(np.sum(~np.isnan(each.measured)))} entries differ"
            reason = (
                f"gradient {each.name}{list(index)}: reported {got:.9g}, the reported loss has slope "
                f"{want:.9g} ± {bound:.2g} ({entries})"
            )
            return reason, Element(each.name, index, got, want, bound)
    what, got, want, bound = wrong[0].wrong_along[0]
    told = f"reported {got:.9g}, the reported loss has slope {want:.9g} ± {bound:.2g}"
    return f"gradient of {wrong[0].name} {what}: {told}", None


def _too_vague(each: Slopes, place: tuple[int, ...]) -> str:
    if not each.scale:
        return f"every gradient reported is 0, and so is every slope of the loss that was measured, at {each.name}"
    share = _percent(float(each.bound[place]) / each.scale)
    return (
        f"the slope of the reported loss at {each.name}{list(place)} is known within {share} of the largest gradient "
        f"only, and {_percent(FREE_POWER)} are needed: the loss's own noise is {each.noise:.2g}, or it has a kink there"
    )


def _rooms(each: Slopes) -> Array:
    """Bound over error of every entry that was differenced; infinite elsewhere, and where nothing is off."""
    off = np.abs(each.reported - each.measured)
    with np.errstate(all="ignore"):
        return np.asarray(
            np.where(np.isnan(each.measured) | (off == 0), np.inf, np.where(np.isnan(off), 0.0, each.bound / off))
        )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _largest(array: Array) -> float:
    return float(np.max(np.abs(array), initial=0.0, where=np.isfinite(array)))


def _shifted(loss: Loss, name: str, values: Array, change: float) -> float:
    """The loss with all entries changed at once, by small multiples of the change."""
    return loss(name, values + change * (1 + np.arange(values.size) % 3).reshape(values.shape))
