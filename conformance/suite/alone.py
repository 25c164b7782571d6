"""Alone: what a pass gives after others is what it gives as the only one.

It holds where the passes touch no quirk and the last one clears the parameters' diffs, of the arrays that the last one
writes: within both bounds, and bit for bit where an implementation says that it is bitwise the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.contract.implementation import DoesNotStart, ImplementationError
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.judge.reference import build
from conformance.judge.replay import diffs_written, learnt_by
from conformance.judge.side import touched_by
from conformance.losses import Loss
from conformance.requirements import CATALOGUE
from conformance.suite.agreement import allowed_by, arrays_of, differing
from conformance.suite.fresh import asked
from conformance.suite.judged import failed_to_answer

__all__ = ["after_another", "alone"]

REQUIREMENT = "properties.batch-alone"


def after_another(check_id: str, loss: Loss, cases: Sequence[Case]) -> Check:
    """A check that runs each case, and its last pass alone; a case's id is the id of its verdict."""

    def run(session: Session) -> Iterator[Verdict]:
        for case in cases:
            try:
                yield _verdict(session, asked(case, session))
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
    return replace(
        case,
        inputs=inputs,
        params=params,
        prefill_diff=last.prefill_diff,
        top_diff=last.top_diff,
        steps=last.steps,
        passes=(),
        each_pass=False,
    )


def _verdict(session: Session, case: Case) -> Verdict:
    status, reason = _found(session, case)
    return Verdict(case.id, REQUIREMENT, session.dtype, status, CATALOGUE[REQUIREMENT].level, reason=reason)


def _found(session: Session, case: Case) -> tuple[Status, str]:
    only = alone(case)
    answers = [session.run(each) for each in (case, only)]
    if refusal := next((answer for answer in answers if isinstance(answer, Refusal)), None):
        return Status.FAILED, f"a plain net was refused: {refusal.message}"
    if touched_by(case.rounded(session.dtype)):
        return Status.NOT_APPLICABLE, "a quirk is touched"
    written = _written(case)
    got, want = (
        {name: array for name, array in arrays_of(answer).items() if name in written}
        for answer in answers
        if isinstance(answer, Outcome)
    )
    if not any(name.startswith("diff of ") for name in got.keys() & want.keys()):
        return Status.INCONCLUSIVE, "no gradient is reported"
    bitwise = session.description.determinism == "bitwise"
    allowed = None if bitwise else allowed_by(session, (case, 1.0), (only, 1.0))
    fault = next(differing(got, want, allowed), None)
    if fault is None:
        return Status.PASSED, ""
    return Status.FAILED, f"after another batch beside alone, {fault.reason}"


def _written(case: Case) -> set[str]:
    """What the last pass writes, by the names of `arrays_of`."""
    net = build(case)
    written = {"net loss", *(f"data of {name}" for name in net.blobs)}
    learnt = [diff for node in net.layers for diff in learnt_by(node)]
    for node in net.layers:
        written |= {f"diff of {name}" for name in diffs_written(node)}
        for i, blob in enumerate(net.params.get(node.name, ())):
            if any(np.may_share_memory(blob.diff, diff) for diff in learnt):
                written.add(f"gradient {node.name}[{i}]")
    return written
