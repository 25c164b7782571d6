"""The options family notices a field misread or wrongly read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from conformance.contract.verdict import Status
from conformance.losses import LOSSES
from conformance.mutants import MutantImplementation, all_mutants
from conformance.suite.options import checks
from refimpl.blob import Blob
from tests.broken import Broken, failed, run_family

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


def test_an_option_that_is_set_to_its_default_is_what_it_is_unset() -> None:
    """A parser that asks whether the option is set has the opposite there."""

    class AsksWhetherItIsSet(LOSSES["contrastive_loss"].layer):  # type: ignore[misc]
        def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
            super().setup(bottom, top)
            self.legacy = self.param.contrastive_loss_param.has("legacy_version")

    check = next(check for check in checks() if check.id == "options/contrastive_loss")
    told = run_family([check], Broken({"ContrastiveLoss": AsksWhetherItIsSet}))
    wrong = {one.check.rpartition("/")[2] for one in told if one.status is Status.FAILED}
    assert wrong >= {"default-legacy-version-margin", "default-legacy-version-inside-margin"}


def test_labels_that_few_bits_take_for_the_ignored_one_are_not_ignored() -> None:
    class InEightBits(LOSSES["softmax_with_loss"].layer):  # type: ignore[misc]
        def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
            ignored = self.param.loss_param
            held = bottom[1].data.copy()
            if ignored.has("ignore_label"):
                same = held.astype(np.int64) % 256 == ignored.ignore_label % 256
                bottom[1].data[same] = ignored.ignore_label
            super().forward(bottom, top)
            bottom[1].data[...] = held

    check = next(check for check in checks() if check.id == "options/softmax_with_loss")
    told = run_family([check], Broken({"SoftmaxWithLoss": InEightBits}))
    wrong = {one.check.rpartition("/")[2] for one in told if one.status is Status.FAILED}
    assert wrong >= {"ignoring--1-and-not-255", "ignoring--7-and-not-249", "ignoring-300-and-not-44"}
