"""Alone: what a pass gives after others is what it gives as the only one.

It holds where the passes touch no quirk and the last one clears the parameters' diffs, of the arrays that the last one
writes: within both bounds, and bit for bit where an implementation says that it is bitwise the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.contract.implementation import DoesNotStart, ImplementationError
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.judge.bounded import measure
from conformance.judge.replay import diffs_written, learnt_by, replay
from conformance.judge.side import touched_by
from conformance.judge.tolerance import rounding_of
from conformance.losses import Loss
from conformance.requirements import CATALOGUE
from conformance.suite.judged import failed_to_answer
from refimpl.dialect import Dialect
from refimpl.running_error import Approx

__all__ = ["after_another", "alone"]

REQUIREMENT = "properties.batch-alone"


def after_another(check_id: str, loss: Loss, cases: Sequence[Case]) -> Check:
    """A check that runs each case, and its last pass alone; a case's id is the id of its verdict."""

    def run(session: Session) -> Iterator[Verdict]:
        for case in cases:
            try:
                yield _verdict(session, case)
            except DoesNotStart:
                raise
            except ImplementationError as error:
                yield from failed_to_answer(case.id, [REQUIREMENT], session.dtype, error)

    return Check(check_id, check_id.partition("/")[0], loss.stem, (REQUIREMENT,), run, layer_types=(loss.type,))


def alone(case: Case) -> Case:
    """The last pass of a case as its only one, on what the passes before gave and it does not give anew."""
    inputs: dict[str, Array] = {}
    params: dict[str, tuple[Array, ...]] = {}
    for one in case.sequence:
        inputs.update(one.inputs)
        params.update(one.params)
    last = case.sequence[-1]
    kept = {"prefill_diff": last.prefill_diff, "top_diff": last.top_diff, "steps": last.steps}
    return replace(case, inputs=inputs, params=params, passes=(), each_pass=False, **kept)


def _verdict(session: Session, case: Case) -> Verdict:
    level, dtype = CATALOGUE[REQUIREMENT].level, session.dtype
    answers = [session.run(each) for each in (case, alone(case))]
    if refusal := next((answer for answer in answers if isinstance(answer, Refusal)), None):
        reason = f"a plain net was refused: {refusal.message}"
        return Verdict(case.id, REQUIREMENT, dtype, Status.FAILED, level, reason=reason)
    after, only = (answer for answer in answers if isinstance(answer, Outcome))
    if touched_by(case.rounded(dtype)):
        return Verdict(case.id, REQUIREMENT, dtype, Status.NOT_APPLICABLE, level, reason="a quirk is touched")
    room = np.inf
    bounds = _bounds(case, dtype)
    told = [name for name in bounds if name in _told(after) and name in _told(only)]
    if not any(name.startswith("diff/") for name in told):
        return Verdict(case.id, REQUIREMENT, dtype, Status.INCONCLUSIVE, level, reason="no gradient is reported")
    exactly = session.description.determinism == "bitwise"
    for name in told:
        bound = bounds[name]
        got, want = _told(after)[name], np.asarray(_told(only)[name], np.float64)
        allowed = np.zeros_like(bound) if exactly else bound
        if got.size != want.size:
            reason = f"{name} has shape {got.shape} after another batch, and {want.shape} alone"
            return Verdict(case.id, REQUIREMENT, dtype, Status.FAILED, level, reason=reason)
        measured = measure(got, [Approx(want, allowed.reshape(want.shape), rounding_of(dtype))], dtype)
        if not measured.accepted:
            reason = (
                f"{name}{list(measured.index)}: {measured.got:.9g} after another batch, {measured.want:.9g} alone, "
                f"within {measured.bound:.2g}"
            )
            return Verdict(case.id, REQUIREMENT, dtype, Status.FAILED, level, reason=reason)
        room = min(room, measured.headroom)
    return Verdict(case.id, REQUIREMENT, dtype, Status.PASSED, level, headroom=room)


def _told(outcome: Outcome) -> Mapping[str, Array]:
    """Everything an outcome holds, by its place there."""
    told = {"loss": np.asarray(outcome.loss)}
    told.update({f"data/{name}": array for name, array in outcome.data.items()})
    told.update({f"diff/{name}": array for name, array in outcome.diff.items()})
    told.update({f"param_diff/{n}[{i}]": a for n, some in outcome.param_diff.items() for i, a in enumerate(some)})
    return told


def _bounds(case: Case, dtype: str) -> dict[str, Array]:
    """The sum of both runs' bounds for everything that the last pass writes."""
    summed: dict[str, Array] = {}
    for each in (case, alone(case)):
        net, comparisons = replay(
            each.rounded(dtype), Outcome(dtype, 0.0), Dialect.named("documented"), rounding_of(dtype)
        )
        bounds = {"loss": next(c for c in comparisons if c.blob == "total").want.error}
        bounds.update({f"data/{name}": blob.data.error for name, blob in net.blobs.items()})
        for node in net.layers:
            bounds.update({f"diff/{name}": net.blobs[name].diff.error for name in diffs_written(node)})
            learnt = list(learnt_by(node))
            for i, blob in enumerate(net.params.get(node.name, ())):
                if any(np.may_share_memory(blob.diff.value, diff.value) for diff in learnt):
                    bounds[f"param_diff/{node.name}[{i}]"] = blob.diff.error
        summed = {name: summed.get(name, 0.0) + error for name, error in bounds.items()}
    return summed
