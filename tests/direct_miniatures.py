"""Tiny Python implementations, one behaviour each: what `direct:` is pointed at in the tests."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.outcome import Outcome, Refusal
from conformance.fixtures import load

Values = NDArray[Any]


class Euclidean:
    """Right."""

    type = "EuclideanLoss"

    def forward(self, bottom: Sequence[Values]) -> Any:
        self.difference = bottom[0] - bottom[1].reshape(bottom[0].shape)
        return np.sum(self.difference**2) / (2 * len(bottom[0]))

    def backward(self, top_diff: Sequence[Values], bottom: Sequence[Values], propagate_down: Sequence[bool]) -> Any:
        gradient = top_diff[0] * self.difference / len(bottom[0])
        return gradient, -gradient


class IgnoresWeight(Euclidean):
    """The classic bug: top[0].diff plays no part in backward."""

    def backward(self, top_diff: Sequence[Values], bottom: Sequence[Values], propagate_down: Sequence[bool]) -> Any:
        return super().backward([np.ones(())], bottom, propagate_down)


class Hinge:
    """Takes the layer's parameters."""

    type = "HingeLoss"

    def __init__(self, param: Any) -> None:
        self.squared = param.hinge_loss_param.norm == "L2"

    def forward(self, bottom: Sequence[Values]) -> Any:
        scores = bottom[0].reshape(len(bottom[0]), -1)
        labels = bottom[1].astype(int).ravel()
        self.sign = np.where(np.arange(scores.shape[1]) == labels[:, None], -1, 1)
        self.margin = np.maximum(0, 1 + self.sign * scores)
        return np.sum(self.margin**2 if self.squared else self.margin) / len(scores)

    def backward(self, top_diff: Sequence[Values], bottom: Sequence[Values], propagate_down: Sequence[bool]) -> Any:
        slope = 2 * self.margin if self.squared else (self.margin > 0)
        return (top_diff[0] * slope * self.sign / len(bottom[0])).reshape(bottom[0].shape), None


LAYERS = {"EuclideanLoss": Euclidean, "HingeLoss": Hinge}


class Reduced(Euclidean):
    """Gives back arrays of the wrong size."""

    def forward(self, bottom: Sequence[Values]) -> Any:
        super().forward(bottom)
        return self.difference


class NoGradient(Euclidean):
    def backward(self, top_diff: Sequence[Values], bottom: Sequence[Values], propagate_down: Sequence[bool]) -> Any:
        return None


class Complex(Euclidean):
    def forward(self, bottom: Sequence[Values]) -> Any:
        return complex(super().forward(bottom))


class Writes(Euclidean):
    """Works in place on its inputs."""

    def forward(self, bottom: Sequence[Values]) -> Any:
        bottom[0][...] -= bottom[1]


class Raises(Euclidean):
    def forward(self, bottom: Sequence[Values]) -> Any:
        raise ZeroDivisionError("a bug")


class Refuses(Euclidean):
    def forward(self, bottom: Sequence[Values]) -> Any:
        raise ValueError("no such batch")


class Unready(Euclidean):
    def backward(self, top_diff: Sequence[Values], bottom: Sequence[Values], propagate_down: Sequence[bool]) -> Any:
        raise NotImplementedError("no gradient yet")


class Exits(Euclidean):
    def forward(self, bottom: Sequence[Values]) -> Any:
        sys.exit("done")


class _AtOneCase(ReferenceImplementation):
    """The reference, but for one case."""

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        if case.digest() == load("euclidean_loss/grid-001").case.digest() and dtype == "float32":
            self.misbehave()
        return super().run(case, dtype)

    def misbehave(self) -> None:
        raise NotImplementedError


class Aborts(_AtOneCase):
    def misbehave(self) -> None:
        print("terminate called: out of memory", file=sys.stderr, flush=True)
        os.abort()


class Segfaults(_AtOneCase):
    def misbehave(self) -> None:
        ctypes.string_at(0)


class Leaves(_AtOneCase):
    def misbehave(self) -> None:
        os._exit(0)


class Sleeps(_AtOneCase):
    def misbehave(self) -> None:
        time.sleep(600)


class HangsDeep(_AtOneCase):
    """Where no signal handler of Python's runs."""

    def misbehave(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(600)


class Prints(ReferenceImplementation):
    """Writes all over standard output, as C++ libraries do."""

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        print('{"kind": "stop"}', flush=True)
        os.write(1, b"not JSON\n")
        return super().run(case, dtype)


class Recursive(ReferenceImplementation):
    def describe(self) -> Any:
        raise RuntimeError("cannot say who I am")


class Mapping:
    """Answers with plain mappings."""

    def describe(self) -> dict[str, Any]:
        return {"name": "mapping", "dtypes": ["float64"], "layers": ["EuclideanLoss"]}

    def run(self, case: Case, dtype: str) -> Any:
        outcome = ReferenceImplementation().run(case, dtype)
        if isinstance(outcome, Refusal):
            return outcome
        return {"loss": outcome.loss, "data": outcome.data, "diff": outcome.diff, "param_diff": outcome.param_diff}


class WrongType(Mapping):
    def run(self, case: Case, dtype: str) -> Any:
        return {"loss": 0.0, "data": {"x": np.zeros(3, np.int32)}}


class Silent(Mapping):
    def run(self, case: Case, dtype: str) -> Any:
        return None
