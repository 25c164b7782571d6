"""Sums: every loss over tens of thousands of terms in a narrow type, nearer to the exact sum than the worst case.

A plain evaluation's bound grows with the count of terms, which no sum of unlike terms comes near: their rounding errors
have both signs. A loss that lacks the last terms, or is a tenth of a percent too small, is within the one bound and far
beyond the other. So is one that is divided by one too many of some thousands, under any normalization: its product with
what counts is then not the sum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.dtypes import FLOAT
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Element, Status, Verdict
from conformance.judge.bounded import Measurement, measure
from conformance.judge.replay import replay
from conformance.judge.side import sides_of
from conformance.judge.tolerance import rounding_of
from conformance.losses import Loss
from conformance.losses.options import Options
from conformance.losses.roles import Probabilities, Scores, Shape, Targets
from conformance.requirements import CATALOGUE
from conformance.suite.fresh import asked

__all__ = ["COUNTED", "SHAPE", "sum_checks"]

SHAPE = (65789, 2)
"""The first bottom's shape: odd counts, 253 items beyond the last whole block of 256, 1,024 or 65,536."""

COUNTED = (4099, 2)
"""The first bottom's shape where the count matters: one of so many is several times what a sum may be off by."""

_SEED = 21
_IGNORED = 255
_SOME = 5


def sum_checks(loss: Loss) -> Iterator[Check]:
    """The loss alone, forward, on numbers whose significands are full, so that no two terms are alike; where it ignores
    labels, once more with so many ignored that what counts is a multiple of 65,536, in 16 bits 0, and under every other
    normalization that counts. Over fewer terms, every normalization, with some ignored."""
    yield _check(loss, "sum", {})
    ignoring: Options = {"loss_param.ignore_label": _IGNORED} if loss.ignores else {}
    if loss.ignores and loss.default_mode:
        yield _check(loss, "sum-ignoring", {**ignoring, "loss_param.normalization": "VALID"})
    modes = loss.options.get("loss_param.normalization", ())
    for mode in modes:  # what is counted is in 16 bits 253, or 506
        if mode in ("FULL", "BATCH_SIZE") and mode != loss.default_mode:
            name = f"sum-{str(mode).lower().replace('_', '-')}"
            yield _check(loss, name, {**ignoring, "loss_param.normalization": mode}, SHAPE, _SOME)
    for mode in modes:
        name = f"count-{str(mode).lower().replace('_', '-')}"
        options: Options = {**ignoring, "loss_param.normalization": mode}
        yield _check(loss, name, options, COUNTED, _SOME)
    if not loss.default_mode:
        yield _check(loss, "count", {}, COUNTED)


def _check(loss: Loss, name: str, options: Options, shape: Shape = SHAPE, ignored: int = 0) -> Check:
    requirement, case_id = f"{loss.stem}.sum-accuracy", f"sizes/{loss.stem}/{name}"

    def run(session: Session) -> Iterator[Verdict]:
        case = asked(_case(loss, case_id, options, shape, ignored), session)
        answer, level = session.run(case), CATALOGUE[requirement].level
        if isinstance(answer, Refusal):
            reason = f"refused at {answer.stage}: {answer.message}"
            yield Verdict(case_id, requirement, session.dtype, Status.FAILED, level, reason=reason)
            return
        told = min(_measured(case, answer, session.dtype), key=lambda one: one.headroom)
        place = (told.got, told.want, told.bound)
        reason = "" if told.accepted else "net loss: got {:.9g}, want {:.9g} within {:.2g}".format(*place)
        element = None if told.accepted else Element("total", (), *place)
        status = Status.PASSED if told.accepted else Status.FAILED
        yield Verdict(case_id, requirement, session.dtype, status, level, None, told.headroom, reason, element=element)

    about = {"dtypes": (FLOAT.name,), "core": False, "layer_types": (loss.type,)}
    return Check(case_id, "sizes", loss.stem, (requirement,), run, **about)  # type: ignore[arg-type]


def _case(loss: Loss, case_id: str, options: Options, shape: Shape, ignored: int) -> Case:
    variant, rng = loss.sized(shape).given(options), np.random.default_rng(_SEED)
    values = variant.values(seed=_SEED)
    for bottom in loss.bottoms:
        if bottom.name in values and isinstance(bottom.role, (Scores, Probabilities, Targets)):
            array = values[bottom.name]
            values[bottom.name] = FLOAT.rounded(array * rng.uniform(0.75, 1.0, array.shape))
    if "loss_param.ignore_label" in options:
        answers = values[loss.answer.name].ravel()
        answers[np.linspace(0, answers.size - 1, ignored or answers.size % (1 << 16)).astype(int)] = _IGNORED
    return variant.case(case_id, weights=(1.0,), values=values, steps=("forward",))


def _measured(case: Case, answer: Outcome, dtype: str) -> list[Measurement]:
    """The loss's top and the net's loss; what a sum adds to their bounds grows like the root of its count."""
    case = case.rounded(dtype)
    dialect = next(sides_of(case, "documented")).dialect()
    _, comparisons = replay(case, answer, dialect, rounding_of(dtype, sharp=True, walking=True))
    scalars = (one for one in comparisons if one.aspect in ("forward", "total") and one.got.size == one.want.size == 1)
    return [measure(one.got, [one.want], dtype) for one in scalars]
