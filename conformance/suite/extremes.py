"""Extremes: saturated and equal scores, floors of logarithms, kinks, subnormal numbers, NaN, infinities and overflow.

Where one entry is not finite the others still have to be right, and where scores are huge the loss has to be right to
its last digits. Left out are values on which Caffe's answer is an accident: of the order in which it multiplies two
numbers that may overflow, or of how it compares a NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.dtypes import FLOAT
from conformance.contract.outcome import Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Element, Status, Verdict
from conformance.judge.tolerance import large_count_bound
from conformance.losses import LOSSES, Loss
from conformance.losses.examples import Extreme, LargeCount
from conformance.losses.nets import layer, source
from conformance.losses.roles import Marks, Matrix, Probabilities, Scores, Targets, Weights
from conformance.requirements import CATALOGUE
from conformance.suite.judged import bundle

__all__ = ["LARGE_COUNT", "case_of", "checks", "of_many_digits"]

FAMILY = "extremes"


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    """One check for each loss, and one of its many terms."""
    for stem, loss in losses.items():
        cases = [(partial(case_of, loss, extreme), loss.named(extreme.facets)) for extreme in loss.extremes]
        cases.append((partial(of_many_digits, loss), loss.named(("forward", "backward"))))
        yield bundle(f"{FAMILY}/{stem}", stem, cases, layer_types=(loss.type,))
    yield from (_large_count(loss, loss.large_count) for loss in losses.values() if loss.large_count is not None)


def case_of(loss: Loss, extreme: Extreme, **fields: Any) -> Case:
    variant = loss.on(extreme.name, extreme.bottoms, extreme.options)
    values = dict(zip(variant.shapes, extreme.bottoms, strict=True))
    return variant.case(f"{FAMILY}/{loss.stem}/{extreme.name}", weights=(extreme.weight,), values=values, **fields)


_REAL = (Matrix, Probabilities, Scores, Targets, Weights)
"""What is any number, but for marks, which are compared with 0 and 1."""


def of_many_digits(loss: Loss) -> Case:
    """Numbers that float32 does not hold, in the place of all that are exact in it: in float64 nets a product of two
    has twice as many digits. Whoever reads a bottom as float32 there is told by nothing else."""
    variant = loss.plain
    text, inputs, params = "", {}, {}
    for name, values in variant.values(seed=1).items():
        role = next(bottom.role for bottom in loss.bottoms if bottom.name == name)
        if not isinstance(role, _REAL) or isinstance(role, Marks):
            text += source(name, variant.shapes[name])
            inputs[name] = values
            continue
        held = "" if name in variant.learned else "param { lr_mult: 0 } "
        text += source(f"{name}_in", variant.shapes[name])
        text += layer(name, "Scale", [f"{name}_in"], options=f"{held}scale_param {{ axis: 0 num_axes: 0 }}")
        inputs[f"{name}_in"], params[name] = values, (_SEVEN_TENTHS,)
    net = text + variant.layer(weights=(1.0,))
    return Case(f"{FAMILY}/{loss.stem}/many-digits", net, inputs, params=params, forms=loss.forms)


_SEVEN_TENTHS = FLOAT.rounded(np.array(0.7))
"""A scalar: it has all digits of a float32."""

LARGE_COUNT = 2**20
"""Terms: a running float32 sum of as many is visibly wrong, and the answer still fits into one message."""


def _large_count(loss: Loss, terms: Callable[[int], LargeCount]) -> Check:
    """A loss of a million terms, all but one of them equal, whose exact sum is a closed form."""
    requirement, name = f"{loss.stem}.large-count-accuracy", "large-count"

    def run(session: Session) -> Iterator[Verdict]:
        count = terms(LARGE_COUNT)
        case, exact = case_of(loss, Extreme(name, (), count.bottoms, weight=1.0), steps=("forward",)), count.exact
        level = CATALOGUE[requirement].level
        if case.rounded(session.dtype).digest() != case.digest():
            reason = "nothing is owed here: the sum is known of numbers that these types do not hold"
            yield Verdict(case.id, requirement, session.dtype, Status.NOT_APPLICABLE, level, reason=reason)
            return
        answer = session.run(case)
        if isinstance(answer, Refusal):
            reason = f"refused at {answer.stage}: {answer.message}"
            yield Verdict(case.id, requirement, session.dtype, Status.FAILED, level, reason=reason)
            return
        bound, error = large_count_bound(LARGE_COUNT, session.dtype) * exact, abs(answer.loss - exact)
        reason = "" if error <= bound else f"net loss: got {answer.loss:.9g}, want {exact:.9g} within {bound:.2g}"
        element = Element("total", (), answer.loss, exact, bound) if reason else None
        room = np.nan_to_num(bound / error) if error else np.inf
        status = Status.FAILED if reason else Status.PASSED
        yield Verdict(case.id, requirement, session.dtype, status, level, None, room, reason, element=element)

    return Check(
        f"{FAMILY}/{loss.stem}/{name}",
        FAMILY,
        loss.stem,
        (requirement,),
        run,
        dtypes=(FLOAT.name,),
        core=False,
        layer_types=(loss.type,),
    )
