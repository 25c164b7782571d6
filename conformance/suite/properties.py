"""Properties: relations that need no formula, and the reference beside generated cases.

Cases are drawn by hypothesis: the same ones every time in a gate, others and more of them under ``--explore``. A
failure is shrunk to the smallest case and kept with its verdict, ready to be saved as a fixture.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as drawn_from
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.contract.outcome import Outcome
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.judge.replay import replay
from conformance.judge.side import sides_of
from conformance.judge.tolerance import rounding_of
from conformance.losses.recipes import Recipe, recipes_of
from conformance.requirements import CATALOGUE
from conformance.suite.generated import loss_cases, net_cases
from conformance.suite.judged import guarded, judged

__all__ = ["EXAMPLES", "checks"]

FAMILY = "properties"
EXAMPLES = 12
"""Generated cases per check in a gate; ``--explore`` multiplies it."""


def checks(seed: int = 0, explore: int = 1) -> Iterator[Check]:
    """``explore`` times as many generated cases as in a gate, drawn from ``seed``; 0: the gate's."""
    for stem in _LOSSES:
        yield _differential(stem, loss_cases(stem), seed, explore)
    yield _differential("net", net_cases(), seed, explore)
    for relation in _RELATIONS:
        yield from (relation.check(recipe) for stem in relation.stems for recipe in recipes_of(stem)[:2])


_LOSSES = (
    "contrastive_loss",
    "euclidean_loss",
    "hinge_loss",
    "infogain_loss",
    "multinomial_logistic_loss",
    "sigmoid_cross_entropy_loss",
    "softmax_with_loss",
)


