"""Single layers: the reference's net, run around somebody else's layers."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.adapters.reference import ran
from conformance.contract.alarm import alarm
from conformance.contract.case import Case
from conformance.contract.implementation import Description
from conformance.contract.outcome import Outcome, Refusal
from conformance.judge.reference import build
from refimpl.errors import NetError
from refimpl.layer import Layer

__all__ = ["SingleLayers"]


class SingleLayers:
    """An implementation of single layers: splits, weights and passes are the documented net's, in the case's dtype.

    ``layers`` maps a layer type to the class that computes it; ``timeout`` is in seconds for a case.
    """

    def __init__(
        self, layers: Mapping[str, type[Layer]], description: Description, timeout: float | None = None
    ) -> None:
        self.layers, self._description, self._timeout = dict(layers), description, timeout

    def describe(self) -> Description:
        return self._description

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        try:
            with alarm(self._timeout):
                net = build(case, dialect="documented", dtype=dtype, layers=self.layers_of(case))
                return ran(net, case, dtype)
        except NetError as error:
            return Refusal(error.stage, str(error), error.layer)

    def layers_of(self, case: Case) -> Mapping[str, type[Layer]]:
        """The layers that a case is run with."""
        return self.layers

    def close(self) -> None:
        """Nothing is held."""
