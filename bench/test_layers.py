"""Every layer under pytest-benchmark, one function after the other in one process: ``pytest bench``.

For looking at one function closely, with pytest-benchmark's statistics, histograms and saved runs; `lossconf bench` is
for comparing. No time is ever asserted; what is, is that the answer timed is right. Sizes that take gigabytes are left
to `lossconf bench`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest

from conformance.timing.expectation import expect
from conformance.timing.problem import DTYPES, MODES, Problem, timed_losses
from conformance.timing.sizes import SIZES
from conformance.timing.subjects import NotTimed, open_subject
from conformance.timing.traffic import traffic_of

SUBJECTS = ("numba-cpu", "torch", "jax", "reference")

LARGEST = 1 << 23
"""Entries up to which a size is timed here."""

PROBLEMS = [
    Problem(layer, size, dtype)
    for layer in timed_losses()
    for size in SIZES.values()
    if size.elements <= LARGEST
    for dtype in DTYPES
]


_expected = lru_cache(maxsize=1)(expect)
"""Computed once for all subjects and modes of a problem, which follow each other."""


@pytest.fixture
def clean() -> Iterator[None]:
    """Memory of the problem before is gone."""
    gc.collect()
    yield
    gc.collect()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: str(problem).replace(" ", "-"))
def test_time(benchmark: Any, clean: None, problem: Problem, subject: str, mode: str, pytestconfig: Any) -> None:
    threads = int(pytestconfig.getoption("--kernel-threads"))
    try:
        opened = open_subject(subject, threads)
        prepared = opened.prepare(problem, (mode,))
    except NotTimed as reason:
        pytest.skip(str(reason))
    traffic = traffic_of(problem, mode).total
    benchmark.group = f"{problem} {mode}"
    benchmark.extra_info.update(
        {"version": opened.about().version, "threads": threads, "elements": problem.size.elements, "bytes": traffic}
    )
    benchmark(prepared.calls[mode])
    expectation = _expected(problem)
    loss, gradients = prepared.answer()
    judged = expectation.judge(loss, [gradient.reshape(-1)[expectation.entries] for gradient in gradients])
    assert judged.accepted, judged.reason
