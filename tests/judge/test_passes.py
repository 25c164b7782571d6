"""Passes: one reference net runs all of them, and every state that an answer tells is held against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from conformance.adapters.numba_cpu import NumbaCpuImplementation
from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case, Pass
from conformance.contract.implementation import Implementation
from conformance.contract.outcome import Outcome, Refusal
from conformance.judge.judgement import judge_outcome
from conformance.judge.side import touched_by
from conformance.losses import LOSSES, Variant
from conformance.losses.nets import layer, source
from refimpl.blob import Blob
from refimpl.dialect import QUIRKS
from tests.broken import Broken, after

EUCLIDEAN = LOSSES["euclidean_loss"].plain
every_loss = pytest.mark.parametrize("stem", LOSSES)


def then(variant: Variant, seed: int, **fields: object) -> Pass:
    return Pass(**variant.feed(variant.values(seed)), **fields)  # type: ignore[arg-type]


def of(stem: str, each_pass: bool = True) -> Case:
    """Another batch, a smaller one, a backward on its own with another weight, and the first batch again."""
    variant = LOSSES[stem].plain
    smaller = [then(variant.batch(2), 3)] if variant.forced else []
    others = [then(variant, 2), *smaller, Pass(steps=("backward",), prefill_diff={"loss": 3.0}), then(variant, 1)]
    return replace(variant.case(f"test/{stem}", seed=1), passes=tuple(others), each_pass=each_pass)


def outcome(case: Case, dtype: str, implementation: Implementation | None = None) -> Outcome:
    answer = (implementation or ReferenceImplementation()).run(case, dtype)
    assert isinstance(answer, Outcome)
    return answer


def wrong(case: Case, answer: Outcome, dtype: str = "float64") -> list[str]:
    return [f.element.blob for f in judge_outcome(case, answer, dtype).failures if f.element is not None]


@every_loss
@pytest.mark.parametrize("implementation", [ReferenceImplementation("bvlc"), NumbaCpuImplementation()])
def test_what_runs_all_passes_rightly_is_accepted(stem: str, implementation: Implementation) -> None:
    for each_pass in (False, True):
        case = of(stem, each_pass)
        judged = judge_outcome(case, outcome(case, "float32", implementation), "float32")
        assert not judged.failures
        states = {f"x{f' after pass {i}' if i else ''}" for i in range(len(case.sequence))}
        compared = {comparison.blob for comparison in judged.versions[0]}
        assert states & compared == ({"x"} if not each_pass else states - {f"x after pass {len(case.sequence)}"})


@every_loss
def test_a_pass_gives_what_its_batch_gives_alone(stem: str) -> None:
    variant = LOSSES[stem].plain
    states = outcome(of(stem), "float64").passes
    alone = outcome(variant.case("alone", seed=2), "float64")
    assert states[1].loss == alone.loss
    for name in variant.learned:
        np.testing.assert_array_equal(states[1].diff[name], alone.diff[name])
    np.testing.assert_allclose(states[-1].loss, 3.0 * states[0].loss)  # the weight that the diff was filled with stays


def test_diffs_are_cleared_or_accumulate() -> None:
    net = source("x", (2, 3)) + layer("p", "InnerProduct", ["x"], options="inner_product_param { num_output: 3 }")
    net += source("y", (2, 3)) + layer("loss", "EuclideanLoss", ["p", "y"])
    case = Case("test", net, {"x": np.ones((2, 3)), "y": np.zeros((2, 3))}, params={"p": (np.eye(3), np.zeros(3))})
    once = outcome(case, "float64").param_diff["p"][0]
    for clear, times in ((True, 1), (False, 2)):
        repeated = replace(case, passes=(Pass(clear=clear),))
        np.testing.assert_array_equal(outcome(repeated, "float64").param_diff["p"][0], times * once)
        assert not wrong(repeated, outcome(repeated, "float64"))
        other = replace(case, passes=(Pass(clear=not clear),))
        assert wrong(other, outcome(repeated, "float64")) == ["p[0]", "p[1]"]


def test_a_top_diff_stays_until_another_is_given() -> None:
    case = replace(
        EUCLIDEAN.case("test", top_diff={"loss": 4.0}), passes=(Pass(), Pass(top_diff={"loss": -1.0}), Pass())
    )
    told = outcome(case, "float64")
    assert told.loss_trace is not None
    one = told.loss_trace[0]
    assert told.loss_trace == (one, one, 4 * one, 4 * one, 4 * one, 4 * one, -one, -one)


def test_a_wrong_state_is_wrong_even_where_the_last_is_right() -> None:
    case = of("euclidean_loss")
    told = outcome(case, "float64")
    first = told.passes[0]
    spoilt = replace(first, diff={**first.diff, "x": first.diff["x"] + 1})
    assert wrong(case, replace(told, passes=(spoilt, *told.passes[1:]))) == ["x after pass 1"]
    spoilt = replace(first, loss=first.loss + 1)
    assert wrong(case, replace(told, passes=(spoilt, *told.passes[1:]))) == ["total after pass 1"]


def test_states_that_were_asked_for_are_owed() -> None:
    case = of("euclidean_loss")
    told = outcome(case, "float64")
    for states in ((), told.passes[1:]):
        (failure,) = judge_outcome(case, replace(told, passes=states), "float64").failures
        assert "the state after each of 5 passes was asked for" in failure.reason
    assert not wrong(replace(case, each_pass=False), told)


def _kept(what: Callable[[Blob], np.ndarray]) -> Callable[..., None]:
    first: dict[int, np.ndarray] = {}

    def hook(made: object, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        held = first.setdefault(id(made), what(top[0]).copy())
        if held.shape == what(top[0]).shape:
            what(top[0])[...] = held

    return hook


@every_loss
def test_a_result_that_is_kept_is_noticed(stem: str) -> None:
    keeps = Broken(after(LOSSES[stem].type, "forward", _kept(lambda blob: blob.data)))
    case = replace(LOSSES[stem].plain.case("test", seed=1), passes=(then(LOSSES[stem].plain, 2),))
    assert not wrong(replace(case, passes=()), outcome(replace(case, passes=()), "float64", keeps))
    assert "loss" in wrong(case, outcome(case, "float64", keeps))


def test_a_pass_may_be_refused() -> None:
    variant = LOSSES["softmax_with_loss"].plain
    fewer = Pass({"y": np.zeros(3)})
    case = replace(variant.case("test"), passes=(Pass(), fewer))
    refusal = ReferenceImplementation().run(case, "float64")
    assert isinstance(refusal, Refusal)
    assert refusal.stage == "forward"
    assert not judge_outcome(case, refusal, "float64").failures
    unknown = ReferenceImplementation().run(
        replace(variant.case("test"), passes=(Pass({"q": np.zeros(3)}),)), "float64"
    )
    assert isinstance(unknown, Refusal)
    assert "no blob 'q'" in unknown.message


def test_a_weight_survives_growing_but_in_caffe() -> None:
    net = "force_backward: true\n" + source("x", (2, 3))
    net += layer("p", "Power", ["x"], weights=(2.0,), options="power_param { power: 2 shift: 1 }")
    case = Case("test", net, {"x": np.ones((2, 3))}, passes=(Pass({"x": np.ones((5, 3))}),))
    assert touched_by(case) == {"grown-top-loses-weight"}
    assert outcome(case, "float64").loss == 2 * 4 * 15
    assert outcome(case, "float64", ReferenceImplementation("bvlc")).loss == 0
    prefilled = replace(case, passes=(Pass({"x": np.ones((5, 3))}, prefill_diff={"p": 0.5}),))
    assert outcome(prefilled, "float64").loss == 0.5 * 4 * 15


def test_a_quirk_touched_on_the_way_counts() -> None:
    """Hinge's backward reads what its own backward has overwritten, until a forward comes."""
    variant = LOSSES["hinge_loss"].plain
    case = replace(variant.case("test"), passes=(Pass(steps=("backward",)), then(variant, 2)), each_pass=True)
    assert touched_by(case) == {"hinge-scratch"}
    assert touched_by(case) <= set(QUIRKS)
    for dialect in ("documented", "bvlc"):
        told = outcome(case, "float64", ReferenceImplementation(dialect))
        assert not judge_outcome(case, told, "float64", dialect).failures
