"""``reference``, ``direct:`` and ``python-layer:``: layers of the suite's nets, in this process.

What is timed is the one layer, driven as the suite drives it. What that adds (a copy of each bottom for a ``direct:``
class, some microseconds a call) is part of the time.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from conformance.adapters import open_implementation
from conformance.adapters.reference import ReferenceImplementation, outcome_of
from conformance.adapters.single_layers import SingleLayers
from conformance.contract.errors import UsageError
from conformance.contract.implementation import ImplementationError
from conformance.judge.reference import build
from conformance.timing.cases import case_of, gradients_in
from conformance.timing.problem import MODES, Array, Problem
from conformance.timing.subjects import About, NotTimed, Prepared
from refimpl.errors import NetError

__all__ = ["SuiteLayers"]

LARGEST = 1 << 12
"""Entries up to which the reference is timed: it sums exactly, entry by entry."""


class SuiteLayers:
    """A layer of an implementation that runs inside the reference's net, or the reference's own."""

    def __init__(self, spec: str) -> None:
        try:
            implementation = open_implementation(spec, in_process=True)
        except (ImplementationError, UsageError) as error:
            raise NotTimed(str(error)) from None
        if not isinstance(implementation, (SingleLayers, ReferenceImplementation)):
            raise NotTimed("it takes whole nets and has no time verb: see docs/protocol.md")
        self._description = implementation.describe()
        self._layers = implementation.layers if isinstance(implementation, SingleLayers) else None

    def about(self) -> About:
        told = self._description
        return About(told.name, told.version, dict(told.environment))

    def prepare(self, problem: Problem, modes: Collection[str] = MODES) -> Prepared:
        if self._layers is None and problem.size.elements > LARGEST:
            raise NotTimed(f"the reference is slow by design, and timed up to {LARGEST} entries")
        if self._layers is not None and problem.loss.type not in self._layers:
            raise NotTimed(f"it has no {problem.loss.type}")
        if not self._description.takes(problem.dtype):
            raise NotTimed(f"it has no {problem.dtype}")
        try:
            net = build(case_of(problem), dialect="documented", dtype=problem.dtype, layers=self._layers)
            loss = net.forward()
            net.backward()
        except (NetError, ImplementationError) as error:
            raise NotTimed(str(error)) from None
        node = net.layers[-1]
        forward, backward = partial(net.forward_layer, node), partial(net.backward_layer, node)

        def both() -> None:
            forward()
            backward()

        def answer() -> tuple[float, tuple[Array, ...]]:
            return float(loss), gradients_in(problem, outcome_of(net, problem.dtype, [loss]))

        return Prepared({"forward": forward, "backward": backward, "both": both}, answer)
