"""Golden cases: what an oracle computed, BVLC Caffe itself or mpmath, on the nets under ``fixtures``.

Nets that real forks were recorded on are a check for each loss: any form of its type is right, one for all answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from math import prod
from typing import Any

from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.outcome import Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Verdict
from conformance.fixtures import Fixture, case_ids, load
from conformance.fixtures.forks import Recording, recordings
from conformance.losses import KNOWN, LOSSES, Loss, profile_of
from conformance.suite.fresh import asked
from conformance.suite.judged import bundle, judged_answer

__all__ = ["checks"]

FAMILY = "golden"
CORE = 64
"""The most entries a blob of a core case has, hence the most terms of any of its sums."""

_PLUMBING = {"Input", "Parameter", "DummyData", "Split", "Silence"}


def checks(losses: Mapping[str, Loss] = LOSSES, only: Collection[str] = ()) -> Iterator[Check]:
    """One check per golden case, under the case's id; of those of BVLC Caffe's losses all, or ``only`` some."""
    profile = next(iter(losses.values())).profile
    for case_id in case_ids():
        if profile_of(case_id.partition("/")[0]) != profile or (only and case_id not in only):
            continue
        fixture = load(case_id)
        answers = fixture.document["expected"].values()
        yield Check(
            id=fixture.id,
            family=FAMILY,
            layer=_stem(fixture.requirements),
            requirements=fixture.requirements,
            run=partial(_judged, fixture),
            core=all(size <= CORE for answer in answers for size in _sizes(answer)),
            needs_net=any("error" in answer for answer in answers),
            layer_types=_types(fixture),
        )
    for stem, loss in losses.items():
        recorded = [(partial(_case, loss, one), _served(stem, one)) for one in recordings(stem)]
        if recorded:
            yield bundle(f"{FAMILY}/{stem}", stem, recorded, layer_types=(loss.type,))


def _case(loss: Loss, recording: Recording) -> Case:
    """In any form of the loss, first of all in the recorded one."""
    named = (recording.form,) if recording.form else ()
    return recording.case(f"{FAMILY}/{recording.stem}/{recording.id}", tuple(dict.fromkeys((*named, *loss.forms))))


def _served(stem: str, recording: Recording) -> tuple[str, ...]:
    answer = recording.answer
    if isinstance(answer, Refusal):
        return (f"refusal.{'setup' if answer.stage == 'construct' else answer.stage}",)
    return (f"{stem}.forward", f"{stem}.backward", "net.total-loss")


def _judged(fixture: Fixture, session: Session) -> list[Verdict]:
    return judged_answer(session, fixture.id, fixture.requirements, session.run(asked(fixture.case, session)))


def _stem(requirements: tuple[str, ...]) -> str:
    """The loss layer that the requirements are about, or "net"."""
    stems = {requirement.partition(".")[0] for requirement in requirements} & KNOWN.keys()
    return stems.pop() if len(stems) == 1 else "net"


def _sizes(answer: dict[str, Any]) -> Iterator[int]:
    return (prod(array["shape"]) for array in answer.get("data", {}).values())


def _types(fixture: Fixture) -> tuple[str, ...]:
    """The types of the layers that compute, as far as the oracle's answer lists layers."""
    answer = next(iter(fixture.document["expected"].values()))
    types = {record["type"] for record in answer.get("layers", ())} - _PLUMBING
    return tuple(sorted(types))
