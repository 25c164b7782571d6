"""The same losses in torch, as the descriptions of forks' losses have them: loss and gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.outcome import Outcome
from conformance.losses import KNOWN, LOSSES, Loss

torch = pytest.importorskip("torch")

FORKS = [loss for stem, loss in KNOWN.items() if stem not in LOSSES and "torch" in loss.equivalents]


@pytest.mark.parametrize("loss", FORKS, ids=lambda loss: loss.stem)
def test_torch_computes_the_plain_variant(loss: Loss) -> None:
    scope: dict[str, Any] = {"torch": torch, "F": torch.nn.functional, "math": math}
    exec(loss.equivalents["torch"], scope)
    values = loss.plain.values(seed=5)
    answer = ReferenceImplementation().run(loss.plain.case("one", weights=(1.0,), values=values), "float64")
    assert isinstance(answer, Outcome)
    bottoms = {
        bottom.name: torch.tensor(values[bottom.name], requires_grad=bottom.learns)
        if not bottom.role.integers
        else torch.tensor(values[bottom.name]).long()
        for bottom in loss.bottoms
        if bottom.name in values
    }
    total = scope["loss"](*bottoms.values(), None)
    total.backward()
    assert total.item() == pytest.approx(answer.loss, rel=1e-13)
    for name in loss.learned:
        np.testing.assert_allclose(answer.diff[name], bottoms[name].grad.numpy(), rtol=1e-12, atol=1e-14)
