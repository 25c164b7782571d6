"""Properties: relations that need no formula, and the reference beside generated cases.

Cases are drawn by hypothesis: the same ones every time in a gate, others and more of them under ``--explore``. A
failure is shrunk to the smallest case and kept with its verdict, ready to be saved as a fixture.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import seed as drawn_from
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.contract.outcome import Outcome
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.judge.bounds import bounds_of
from conformance.losses import LOSSES, Loss, Variant
from conformance.requirements import CATALOGUE
from conformance.suite.fresh import renewed_values
from conformance.suite.generated import loss_cases, net_cases
from conformance.suite.judged import judged

__all__ = ["EXAMPLES", "checks"]

FAMILY = "properties"
EXAMPLES = 12
"""Generated cases per check in a gate; ``--explore`` multiplies it."""

_TOGETHER = 20
"""Times as many as in a gate that are drawn in one search; it remembers all that it has drawn."""


def checks(losses: Mapping[str, Loss] = LOSSES, seed: int = 0, explore: int = 1) -> Iterator[Check]:
    """``explore`` times as many generated cases as in a gate, drawn from ``seed``; 0: the gate's."""
    for stem, loss in losses.items():
        yield _differential(stem, loss_cases(loss), seed, explore, layer_types=(loss.type,))
    if losses is LOSSES:
        yield _differential("net", net_cases(), seed, explore, needs_net=True)
    for relation in _RELATIONS:
        for loss in losses.values():
            if relation.trait in ("", *loss.traits):
                yield from (relation.check(variant) for variant in loss.variants[:2])


def _differential(subject: str, cases: st.SearchStrategy[Case], seed: int, explore: int, **about: Any) -> Check:
    """Generated cases, judged like any other; the smallest one that fails speaks for all."""
    check_id = f"{FAMILY}/{subject}/differential"
    requirement = "properties.differential"

    def run(session: Session) -> list[Verdict]:
        failure: list[tuple[Case, Verdict]] = []
        passed = _Passed()
        drawn = seed or session.fresh

        def one(case: Case) -> None:
            before = len(session.runs)
            verdicts = judged(session, check_id, [requirement], case)
            broken = [v for v in verdicts if v.status.breaks and v.level is not Level.SHOULD]
            if broken:
                failure[:] = [(case, broken[0])]
                raise _Broken
            if any(v.status is Status.INCONCLUSIVE for v in verdicts) and not bounds_of(case, session.dtype).finite:
                reject()  # nobody's answer could be judged: another is drawn
            passed.take(verdicts)
            session.let_go(before)

        try:
            for done in range(0, explore, _TOGETHER):
                _drawn(one, cases, EXAMPLES * min(explore - done, _TOGETHER), drawn + done)
        except (_Broken, Flaky):  # flaky: wrong once and right when asked again
            case, verdict = failure[0]
            return _smallest(check_id, requirement, verdict, {"case": json.dumps(case.to_json())})
        return [passed.verdict(check_id, requirement, session.dtype)]

    return Check(check_id, FAMILY, subject, (requirement,), run, **about)


