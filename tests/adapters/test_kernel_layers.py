"""The built-in kernels answer for the losses that they compute, each in the form that is meant, and for no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conformance.adapters import open_implementation
from conformance.contract.implementation import Declined
from conformance.contract.outcome import Outcome
from conformance.losses import KNOWN, Loss
from refimpl.fast.layers import KERNELS

WITHOUT = [loss for loss in KNOWN.values() if loss.layer not in KERNELS]


@pytest.mark.parametrize("spec", ["numba-cpu", "numba-cuda:--simulate"])
@pytest.mark.parametrize("loss", WITHOUT, ids=lambda loss: loss.stem)
def test_a_loss_without_a_kernel_is_declined(loss: Loss, spec: str) -> None:
    with pytest.raises(Declined, match=f"no kernel for {loss.type}"):
        open_implementation(spec).run(loss.plain.case("declined"), "float32")


def test_the_first_form_that_a_case_names_is_the_one() -> None:
    implementation = open_implementation("numba-cuda:--simulate")
    case = replace(KNOWN["weighted_euclidean_loss"].plain.case("formed"), forms=())
    values = {"x": np.full((4, 5), 3.0), "z": np.ones((4, 5)), "w": np.full((4, 5), 0.5)}
    fed = KNOWN["weighted_euclidean_loss"].plain.feed(values)
    for form, loss in (("happynear", 2.5), ("MSRCCS", 5.0)):
        found = implementation.run(replace(case, **fed, forms=(f"EuclideanLoss:{form}",)), "float32")
        assert isinstance(found, Outcome)
        assert found.loss_trace[0] == loss
    with pytest.raises(Declined, match="no kernel for SmoothL1Loss as girshick has it"):
        plain = KNOWN["smooth_l1_loss"].plain.case("formed")
        implementation.run(replace(plain, forms=("SmoothL1Loss:girshick",)), "float32")
