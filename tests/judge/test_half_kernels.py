"""No false alarm in half types: ten right kernels and more of each of four losses conform to what they claim."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pytest

from conformance.adapters.direct import wrapped
from conformance.contract.verdict import Level, Status, Verdict
from conformance.losses import LOSSES, loss_of_type
from conformance.suite import extremes, golden, rows
from tests.broken import run_family
from tests.half_kernels import KERNELS, Kernel
from tests.judge.test_narrow_types import OPEN

HALVES = ("bfloat16", "float16")


def named(kernel: Kernel) -> str:
    kind, computed, add, _ = kernel
    return f"{kind.__name__}-{'stored' if computed is None else computed.__name__}-{add.__name__}"


CHECKS = {family.__name__: list(family.checks()) for family in (golden, extremes, rows)}


def alarms(kernel: Kernel, dtype: str, count: int, families: tuple[ModuleType, ...]) -> tuple[list[Verdict], int]:
    """The verdicts against it, of ``count`` golden cases and the first check of other families; how many are for it."""
    kind, computed, add, claim = kernel
    loss = loss_of_type(kind.type)
    assert loss is not None
    own = {family: [check for check in CHECKS[family.__name__] if check.layer == loss.stem] for family in families}
    checks = [check for family in families if family is not golden for check in own[family][:1]]
    checks += own[golden][:: len(own[golden]) // count]
    layer = type("Kernel", (kind,), {"computed": computed, "add": staticmethod(add)})
    verdicts = run_family(checks, wrapped(layer, "kernel"), (dtype + claim.format(dtype),))
    against = [verdict for verdict in verdicts if verdict.status not in OPEN and verdict.level is Level.MUST]
    return against, sum(verdict.status is Status.PASSED for verdict in verdicts)


def test_there_are_ten_ways_to_each_loss_and_both_half_types_are_tried() -> None:
    counts = Counter(kind.type for kind, *_ in KERNELS)
    assert len(counts) == 4 and min(counts.values()) >= 10
    assert all(any(loss.type == kind for loss in LOSSES.values()) for kind in counts)


@pytest.mark.parametrize("index", range(len(KERNELS)), ids=[named(kernel) for kernel in KERNELS])
def test_a_right_kernel_conforms(index: int) -> None:
    against, passed = alarms(KERNELS[index], HALVES[index % 2], 5, (golden,))
    assert not against and passed > 5


@pytest.mark.slow
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("kernel", KERNELS, ids=named)
def test_a_right_kernel_conforms_on_what_is_extreme_and_on_long_rows(kernel: Kernel, dtype: str) -> None:
    against, passed = alarms(kernel, dtype, 40, (golden, extremes, rows))
    assert not against and passed > 40
