"""Loss weights: what weighs nothing unasked is judged without a loss_weight, too."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from conformance.contract.dtypes import FLOAT
from conformance.contract.verdict import Level, Status
from conformance.losses import KNOWN, Loss
from conformance.suite.loss_weight import checks
from refimpl.blob import Blob
from refimpl.layer import Layer
from tests.broken import Broken, after, session

UNASKED = [loss for loss in KNOWN.values() if not loss.layer.implicit_weight]


def _weighs_one(layer: Layer, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
    layer.declared_weights = layer.declared_weights or [1.0] + [0.0] * (len(top) - 1)


@pytest.mark.parametrize("loss", UNASKED, ids=lambda loss: loss.stem)
def test_a_weight_that_nobody_gave(loss: Loss) -> None:
    check = next(checks({loss.stem: loss}))
    wrong = Broken(after(loss.type, "setup", _weighs_one), "bvlc")
    told = [one for one in check.run(session(wrong, FLOAT.name)) if one.level is Level.MUST]
    failed = {one.requirement for one in told if one.status is Status.FAILED}
    unasked = {f"{loss.stem}.no-implicit-weight", "net.total-loss"}
    assert unasked <= failed if loss.feeds else unasked == failed, (
        "of a head, which is never given one, all nets are off"
    )
