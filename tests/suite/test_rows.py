"""Rows of thousands of classes: the reference conforms, kernels that go wrong from one block to the next do not."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.check import Check
from conformance.contract.dtypes import TYPES
from conformance.contract.verdict import Status
from conformance.losses import KNOWN, LOSSES
from conformance.mutants import MutantImplementation, mutants_by_id
from conformance.mutants.half import CLAIMS
from conformance.suite import rows
from tests.broken import failed, run_family

SOFTMAX = LOSSES["softmax_with_loss"]
CHECKS = list(rows.checks({SOFTMAX.stem: SOFTMAX}))


@pytest.mark.parametrize("claim", ["float32", *CLAIMS])
def test_the_reference_conforms(claim: str) -> None:
    verdicts = run_family(CHECKS, ReferenceImplementation(), (claim,))
    assert {v.status for v in verdicts} == {Status.PASSED} and len(verdicts) > 15


def test_are_of_losses_that_have_classes_on_an_axis() -> None:
    meant = {stem for stem, loss in KNOWN.items() if loss.axis_option and loss.labelled}
    assert {check.layer for check in rows.checks(KNOWN)} == meant


def test_have_answers_that_every_type_holds() -> None:
    for kind in rows.ROWS:
        for dtype in TYPES.values():
            assert dtype.holds(rows.case_of(SOFTMAX, kind, rows.LENGTH).inputs["y"]).all()


@pytest.mark.parametrize("mutant, kind", [("first-block-masked", "masked"), ("rescaling-overflows", "rising")])
def test_a_kernel_that_goes_wrong_between_blocks_is_seen_there_alone(mutant: str, kind: str) -> None:
    wrong = MutantImplementation(mutants_by_id()[f"{SOFTMAX.stem}/{mutant}"])
    broken = failed(run_family(CHECKS, wrong, ("float32",)))
    kinds = {check.rpartition("/")[2].rpartition("-")[0] for check, _ in broken}
    assert kind in kinds and kinds <= {"masked", "rising"}


@pytest.mark.parametrize(
    "dtypes, claim, runs",
    [
        (("float32", "float64"), "bfloat16", True),
        (("float32",), "bfloat16 (computed float32)", True),
        (("float32",), "float16 (computed float16, accumulated float32)", True),
        (("float32",), "bfloat16", False),
        (("float32",), "float64", False),
        (("float64",), "bfloat16 (computed float32)", False),
    ],
)
def test_what_is_of_many_terms_runs_where_as_many_can_be_added_up(
    dtypes: tuple[str, ...], claim: str, runs: bool
) -> None:
    assert Check("a/b", "a", "b", (), lambda session: (), dtypes).runs_in(claim) is runs


def test_a_mask_hides_no_class_that_is_right() -> None:
    case = rows.case_of(SOFTMAX, "masked", rows.LENGTH)
    x, y = case.inputs["x"], case.inputs["y"].astype(int)
    assert np.isneginf(x).any(axis=1).all() and np.isfinite(x[range(len(x)), y]).all()
