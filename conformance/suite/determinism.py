"""Determinism: the same case gives the same bits, run after run and for any number of threads; the same within both
runs' bounds where none is claimed.

Each layer has a small case, run again after another one, and a large one, where threads and blocks come into play.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.contract.dtypes import FLOAT
from conformance.contract.implementation import DETERMINISM, Threaded
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.losses import LOSSES, Loss, Variant
from conformance.requirements import CATALOGUE
from conformance.suite.agreement import allowed_by, arrays_of, differing
from conformance.suite.fresh import asked

__all__ = ["checks"]

FAMILY = "determinism"
WEIGHT = 2.5
LARGE = (2048, 64)
THREADS = (1, 2, 3, 8)
AGAIN = "determinism.run-to-run"
ANY_THREADS = "determinism.threads"
DECLARED = "determinism.declared"


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    for loss in losses.values():
        yield _small(loss.plain)
        yield _large(loss.plain)


def _small(variant: Variant) -> Check:
    check_id = f"{FAMILY}/{variant.loss.stem}"
    case, between = (variant.case(check_id, weights=(WEIGHT,), seed=seed) for seed in (8, 9))

    def run(session: Session) -> Iterator[Verdict]:
        fresh, other = (asked(each, session) for each in (case, between))
        yield _verdict(session, check_id, AGAIN, _again(session, fresh, other))

    return Check(check_id, FAMILY, variant.loss.stem, (AGAIN,), run, layer_types=(variant.loss.type,))


def _large(variant: Variant) -> Check:
    check_id = f"{FAMILY}/{variant.loss.stem}-large"

    def run(session: Session) -> Iterator[Verdict]:
        case = asked(_enlarged(variant).case(check_id, weights=(WEIGHT,), seed=8), session)
        again = _again(session, case)
        yield _verdict(session, check_id, AGAIN, again)
        told = isinstance(session.implementation, Threaded)
        threads = _with_threads(session, case) if told else None
        told_nothing = ("it cannot be told how many threads to use", Status.NOT_APPLICABLE)
        yield _verdict(session, check_id, ANY_THREADS, *((threads,) if told else told_nothing))
        yield _declared(session, check_id, again, threads, told)

    return Check(
        check_id,
        FAMILY,
        variant.loss.stem,
        (AGAIN, ANY_THREADS, DECLARED),
        run,
        dtypes=(FLOAT.name,),
        core=False,
        layer_types=(variant.loss.type,),
    )


def _enlarged(variant: Variant) -> Variant:
    """A batch and a number of classes that keep more than one thread busy; labels stay below the classes there were."""
    loss = variant.loss
    return variant.shaped(LARGE).given(loss.completed(LARGE, {}))


def _declared(session: Session, check_id: str, again: str | None, threads: str | None, told: bool) -> Verdict:
    """What the implementation promises, held against what was seen."""
    promise = session.description.determinism
    if promise is None or promise == "none":
        return _verdict(session, check_id, DECLARED, "it promises nothing", Status.NOT_APPLICABLE)
    if promise not in DETERMINISM:
        known = ", ".join(DETERMINISM)
        return _verdict(
            session,
            check_id,
            DECLARED,
            f"what {promise!r} promises is not known; use one of {known}",
            Status.INCONCLUSIVE,
        )
    broken = again or (threads if promise == "bitwise" else None)
    if broken is None and promise == "bitwise" and not told:
        reason = "it cannot be told how many threads to use, so a part of its promise was not tried"
        return _verdict(session, check_id, DECLARED, reason, Status.INCONCLUSIVE)
    return _verdict(session, check_id, DECLARED, f"it promises {promise}: {broken}" if broken else None)


def _again(session: Session, case: Case, between: Case | None = None) -> str | None:
    """What differs when the case is run again, at once and, for a small one, after another case."""
    allowed, first = _allowed(session, case), session.run(case)
    difference = _difference(first, session.run(case), "run again", allowed)
    if difference or between is None:
        return difference
    session.run(between)
    return _difference(first, session.run(case), "run after another case", allowed)


def _allowed(session: Session, case: Case) -> Mapping[str, Array] | None:
    """How far two runs may differ where no determinism is claimed; None: by no bit."""
    return allowed_by(session, (case, 2.0)) if session.description.determinism == "none" else None


def _with_threads(session: Session, case: Case) -> str | None:
    """What differs between runs with several numbers of threads."""
    implementation = session.implementation
    assert isinstance(implementation, Threaded)
    try:
        answers = []
        for count in THREADS:
            implementation.use_threads(count)
            answers.append(session.run(case))
    finally:
        implementation.use_threads(None)
    allowed = _allowed(session, case)
    pairs = zip(THREADS[1:], answers[1:], strict=True)
    return next(
        (said for count, other in pairs if (said := _difference(answers[0], other, f"with {count} threads", allowed))),
        None,
    )


def _difference(
    first: Outcome | Refusal, second: Outcome | Refusal, when: str, allowed: Mapping[str, Array] | None
) -> str | None:
    for answer in (first, second):
        if isinstance(answer, Refusal):
            return f"a plain net is refused at {answer.stage}: {answer.message}"
    assert isinstance(first, Outcome) and isinstance(second, Outcome)
    mine, theirs = arrays_of(first), arrays_of(second)
    if mine.keys() != theirs.keys():
        return f"other blobs are reported {when}"
    if allowed is not None:
        fault = next(differing(mine, theirs, allowed), None)
        return None if fault is None else f"{when}: {fault.reason}"
    for name, array in mine.items():
        bits = [np.ascontiguousarray(a).view(np.uint8).reshape(-1, a.itemsize) for a in (array, theirs[name])]
        if bits[0].shape != bits[1].shape:
            return f"{name} has another shape {when}"
        changed = np.flatnonzero((bits[0] != bits[1]).any(axis=1))
        if changed.size:
            at = changed[0]
            was, now = (f"{a.ravel()[at]:.17g}" for a in (array, theirs[name]))
            return f"{name}: {changed.size} of {array.size} element(s) differ {when}, the first is {now} after {was}"
    return None


def _verdict(
    session: Session, check_id: str, requirement: str, reason: str | None, status: Status = Status.FAILED
) -> Verdict:
    """Passed where there is no ``reason``."""
    level = CATALOGUE[requirement].level
    chosen = Status.PASSED if reason is None else status
    return Verdict(check_id, requirement, session.dtype, chosen, level, reason=reason or "")
