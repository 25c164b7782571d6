"""`torch`: PyTorch's own losses depart from Caffe where docs/adapters/torch.md says, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from conformance.adapters.opening import open_implementation
from conformance.contract.implementation import DoesNotStart, Implementation, Unsupported
from conformance.contract.outcome import Refusal
from conformance.contract.verdict import Status
from conformance.fixtures import load
from conformance.judge.judgement import judge
from conformance.losses import LOSSES
from conformance.requirements import CATALOGUE
from conformance.suite import all_checks
from tests.explained import (
    Explainer,
    Situation,
    below_floor,
    digits_cancelled,
    ignored_not_finite,
    listed,
    nothing_counts,
)

PAGE = Path(__file__).parents[2] / "docs" / "adapters" / "torch.md"
CLASSIFIERS = ("softmax_with_loss", "infogain_loss", "hinge_loss", "multinomial_logistic_loss")
SITUATIONS: Mapping[str, Situation] = {
    "nothing-counts": nothing_counts,
    "no-floor": below_floor,
    "ignored-not-finite": ignored_not_finite,
    "nan-score": lambda loss: loss.type == "HingeLoss" and bool(np.isnan(loss.scores).any()),
    "branch-not-taken": lambda loss: (
        loss.type == "ContrastiveLoss" and not all(np.isfinite(bottom).all() for bottom in loss.bottoms[:2])
    ),
    "logarithm-elsewhere": lambda loss: loss.type == "MultinomialLogisticLoss" and bool((~(loss.scores > 0)).any()),
    "digits-cancelled": digits_cancelled,
}
"""Each reason of the page, and when it applies."""


@pytest.fixture(scope="module")
def torch_losses() -> Implementation:
    pytest.importorskip("torch", reason="not run: PyTorch is not installed (tox -e torch)")
    return open_implementation("torch")


def test_without_torch_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "conformance.adapters.torch", raising=False)
    with pytest.raises(DoesNotStart, match=r"pip install 'caffe-loss-conformance\[torch\]'"):
        open_implementation("torch")


@pytest.mark.parametrize("stem", list(LOSSES))
def test_torch_computes_every_loss_and_its_gradient(torch_losses: Implementation, stem: str) -> None:
    for dtype in ("float32", "float64"):
        case = LOSSES[stem].plain.case(f"plain/{stem}", weights=(2.5,))
        judged = judge("plain", [f"{stem}.forward", f"{stem}.backward"], case, torch_losses.run(case, dtype), dtype)
        assert {verdict.status for verdict in judged} == {Status.PASSED}


@pytest.mark.parametrize(("stem", "label"), [(s, y) for s in CLASSIFIERS for y in (-1.0, 1e3)])
def test_torch_refuses_a_label_that_is_no_class(torch_losses: Implementation, stem: str, label: float) -> None:
    recipe = LOSSES[stem].plain
    values = recipe.values()
    values["y"][0] = label
    answer = torch_losses.run(recipe.case("label", values=values), "float64")
    assert isinstance(answer, Refusal)
    assert answer.stage == "forward"


def test_torch_is_unsupported_not_refused_where_the_matrix_lies_in_a_file(torch_losses: Implementation) -> None:
    with pytest.raises(Unsupported, match="third bottom"):
        torch_losses.run(load("infogain_source/double-0").case, "float64")


def test_the_page_has_a_section_for_every_reason() -> None:
    assert list(listed(PAGE)) == list(SITUATIONS)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stem", [*LOSSES, "net"])
def test_every_verdict_against_torch_has_a_reason_on_the_page(torch_losses: Implementation, stem: str) -> None:
    explainer = Explainer(SITUATIONS, listed(PAGE))
    explainer.run(torch_losses, (check for check in all_checks() if check.layer == stem))
    assert not explainer.unexplained
    assert not explainer.stale(f"{stem}.")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("claim", ["bfloat16", "float16"])
@pytest.mark.parametrize("stem", [*LOSSES, "net"])
def test_in_half_types_there_are_no_further_reasons(torch_losses: Implementation, stem: str, claim: str) -> None:
    explainer = Explainer(SITUATIONS, {reason: set(CATALOGUE) for reason in SITUATIONS})
    explainer.run(torch_losses, (check for check in all_checks() if check.layer == stem), (claim,))
    assert not explainer.unexplained
