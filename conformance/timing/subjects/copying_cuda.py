"""``copy:cuda``: moving as many bytes as the pass has to, by the device's own copy; how fast its memory is."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import numpy as np

from conformance.timing.gpu import Gpu
from conformance.timing.problem import MODES, Array, Problem
from conformance.timing.subjects import About, NotTimed, Prepared
from conformance.timing.subjects.numba_cuda import rotating
from conformance.timing.traffic import traffic_of

__all__ = ["CopyingOnGpu"]


class CopyingOnGpu:
    """As `timing.subjects.copying.Copying`, from one array on the device to another, neither of them in its cache."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu

    def about(self) -> About:
        return About("copy", np.__version__, self.gpu.described())

    def prepare(self, problem: Problem, modes: Collection[str] = MODES) -> Prepared:
        calls = {mode: self._copies(max(traffic_of(problem, mode).total // 2, 1)) for mode in modes}
        return Prepared(calls, _no_answer, timed=self.gpu.seconds)

    def _copies(self, size: int) -> Callable[[], object]:
        ones = np.ones(size, np.uint8)
        pairs = [(self.gpu.copy(ones), self.gpu.copy(ones)) for _ in range(self.gpu.sets(2 * size))]
        return rotating([partial(target.copy_to_device, source) for source, target in pairs])


def _no_answer() -> tuple[float, tuple[Array, ...]]:
    raise NotTimed("a copy computes no loss")
