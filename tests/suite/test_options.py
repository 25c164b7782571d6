"""The options family notices a field misread or wrongly read."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.mutants import MutantImplementation, all_mutants
from conformance.suite.options import checks
from tests.broken import failed, run_family

DTYPES = ("float32", "float64")


@pytest.mark.parametrize(
    "mutant",
    [
        "euclidean_loss/normalization-honoured",
        "hinge_loss/ignore-label-honoured",
        "infogain_loss/axis-of-softmax",
        "infogain_loss/axis-1",
        "infogain_loss/file-wins",
        "sigmoid_cross_entropy_loss/normalize-wins",
        "softmax_with_loss/outer-is-first-axis",
        "net/exclude-not-read",
        "net/first-stage-only",
        "net/last-include-only",
        "net/min-level-exclusive",
        "net/no-backward-in-test",
        "net/phase-not-read",
        "net/total-silent-in-test",
    ],
)
def test_a_mutant_of_an_option_is_noticed(mutant: str) -> None:
    wrong: Any = MutantImplementation(next(m for m in all_mutants() if m.id == mutant))
    assert failed(run_family(checks(), wrong))