def _drawn(one: Callable[[Case], None], cases: st.SearchStrategy[Case], count: int, seed: int) -> None:
    """So many cases, one after the other; with the seed 0 the same ones every time."""
    search = settings(
        max_examples=count,
        derandomize=seed == 0,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(given(cases)(one))
    (drawn_from(seed)(search) if seed else search)()


def _smallest(check: str, requirement: str, verdict: Verdict, detail: dict[str, str]) -> list[Verdict]:
    """The smallest case's failure; a lost weight counts as one, and leaves the rest of the comparison open."""
    level = CATALOGUE[requirement].level
    if verdict.requirement.endswith(".loss-weight"):
        reason = f"generated cases fail, see {verdict.requirement}"
        rest = Verdict(check, requirement, verdict.dtype, Status.INCONCLUSIVE, level, reason=reason)
        return [replace(verdict, check=check, detail=detail), rest]
    return [replace(verdict, check=check, requirement=requirement, level=level, detail=detail)]


class _Broken(Exception):
    """A generated case that the implementation gets wrong."""


@dataclass
class _Passed:
    """What came of the generated cases that do not fail, however many there are."""

    count: int = 0
    others: int = 0
    headroom: float | None = None
    first: Verdict | None = None
    undecided: Verdict | None = None

    def take(self, verdicts: Sequence[Verdict]) -> None:
        """The verdicts on one more case."""
        for verdict in verdicts:
            self.first = self.first or verdict
            if verdict.status is not Status.PASSED:
                self.others += 1
                if verdict.status is Status.INCONCLUSIVE and verdict.level is not Level.SHOULD:
                    self.undecided = self.undecided or verdict
                continue
            self.count += 1
            if verdict.headroom is not None:
                self.headroom = min(verdict.headroom, self.headroom or verdict.headroom)

    def verdict(self, check: str, requirement: str, dtype: str) -> Verdict:
        """One verdict for all: passed with the smallest headroom, or what kept one of them from being judged, or
        all."""
        level = CATALOGUE[requirement].level
        open_one = self.undecided or (None if self.count else self.first)
        if open_one is not None:
            return replace(open_one, check=check, requirement=requirement, level=level)
        reason = f"{self.count} generated case(s)" + (f", {self.others} not judged" if self.others else "")
        return Verdict(check, requirement, dtype, Status.PASSED, level, headroom=self.headroom, reason=reason)


Runs = Callable[[Variant, str, int], list[Case]]
"""Cases of a variant, under an id, with values from a seed of fresh ones."""

Prediction = tuple[float, dict[str, Array]]
Predict = Callable[[Sequence[Outcome], Variant], Prediction]


@dataclass(frozen=True)
class Relation:
    """Runs of one net on related inputs or weights: what the first must give follows from what the others gave.

    It holds for losses with ``trait``, for all where that is empty; with ``exact``, of numbers that their type holds.
    """

    name: str
    trait: str
    runs: Runs
    predict: Predict
    exact: bool = False

    def check(self, variant: Variant) -> Check:
        check_id = f"{FAMILY}/{variant.loss.stem}/{variant.name}-{self.name}"
        requirement = f"{FAMILY}.{self.name}"

        def run(session: Session) -> list[Verdict]:
            return [self._judge(session, check_id, requirement, variant)]

        return Check(check_id, FAMILY, variant.loss.stem, (requirement,), run, layer_types=(variant.loss.type,))

    def _judge(self, session: Session, check_id: str, requirement: str, variant: Variant) -> Verdict:
        level = CATALOGUE[requirement].level
        cases = self.runs(variant, check_id, session.fresh)
        if self.exact and any(case.rounded(session.dtype).digest() != case.digest() for case in cases):
            cases = [_coarse(case, variant.first) for case in cases]
        answers = [session.run(case) for case in cases]
        outcomes = [answer for answer in answers if isinstance(answer, Outcome)]
        if len(outcomes) < len(answers):
            return Verdict(check_id, requirement, session.dtype, Status.FAILED, level, reason="a plain net was refused")
        if any(name not in outcome.diff for outcome in outcomes for name in variant.learned):
            return Verdict(
                check_id, requirement, session.dtype, Status.INCONCLUSIVE, level, reason="no gradient is reported"
            )
        loss, gradients = self.predict(outcomes[1:], variant)
        wanted = {"net loss": np.array(loss), **gradients}
        got = {
            "net loss": np.array(outcomes[0].loss),
            **{name: _wide(outcomes[0].diff[name]) for name in variant.learned},
        }
        bounds = [bounds_of(case, session.dtype) for case in cases]
        room = np.inf
        for name, want in wanted.items():
            errors = (each.loss if name == "net loss" else each.diff[name] for each in bounds)
            allowed = sum(float(np.max(error, initial=0.0)) for error in errors)
            off = float(np.max(np.abs(got[name] - want), initial=0.0))
            if not off <= allowed:
                what = name if name == "net loss" else f"gradient of {name}"
                reason = f"{what} is off by {off:.3g} from what {self.name} asks for, within {allowed:.2g}"
                return Verdict(check_id, requirement, session.dtype, Status.FAILED, level, reason=reason)
            room = min(room, allowed / off if off else np.inf)
        return Verdict(check_id, requirement, session.dtype, Status.PASSED, level, headroom=room)


def _coarse(case: Case, name: str) -> Case:
    """The case with the numbers of one blob on a grid of 1/16, which every type holds within 16; what was that far
    apart still is."""

    def on_grid(array: Array) -> Array:
        return np.asarray(np.rint(array * 16) / 16)

    inputs = {each: on_grid(array) if each == name else array for each, array in case.inputs.items()}
    params = {each: tuple(map(on_grid, some)) if each == name else some for each, some in case.params.items()}
    return replace(case, inputs=inputs, params=params)


def _wide(array: Array) -> Array:
    return np.asarray(array, dtype=np.float64)


def _on(change: Callable[[Variant, dict[str, Array]], dict[str, Array]]) -> Runs:
    """The plain inputs, and the changed ones to predict them from."""

    def runs(variant: Variant, case_id: str, fresh: int) -> list[Case]:
        values = renewed_values(variant, variant.values(seed=3), fresh)
        return [variant.case(case_id, weights=(2.5,), values=v) for v in (values, change(variant, values))]

    return runs


def _each_batch(variant: Variant, values: dict[str, Array], change: Callable[[Array], Array]) -> dict[str, Array]:
    return {name: change(array) if name in variant.by_item else array for name, array in values.items()}


def _halves(variant: Variant, case_id: str, fresh: int) -> list[Case]:
    """The batch, and its two halves (as nets of their own: the halves' shapes are fed, not declared)."""
    values = renewed_values(variant, variant.values(seed=3), fresh)
    half = len(values[variant.first]) // 2
    parts = [values, _each_batch(variant, values, lambda a: a[:half]), _each_batch(variant, values, lambda a: a[half:])]
    return [_declared(variant, case_id, part) for part in parts]


def _declared(variant: Variant, case_id: str, values: dict[str, Array]) -> Case:
    shapes = {name: array.shape for name, array in values.items()}
    return variant.reshaped(shapes).case(case_id, weights=(2.5,), values=values)


def _weighted_by_batch(outcomes: Sequence[Outcome], variant: Variant) -> Prediction:
    """A mean over the batch is the mean of its parts' means, weighted by their sizes."""
    sizes = [len(outcome.diff[variant.learned[0]]) for outcome in outcomes]
    shares = [size / sum(sizes) for size in sizes]
    loss = sum(share * outcome.loss for share, outcome in zip(shares, outcomes, strict=True))
    return loss, {
        name: np.concatenate(
            [share * _wide(outcome.diff[name]) for share, outcome in zip(shares, outcomes, strict=True)]
        )
        for name in variant.learned
    }


def _by_weight(variant: Variant, case_id: str, fresh: int) -> list[Case]:
    values = renewed_values(variant, variant.values(seed=3), fresh)
    return [variant.case(case_id, weights=(weight,), values=values) for weight in (2.5, 3.25, -0.75)]


def _added(outcomes: Sequence[Outcome], variant: Variant) -> Prediction:
    return sum(o.loss for o in outcomes), {
        name: np.sum([_wide(outcome.diff[name]) for outcome in outcomes], axis=0) for name in variant.learned
    }


def _reversed(outcomes: Sequence[Outcome], variant: Variant) -> Prediction:
    return outcomes[0].loss, {name: _wide(outcomes[0].diff[name])[::-1] for name in variant.learned}


def _equal(outcomes: Sequence[Outcome], variant: Variant) -> Prediction:
    return outcomes[0].loss, {name: _wide(outcomes[0].diff[name]) for name in variant.learned}


def _upside_down(variant: Variant, values: dict[str, Array]) -> dict[str, Array]:
    return _each_batch(variant, values, lambda array: array[::-1].copy())


def _shifted(variant: Variant, values: dict[str, Array]) -> dict[str, Array]:
    return {**values, variant.first: values[variant.first] + 1.5}


_RELATIONS = (
    Relation("permutation", "batch-mean", _on(_upside_down), _reversed),
    Relation("shift-invariance", "shift-invariant", _on(_shifted), _equal, exact=True),
    Relation("batch-split", "batch-mean", _halves, _weighted_by_batch),
    Relation("weight-additivity", "", _by_weight, _added),
)
