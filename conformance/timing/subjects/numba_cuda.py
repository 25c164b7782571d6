"""``numba-cuda``: the functions of `refimpl.fast.cuda`, between arrays that are on the GPU already.

Every call launches what it launches and waits for nothing: loss and gradients stay on the device. The arrays of one
call are not those of the next, so that what is read lies in the device's memory and not in its cache.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from conformance.timing.gpu import Gpu
from conformance.timing.problem import DTYPES, MODES, Array, Problem
from conformance.timing.subjects import About, NotTimed, Prepared

__all__ = ["NumbaCUDA"]

Arrays = Mapping[str, Any]


class NumbaCUDA:
    """Times whole calls, the launches and the checks of the arguments included."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu

    def about(self) -> About:
        import numba

        return About("numba-cuda", numba.__version__, self.gpu.described())

    def prepare(self, problem: Problem, modes: Collection[str] = MODES) -> Prepared:
        from refimpl.fast.cuda.losses import module as module_of

        if problem.dtype not in DTYPES:
            raise NotTimed(f"it has no {problem.dtype}")
        module = module_of(problem.layer)
        arrays = problem.arrays()
        sets = self.gpu.sets(problem.held_bytes())
        options = {} if problem.ignore_label is None else {"ignore_label": problem.ignore_label}
        with self._on_device():
            made = [self._set(problem, arrays) for _ in range(sets)]
            calls = {
                "forward": [partial(self._call, _forward, problem, module, one, options) for one in made],
                "both": [partial(self._call, _both, problem, module, one, options) for one in made],
            }
            if "backward" in modes:
                calls["backward"] = [partial(self._call, _backward, problem, module, one, options) for one in made]
                if problem.loss.two_tops:
                    for one in made:
                        _keep_softmax(problem, module, one, options)

        def answer() -> tuple[float, tuple[Array, ...]]:
            calls["both"][0]()
            fetched = [self.gpu.fetch(made[0][name]) for name in ("loss", *_outputs(problem))]
            return float(fetched[0][0]), tuple(fetched[1:])

        return Prepared({mode: rotating(every) for mode, every in calls.items()}, answer, timed=self.gpu.seconds)

    def _set(self, problem: Problem, arrays: Mapping[str, Array]) -> dict[str, Any]:
        """Inputs and outputs of a call, on the device. Raises `NotTimed` where they do not fit."""
        made = {name: self.gpu.copy(array) for name, array in arrays.items()}
        shape = arrays["x"].shape
        made |= {name: self.gpu.empty(shape, problem.dtype) for name in _outputs(problem)}
        if problem.loss.two_tops:
            made["prob"] = self.gpu.empty(shape, problem.dtype)
        return made | {
            "loss": self.gpu.empty((1,), problem.dtype),
            "top_diff": self.gpu.copy(np.ones(1, problem.dtype)),
        }

    def _call(self, pass_: Callable[..., None], *arguments: Any) -> None:
        with self._on_device():
            pass_(*arguments)

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """Kernels run on the GPU of this subject, which tests replace by a simulated one."""
        from refimpl.fast.cuda.device import using

        with using(self.gpu.device):
            yield


def rotating(calls: Sequence[Callable[[], object]]) -> Callable[[], object]:
    """A call that is each of some calls in turn."""
    turns = cycle(calls)
    return lambda: next(turns)()


def _outputs(problem: Problem) -> tuple[str, ...]:
    return ("out",) if len(problem.loss.learned) == 1 else ("out_a", "out_b")


def _bottoms(problem: Problem, made: Arrays) -> list[Any]:
    return [made[name] for name in problem.shapes]


def _given(problem: Problem, made: Arrays) -> dict[str, Any]:
    return {"top_diff": made["top_diff"], **{name: made[name] for name in _outputs(problem)}}


def _forward(problem: Problem, module: Any, made: Arrays, options: Mapping[str, Any]) -> None:
    getattr(module, problem.layer)(*_bottoms(problem, made), **options, loss=made["loss"])


def _both(problem: Problem, module: Any, made: Arrays, options: Mapping[str, Any]) -> None:
    function = getattr(module, problem.layer)
    function(*_bottoms(problem, made), **options, **_given(problem, made), loss=made["loss"])


def _keep_softmax(problem: Problem, module: Any, made: Arrays, options: Mapping[str, Any]) -> None:
    function = getattr(module, problem.layer)
    function(*_bottoms(problem, made), **options, prob=made["prob"], loss=made["loss"])


def _backward(problem: Problem, module: Any, made: Arrays, options: Mapping[str, Any]) -> None:
    first, *others = _bottoms(problem, made)
    start = made["prob"] if problem.loss.two_tops else first
    module.backward(start, *others, **options, **_given(problem, made))


def open_numba_cuda() -> NumbaCUDA:
    """On the GPU of this machine. Raises `NotTimed` where there is none."""
    from refimpl.fast.cuda.device import NoDevice

    try:
        return NumbaCUDA(Gpu.here())
    except NoDevice as error:
        raise NotTimed(f"{error}: times need an NVIDIA GPU, its driver and the extra cuda") from None