def _differential(subject: str, cases: st.SearchStrategy[Case], seed: int, explore: int) -> Check:
    """Generated cases, judged like any other; the smallest one that fails speaks for all."""
    check_id = f"{FAMILY}/{subject}/differential"
    requirement = "properties.differential"

    def run(session: Session) -> list[Verdict]:
        failure: list[tuple[Case, Verdict]] = []
        passed: list[Verdict] = []

        @settings(
            max_examples=EXAMPLES * explore,
            derandomize=seed == 0,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(cases)
        def one(case: Case) -> None:
            verdicts = judged(session, check_id, [requirement], case)
            broken = [v for v in verdicts if v.status.breaks and v.level is not Level.SHOULD]
            if broken:
                failure[:] = [(case, broken[0])]
                raise _Broken
            passed.extend(verdicts)

        if seed:
            one = drawn_from(seed)(one)
        try:
            one()
        except (_Broken, Flaky):  # flaky: wrong once and right when asked again
            case, verdict = failure[0]
            return _smallest(check_id, requirement, verdict, {"case": json.dumps(case.to_json())})
        return [_best(check_id, requirement, session.dtype, passed)]

    types = () if subject == "net" else (recipes_of(subject)[0].type,)
    return Check(check_id, FAMILY, subject, (requirement,), run, needs_net=subject == "net", layer_types=types)


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


def _best(check: str, requirement: str, dtype: str, verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict for all generated cases: passed with the smallest headroom, or what kept all of them from being
    judged."""
    level = CATALOGUE[requirement].level
    passes = [v for v in verdicts if v.status is Status.PASSED]
    if not passes:
        first = verdicts[0]
        return replace(first, check=check, requirement=requirement, level=level)
    rooms = [v.headroom for v in passes if v.headroom is not None]
    others = len(verdicts) - len(passes)
    reason = f"{len(passes)} generated case(s)" + (f", {others} not judged" if others else "")
    return Verdict(check, requirement, dtype, Status.PASSED, level, headroom=min(rooms, default=None), reason=reason)


Runs = Callable[[Recipe, str], list[Case]]
Prediction = tuple[float, dict[str, Array]]
Predict = Callable[[Sequence[Outcome], Recipe], Prediction]


@dataclass(frozen=True)
class Relation:
    """Runs of one net on related inputs or weights: what the first must give follows from what the others gave."""

    name: str
    stems: tuple[str, ...]
    runs: Runs
    predict: Predict

    def check(self, recipe: Recipe) -> Check:
        check_id = f"{FAMILY}/{recipe.stem}/{recipe.name}-{self.name}"
        requirement = f"{FAMILY}.{self.name}"

        def run(session: Session) -> list[Verdict]:
            return guarded(
                session, check_id, [requirement], lambda: [self._judge(session, check_id, requirement, recipe)]
            )

        return Check(check_id, FAMILY, recipe.stem, (requirement,), run, layer_types=(recipe.type,))

    def _judge(self, session: Session, check_id: str, requirement: str, recipe: Recipe) -> Verdict:
        level = CATALOGUE[requirement].level
        cases = self.runs(recipe, check_id)
        answers = [session.run(case) for case in cases]
        outcomes = [answer for answer in answers if isinstance(answer, Outcome)]
        if len(outcomes) < len(answers):
            return Verdict(check_id, requirement, session.dtype, Status.FAILED, level, reason="a plain net was refused")
        if any(name not in outcome.diff for outcome in outcomes for name in recipe.learned):
            return Verdict(
                check_id, requirement, session.dtype, Status.INCONCLUSIVE, level, reason="no gradient is reported"
            )
        loss, gradients = self.predict(outcomes[1:], recipe)
        wanted = {"net loss": np.array(loss), **gradients}
        got = {
            "net loss": np.array(outcomes[0].loss),
            **{name: _wide(outcomes[0].diff[name]) for name in recipe.learned},
        }
        bounds = [_bounds(case, session.dtype, recipe) for case in cases]
        room = np.inf
        for name, want in wanted.items():
            allowed = sum(float(bound[name].max(initial=0.0)) for bound in bounds)
            off = float(np.max(np.abs(got[name] - want), initial=0.0))
            if not off <= allowed:
                what = name if name == "net loss" else f"gradient of {name}"
                reason = f"{what} is off by {off:.3g} from what {self.name} asks for, within {allowed:.2g}"
                return Verdict(check_id, requirement, session.dtype, Status.FAILED, level, reason=reason)
            room = min(room, allowed / off if off else np.inf)
        return Verdict(check_id, requirement, session.dtype, Status.PASSED, level, headroom=room)


def _bounds(case: Case, dtype: str, recipe: Recipe) -> dict[str, Array]:
    """The running error of the loss and of each gradient in the reference's evaluation of the case."""
    side = next(sides_of(case, "documented"))
    net, comparisons = replay(case, Outcome(dtype, 0.0), side.dialect(), rounding_of(dtype))
    total = next(c for c in comparisons if c.aspect == "total")
    return {"net loss": total.want.error, **{name: net.blobs[name].diff.error for name in recipe.learned}}


def _wide(array: Array) -> Array:
    return np.asarray(array, dtype=np.float64)


def _on(change: Callable[[dict[str, Array]], dict[str, Array]]) -> Runs:
    """The plain inputs, and the changed ones to predict them from."""

    def runs(recipe: Recipe, case_id: str) -> list[Case]:
        values = recipe.values(seed=3)
        return [recipe.case(case_id, weights=(2.5,), values=v) for v in (values, change(values))]

    return runs


def _each_batch(values: dict[str, Array], change: Callable[[Array], Array]) -> dict[str, Array]:
    return {name: array if name == "H" else change(array) for name, array in values.items()}


def _halves(recipe: Recipe, case_id: str) -> list[Case]:
    """The batch, and its two halves (as nets of their own: the halves' shapes are fed, not declared)."""
    values = recipe.values(seed=3)
    half = len(values[recipe.bottoms[0][0]]) // 2
    parts = [values, _each_batch(values, lambda a: a[:half]), _each_batch(values, lambda a: a[half:])]
    return [_declared(recipe, case_id, part) for part in parts]


def _declared(recipe: Recipe, case_id: str, values: dict[str, Array]) -> Case:
    bottoms = tuple((name, values[name].shape, maker) for name, _, maker in recipe.bottoms)
    return replace(recipe, bottoms=bottoms).case(case_id, weights=(2.5,), values=values)


def _weighted_by_batch(outcomes: Sequence[Outcome], recipe: Recipe) -> Prediction:
    """A mean over the batch is the mean of its parts' means, weighted by their sizes."""
    sizes = [len(outcome.diff[recipe.learned[0]]) for outcome in outcomes]
    shares = [size / sum(sizes) for size in sizes]
    loss = sum(share * outcome.loss for share, outcome in zip(shares, outcomes, strict=True))
    return loss, {
        name: np.concatenate(
            [share * _wide(outcome.diff[name]) for share, outcome in zip(shares, outcomes, strict=True)]
        )
        for name in recipe.learned
    }


def _by_weight(recipe: Recipe, case_id: str) -> list[Case]:
    values = recipe.values(seed=3)
    return [recipe.case(case_id, weights=(weight,), values=values) for weight in (2.5, 3.25, -0.75)]


def _added(outcomes: Sequence[Outcome], recipe: Recipe) -> Prediction:
    return sum(o.loss for o in outcomes), {
        name: np.sum([_wide(outcome.diff[name]) for outcome in outcomes], axis=0) for name in recipe.learned
    }


def _reversed(outcomes: Sequence[Outcome], recipe: Recipe) -> Prediction:
    return outcomes[0].loss, {name: _wide(outcomes[0].diff[name])[::-1] for name in recipe.learned}


def _equal(outcomes: Sequence[Outcome], recipe: Recipe) -> Prediction:
    return outcomes[0].loss, {name: _wide(outcomes[0].diff[name]) for name in recipe.learned}


_RELATIONS = (
    Relation("permutation", _LOSSES, _on(lambda values: _each_batch(values, lambda a: a[::-1].copy())), _reversed),
    Relation(
        "shift-invariance", ("softmax_with_loss", "infogain_loss"), _on(lambda v: {**v, "x": v["x"] + 1.5}), _equal
    ),
    Relation("batch-split", _LOSSES, _halves, _weighted_by_batch),
    Relation("weight-additivity", _LOSSES, _by_weight, _added),
)
