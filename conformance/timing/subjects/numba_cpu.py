"""``numba-cpu``: the plain functions of `refimpl.fast`, with arrays for the gradients."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import numpy as np

from conformance.timing.problem import MODES, Array, Problem
from conformance.timing.subjects import About, NotTimed, Prepared

__all__ = ["NumbaCPU"]


class NumbaCPU:
    """Times what a caller of the plain functions sees, checks of the arguments included."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def about(self) -> About:
        import llvmlite
        import numba

        versions = {"numba": numba.__version__, "llvmlite": llvmlite.__version__, "numpy": np.__version__}
        return About("numba-cpu", _version(), {**versions, "threads": self.threads})

    def prepare(self, problem: Problem, modes: Collection[str] = MODES) -> Prepared:
        try:
            module = importlib.import_module(f"refimpl.fast.cpu.{problem.layer}")
        except ImportError as error:
            raise NotTimed(f"no kernel for {problem.layer} ({error})") from None
        arrays = problem.arrays()
        outputs = _outputs(problem, arrays)
        options: dict[str, Any] = {"threads": self.threads}
        if problem.ignore_label is not None:
            options["ignore_label"] = problem.ignore_label
        function = getattr(module, problem.layer)
        forward = partial(function, *arrays.values(), **options)
        both = partial(forward, **outputs)
        calls: dict[str, Callable[[], object]] = {"forward": forward, "both": both}
        if "backward" in modes:
            given = {**options, **outputs, "top_diff": 1.0}
            calls["backward"] = _backward(problem, module.backward, arrays, forward, given)
        return Prepared(calls, lambda: (both(), tuple(outputs.values())))


def _outputs(problem: Problem, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """An array for every gradient, its pages touched."""
    if len(problem.loss.learned) == 1:
        return {"out": np.full_like(arrays["x"], 0)}
    first, second = problem.loss.learned
    return {"out_a": np.full_like(arrays[first], 0), "out_b": np.full_like(arrays[second], 0)}


def _backward(
    problem: Problem,
    backward: Callable[..., object],
    arrays: Mapping[str, Array],
    forward: Callable[..., object],
    options: Mapping[str, Any],
) -> Callable[[], object]:
    if not problem.loss.two_tops:
        return partial(backward, *arrays.values(), **options)
    kept = np.full(arrays["x"].shape, 0, problem.drawn)
    forward(prob=kept)
    return partial(backward, kept, *list(arrays.values())[1:], **options)


def _version() -> str:
    from refimpl.fast.cache import source_key

    return source_key()
