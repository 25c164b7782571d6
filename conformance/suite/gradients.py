"""Gradients: the bottoms' diffs are the derivative of the net's reported total.

A float64 implementation is differenced: its own losses against its own gradients, no formula in between. A float32
one has too few digits for that and is held against the float64 gradient within its running error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.contract.dtypes import FLOAT, TypeClaim
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.judge.reference import build, run_steps
from conformance.judge.replay import replay
from conformance.judge.side import Side, sides_of
from conformance.judge.tolerance import rounding_of
from conformance.losses import LOSSES, Loss, Variant, variants
from conformance.requirements import CATALOGUE
from conformance.suite.differences import compare, derivative_verdicts, loss_of
from conformance.suite.fresh import asked
from conformance.suite.judged import judged, single
from refimpl.running_error import Approx

__all__ = ["checks", "differenced"]

FAMILY = "gradients"
WEIGHT = 2.5
BIAS_BATCH = 12
"""Samples of the nets whose bias is judged: as many as the bias judge needs, for a layer with one gradient a sample."""


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    for variant in variants(losses.values()):
        yield _check(variant)
    for loss in losses.values():
        yield _bias(loss.plain)


def _check(variant: Variant) -> Check:
    stem = variant.loss.stem
    check_id = f"{FAMILY}/{stem}/{variant.name}"
    requirement = f"{stem}.gradient"
    case = variant.case(check_id, weights=(WEIGHT,), seed=1)

    def run(session: Session) -> list[Verdict]:
        fresh = asked(case, session)
        if not TypeClaim.named(session.dtype).differenceable:
            return judged(session, check_id, [requirement], fresh)
        return differenced(session, check_id, stem, fresh, variant.learned)

    return Check(check_id, FAMILY, stem, (requirement,), run, differences=True, layer_types=(variant.loss.type,))


def _bias(variant: Variant) -> Check:
    """A batch large enough for the mean of its rounding errors to say something."""
    stem = variant.loss.stem
    check_id = f"{FAMILY}/{stem}/bias"
    case = variant.batch(BIAS_BATCH).case(check_id, weights=(WEIGHT,), seed=1)
    return single(check_id, stem, [f"{stem}.bias"], case, layer_types=(variant.loss.type,))


def differenced(session: Session, check: str, stem: str, case: Case, blobs: tuple[str, ...]) -> list[Verdict]:
    """Difference the implementation's reported total over some coordinates of each blob, against the gradients it
    reports."""
    requirement = f"{stem}.gradient"
    unsettled = Verdict(check, requirement, session.dtype, Status.FAILED, CATALOGUE[requirement].level)
    answer = session.run(case)
    if isinstance(answer, Refusal):
        return [replace(unsettled, reason=f"refused at {answer.stage}: {answer.message}")]
    reported = {name: answer.diff[name] for name in blobs if name in answer.diff}
    if not reported:
        return [replace(unsettled, status=Status.INCONCLUSIVE, reason="no gradient is reported")]
    values = {name: case.inputs[name] if name in case.inputs else case.params[name][0] for name in reported}
    for name, gradient in reported.items():
        if gradient.shape != values[name].shape:
            shapes = f"the gradient of {name} has shape {gradient.shape}, {name} has {values[name].shape}"
            return [replace(unsettled, reason=shapes)]
    formula, kinks, departs = _formula(case, blobs, session)

    def by_the_formula(name: str, index: tuple[int, ...]) -> bool:
        off = abs(float(reported[name][index]) - formula[name].value[index])
        return departs and bool(off <= formula[name].error[index])

    compared = compare(
        partial(loss_of, session, case),
        values,
        reported,
        {name: formula[name].error for name in reported},
        weight=WEIGHT,
        kinks=kinks,
        excused=by_the_formula,
    )
    return derivative_verdicts(check, stem, session.dtype, compared)


def _formula(case: Case, blobs: tuple[str, ...], session: Session) -> tuple[dict[str, Approx], dict[str, Array], bool]:
    """The reference's gradients with the running error of the implementation's own type, the kinks' distances, and
    whether the formula departs from the derivative."""
    side: Side = next(sides_of(case, "documented"))
    own = session.dtype if session.dtype in session.description.dtypes else FLOAT.name
    net, _ = replay(case, Outcome(session.dtype, 0.0), side.dialect(), rounding_of(own))
    plain = build(case)
    run_steps(plain, case)
    distances = {name: np.full(plain.blobs[name].shape, np.inf) for name in blobs}
    for node in plain.layers:
        for name, distance in zip(node.bottoms, node.layer.kinks(plain.bottoms_of(node)), strict=True):
            if name in distances and distance is not None:
                distances[name] = np.minimum(distances[name], distance)
    return {name: net.blobs[name].diff.copy() for name in blobs}, distances, bool(net.met.departed)
