"""Subjects: what can be timed, one file each. A subject prepares a problem and hands out calls that do nothing but
the work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from conformance.timing.problem import MODES, Array, Problem

__all__ = ["About", "NotTimed", "Prepared", "Subject", "open_subject"]


class NotTimed(Exception):
    """The subject does not do this problem, is not installed, or takes too long over it; ``str()`` says which."""


@dataclass(frozen=True)
class Prepared:
    """A problem that is ready to run.

    ``calls`` has a function for every mode that can be timed. ``answer`` runs forward and backward once: the loss,
    and the gradient of each bottom that takes one, in the bottoms' shapes. With ``allocates``, gradients are new
    arrays every time. ``timed`` is how long some calls take, in seconds per call, where the host's clock does not tell.
    """

    calls: Mapping[str, Callable[[], object]]
    answer: Callable[[], tuple[float, tuple[Array, ...]]]
    allocates: bool = False
    timed: Callable[[Callable[[], object], int], float] | None = None


@dataclass(frozen=True)
class About:
    """What is timed: a name, a version, and whatever else a reader of the times has to know."""

    name: str
    version: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)


class Subject(Protocol):
    """Something that can be timed in this process."""

    def about(self) -> About:
        """Who it is."""

    def prepare(self, problem: Problem, modes: Collection[str] = MODES) -> Prepared:
        """Make a problem's inputs and outputs, and whatever else comes before the work in these modes. Raises
        `NotTimed`."""


def open_subject(spec: str, threads: int) -> Subject:
    """The subject that runs in this process under the name ``spec``. Raises `NotTimed` where it is not there."""
    if spec == "copy":
        from conformance.timing.subjects.copying import Copying

        return Copying(threads)
    if spec == "numba-cpu":
        import numba

        if numba.config.DISABLE_JIT:
            raise NotTimed("NUMBA_DISABLE_JIT turns Numba's compiler off")
        from conformance.timing.subjects.numba_cpu import NumbaCPU

        return NumbaCPU(threads)
    if spec in ("numba-cuda", "copy:cuda"):
        return _on_gpu(spec)
    if spec in ("torch", "torch:cuda", "jax"):
        return _extra(spec, threads)
    if spec.startswith("numba-cuda:"):
        raise NotTimed("a simulation says nothing about times: give numba-cuda, on a machine with a GPU")
    from conformance.timing.subjects.layers import SuiteLayers

    return SuiteLayers(spec)


def _on_gpu(spec: str) -> Subject:
    from conformance.timing.subjects.numba_cuda import open_numba_cuda

    subject = open_numba_cuda()
    if spec == "numba-cuda":
        return subject
    from conformance.timing.subjects.copying_cuda import CopyingOnGpu

    return CopyingOnGpu(subject.gpu)


def _extra(spec: str, threads: int) -> Subject:
    try:
        if spec.startswith("torch"):
            from conformance.timing.subjects.torch import Torch

            return Torch(threads, spec.partition(":")[2] or "cpu")
        from conformance.timing.subjects.jax import Jax

        return Jax()
    except ImportError as error:
        raise NotTimed(f"{spec} is not installed ({error})") from None
