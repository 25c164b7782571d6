"""The labels family notices labels read or ignored wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.mutants import MutantImplementation, all_mutants
from conformance.suite.labels import checks
from tests.broken import failed, run_family

DTYPES = ("float32", "float64")


@pytest.mark.parametrize(
    "mutant",
    [
        "contrastive_loss/similar-only-1",
        "contrastive_loss/similarity-not-truncated",
        "contrastive_loss/similarity-rounded",
        "hinge_loss/label-rounded",
        "infogain_loss/class-0-not-ignored",
        "infogain_loss/label-floored",
        "infogain_loss/negative-not-ignored",
        "infogain_loss/never-below-one-forgotten",
        "multinomial_logistic_loss/label-rounded",
        "sigmoid_cross_entropy_loss/ignored-exactly",
        "sigmoid_cross_entropy_loss/targets-clamped",
        "softmax_with_loss/ignored-counted",
        "softmax_with_loss/last-ignored-wipes",
    ],
)
def test_a_mutant_of_labels_is_noticed(mutant: str) -> None:
    wrong: Any = MutantImplementation(next(m for m in all_mutants() if m.id == mutant))
    assert failed(run_family(checks(), wrong))
