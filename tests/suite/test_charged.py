"""No false alarm: layers whose logarithm and exponential are off by as much as they are charged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapters.direct import wrapped
from conformance.contract.dtypes import FLOAT
from conformance.contract.selection import Selection
from conformance.contract.verdict import Level, Status, Verdict
from conformance.suite import plan
from refimpl.charges import charges_of
from tests.broken import run_family

Array = NDArray[np.float32]

FLOOR = np.float32(1e-20)


def off(function: np.ufunc, x: Array, share: float) -> Array:
    """What a library may give that is off by up to a ``share`` of the charge: up or down by the argument's last bits,
    so that one argument always gives one result."""
    exact = function(x.astype(np.float64))
    drawn = (x.view(np.uint32).astype(np.uint64) * 2654435761 % 2**32) / 2**31 - 1
    ulps = share * charges_of(FLOAT)[function] * np.where(np.abs(drawn) < 0.5, drawn, np.sign(drawn))
    with np.errstate(invalid="ignore", over="ignore"):
        moved = exact + ulps * np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    given: Array = np.where(np.isfinite(exact), moved, exact).astype(np.float32)
    return given


class MultinomialLogisticLoss:
    share = 1.0

    def forward(self, bottom: Sequence[Array]) -> Any:
        self.p = bottom[0].reshape(len(bottom[0]), -1)
        self.chosen = np.arange(self.p.shape[1]) == bottom[1].astype(int).reshape(-1, 1)
        picked = np.maximum(self.p[self.chosen], FLOOR)
        return -off(np.log, picked, self.share).sum(dtype=np.float32) / np.float32(len(self.p))

    def backward(self, top_diff: Sequence[Array], bottom: Sequence[Array], propagate_down: Sequence[bool]) -> Any:
        slope = -top_diff[0] / len(self.p) / np.maximum(self.p, FLOOR)
        return np.where(self.chosen, slope, np.float32(0)).reshape(bottom[0].shape), None


def verdicts_of(share: float, *families: str) -> list[Verdict]:
    layer = type("MultinomialLogisticLoss", (MultinomialLogisticLoss,), {"share": share})
    selection = Selection(families, layers=("multinomial_logistic_loss",))
    checks = {item.check.id: item.check for item in plan(selection, (FLOAT.name,))}
    implementation = wrapped({"MultinomialLogisticLoss": layer}, "charged")
    return run_family(checks.values(), implementation, (FLOAT.name,))


def test_a_logarithm_off_by_its_charge_conforms() -> None:
    verdicts = [v for v in verdicts_of(1.0) if v.level is not Level.SHOULD]
    assert not [v for v in verdicts if v.status.breaks]
    assert sum(v.status is Status.PASSED for v in verdicts) > 500


def test_one_off_by_several_times_as_much_does_not() -> None:
    assert any(v.status is Status.FAILED for v in verdicts_of(8.0, "golden"))
