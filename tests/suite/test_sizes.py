"""The sizes family passes on the reference, and a layer that is wrong past some size fails it and nothing smaller."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.outcome import Outcome
from conformance.diagnosis.clues import clues_of
from conformance.judge.judgement import judge_outcome
from conformance.losses import KNOWN, LOSSES, Loss
from conformance.mutants import all_mutants
from conformance.mutants.mutant import MutantImplementation
from conformance.record.cause import Cause
from conformance.suite.sizes import SIZES, case_of, checks
from tests.broken import failed, not_passed, run_family

OF = {check.layer: check for check in checks() if check.id == f"sizes/{check.layer}"}


@pytest.mark.parametrize("stem", LOSSES)
def test_the_reference_passes(stem: str) -> None:
    verdicts = run_family([OF[stem]], ReferenceImplementation(), ("float32",))
    assert not not_passed(verdicts)
    assert {v.check for v in verdicts} == {f"sizes/{stem}/{name}" for name in SIZES}


@pytest.mark.parametrize("loss", [loss for loss in KNOWN.values() if loss.plain.fill], ids=lambda loss: loss.stem)
def test_answers_of_many_items_leave_a_loss_to_be_seen(loss: Loss) -> None:
    """Drawn freely, a few of so many images hold nothing to count, and a loss of NaN hides every other fault."""
    case = case_of(loss, "blocks", SIZES["blocks"])
    answer = ReferenceImplementation().run(replace(case, steps=("forward",)), "float64")
    assert isinstance(answer, Outcome)
    assert np.isfinite(answer.loss)
    assert answer.loss > 0.01


MULTIPLES = {"multiples", "multiples-of-positions"}


def test_some_sizes_fill_blocks_of_nearly_any_size() -> None:
    for name in MULTIPLES:
        assert all(
            prod(SIZES[name]) % block == 0 for block in (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15, 16, 24, 32, 48, 96)
        )


def test_no_other_size_fills_whole_blocks_and_one_has_more_items_than_a_grid_has_rows() -> None:
    for shape in (shape for name, shape in SIZES.items() if name not in MULTIPLES):
        assert shape[0] % 2
        assert prod(shape) > 512
        assert prod(shape) % 32
    assert max(shape[0] for shape in SIZES.values()) > 65535


@pytest.mark.parametrize("stem", LOSSES)
def test_labels_reach_every_part_of_a_sized_variant(stem: str) -> None:
    values = LOSSES[stem].sized((33, 7)).values()
    assert values["x"].shape == (33, 7)
    if "y" in values:
        assert set(np.unique(values["y"])) <= set(range(7))
        assert values["y"].max() == 6


@pytest.mark.parametrize("name", ["one-block-only", "last-block-lost", "short-index"])
def test_a_gradient_that_ends_is_rejected_and_told(name: str) -> None:
    mutant = next(one for one in all_mutants() if one.id == f"euclidean_loss/{name}")
    wrong = MutantImplementation(mutant)
    broken = failed(run_family([OF["euclidean_loss"]], wrong, ("float32",)))
    assert {requirement for _, requirement in broken} == {"euclidean_loss.large-shapes"}
    case = LOSSES["euclidean_loss"].sized(SIZES["blocks"]).case("blocks", weights=(2.5,))
    answer = wrong.run(case, "float32")
    assert isinstance(answer, Outcome)
    told = clues_of(case, answer, "float32", judge_outcome(case, answer, "float32"))
    assert next(iter(told.causes)) is Cause.AT_SCALE


def test_no_mutant_that_is_wrong_at_scale_is_wrong_in_a_small_case() -> None:
    small, reference = LOSSES["euclidean_loss"].sized((5, 4)).case("small"), ReferenceImplementation()
    for mutant in (one for one in all_mutants() if one.at_scale and one.stem == "euclidean_loss"):
        answer, right = (one.run(small, "float64") for one in (MutantImplementation(mutant), reference))
        assert isinstance(answer, Outcome)
        assert isinstance(right, Outcome)
        np.testing.assert_array_equal(answer.diff["x"], right.diff["x"])


@pytest.mark.parametrize("stem", [stem for stem, loss in KNOWN.items() if "margin" in loss.traits])
def test_no_margin_hides_the_last_of_many_items(stem: str) -> None:
    loss = KNOWN[stem]
    answer = ReferenceImplementation().run(case_of(loss, "multiples", SIZES["multiples"]), "float32")
    assert isinstance(answer, Outcome)
    assert answer.diff[loss.bottoms[0].name][-1].any()
