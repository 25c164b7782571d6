"""Gradients: the bottoms' diffs are the derivative of the net's reported total.

A float64 implementation is differenced: its own losses against its own gradients, no formula in between. A float32
one has too few digits for that and is held against the float64 gradient within its running error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from conformance.case import Array, Case
from conformance.check import Check
from conformance.drive import build, run_steps
from conformance.judges.derivative import Slope, chosen_coordinates, slope
from conformance.outcome import Outcome, Refusal
from conformance.replay import replay
from conformance.requirements import CATALOGUE
from conformance.session import Session
from conformance.sides import Side, sides_of
from conformance.suite.judged import guarded, judged
from conformance.suite.recipes import RECIPES, Recipe
from conformance.tolerance import DIFFERENCE_COORDINATES, DIFFERENCE_POWER, rounding_of
from conformance.verdict import Element, Status, Verdict
from refimpl.running_error import Approx

__all__ = ["checks", "differenced"]

FAMILY = "gradients"
WEIGHT = 2.5


def checks() -> Iterator[Check]:
    for recipe in RECIPES:
        yield _check(recipe)


def _check(recipe: Recipe) -> Check:
    check_id = f"{FAMILY}/{recipe.stem}/{recipe.name}"
    requirement = f"{recipe.stem}.gradient"
    case = recipe.case(check_id, weights=(WEIGHT,), seed=1)

    def run(session: Session) -> list[Verdict]:
        if session.dtype == "float32":
            return judged(session, check_id, [requirement], case)
        return guarded(
            session,
            check_id,
            [requirement],
            lambda: [differenced(session, check_id, requirement, case, recipe.learned)],
        )

    return Check(check_id, FAMILY, recipe.stem, (requirement,), run, layer_types=(recipe.type,))


@dataclass(frozen=True)
class _Coordinate:
    blob: str
    index: tuple[int, ...]
    got: float
    slope: Slope


def differenced(session: Session, check: str, requirement: str, case: Case, blobs: tuple[str, ...]) -> Verdict:
    """Difference the implementation's reported total over some coordinates of each blob, against the gradients it
    reports."""
    level = CATALOGUE[requirement].level
    answer = session.run(case)
    if isinstance(answer, Refusal):
        return Verdict(
            check,
            requirement,
            session.dtype,
            Status.FAILED,
            level,
            reason=f"refused at {answer.stage}: {answer.message}",
        )
    reported = {name: answer.diff[name] for name in blobs if name in answer.diff}
    if not reported:
        return Verdict(check, requirement, session.dtype, Status.INCONCLUSIVE, level, reason="no gradient is reported")
    formula, kinks = _formula(case, answer, blobs)
    vague: _Coordinate | None = None
    room = np.inf
    for name, gradient in reported.items():
        if gradient.shape != _values(case, name).shape:
            reason = f"the gradient of {name} has shape {gradient.shape}, {name} has {_values(case, name).shape}"
            return Verdict(check, requirement, session.dtype, Status.FAILED, level, reason=reason)
        scale = float(np.max(np.abs(gradient), initial=0.0))
        for index in chosen_coordinates(gradient, DIFFERENCE_COORDINATES // len(reported)):
            measured = slope(partial(_loss, session, case, name, index), float(kinks[name][index]))
            one = _Coordinate(name, index, float(gradient[index]), measured)
            rounding, departs = formula[name]
            bound = measured.error + float(rounding.error[index])
            off = abs(one.got - measured.value)
            if not off <= bound and not (departs and abs(one.got - rounding.value[index]) <= rounding.error[index]):
                return _off(check, requirement, session.dtype, one, bound)
            if measured.error > DIFFERENCE_POWER * max(scale, abs(measured.value)):
                vague = vague or one
            room = min(room, bound / off if off and off <= bound else np.inf)
    if vague is not None:
        place = f"{vague.blob}{list(vague.index)}"
        reason = f"the loss is too noisy to difference at {place}: known to ± {vague.slope.error:.2g}"
        return Verdict(check, requirement, session.dtype, Status.INCONCLUSIVE, level, reason=reason)
    return Verdict(check, requirement, session.dtype, Status.PASSED, level, headroom=room)


def _off(check: str, requirement: str, dtype: str, one: _Coordinate, bound: float) -> Verdict:
    reason = (
        f"gradient {one.blob}{list(one.index)}: reported {one.got:.12g}, "
        f"the reported loss has slope {one.slope.value:.12g} ± {one.slope.error:.2g}"
    )
    element = Element(one.blob, one.index, one.got, one.slope.value, bound)
    return Verdict(
        check, requirement, dtype, Status.FAILED, CATALOGUE[requirement].level, reason=reason, element=element
    )


def _formula(
    case: Case, answer: Outcome, blobs: tuple[str, ...]
) -> tuple[dict[str, tuple[Approx, bool]], dict[str, Array]]:
    """The reference's gradients with their running error, whether its formula departs from the derivative, and the
    kinks' distances."""
    side: Side = next(sides_of(case, "documented"))
    dialect = side.dialect()
    net, _ = replay(case, Outcome(answer.dtype, answer.loss), dialect, rounding_of("float64"))
    plain = build(case)
    run_steps(plain, case)
    distances = {name: np.full(plain.blobs[name].shape, np.inf) for name in blobs}
    for node in plain.layers:
        for name, distance in zip(node.bottoms, node.layer.kinks(plain.bottoms_of(node)), strict=True):
            if name in distances and distance is not None:
                distances[name] = np.minimum(distances[name], distance)
    departs = bool(dialect.departed)
    return {name: (net.blobs[name].diff.copy(), departs) for name in blobs}, distances


def _values(case: Case, name: str) -> Array:
    return case.inputs[name] if name in case.inputs else case.params[name][0]


def _loss(session: Session, case: Case, name: str, index: tuple[int, ...], change: float) -> float:
    values = _values(case, name).copy()
    values[index] += change
    if name in case.inputs:
        changed = replace(case, inputs={**case.inputs, name: values}, steps=("forward",))
    else:
        changed = replace(case, params={**case.params, name: (values,)}, steps=("forward",))
    answer = session.run(changed)
    return answer.loss if isinstance(answer, Outcome) else float("nan")
