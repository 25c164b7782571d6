"""Kernel layers: built-in layers of which only the losses that have a kernel are run, each in the meaning asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.adapters.single_layers import SingleLayers
from conformance.contract.case import Case, forms_by_type
from conformance.contract.dtypes import FLOAT, TypeClaim
from conformance.contract.implementation import Declined, Description
from conformance.contract.outcome import Outcome, Refusal
from conformance.losses import KNOWN
from refimpl.fast.layers import Layers, of_forms
from refimpl.layer import Layer
from refimpl.layers import REGISTRY, class_of

__all__ = ["KernelLayers"]


class KernelLayers(SingleLayers):
    """Single layers of `refimpl.fast`: ``kernels`` maps classes of the reference to those that compute with kernels."""

    def __init__(self, kernels: Layers, description: Description, timeout: float | None = None) -> None:
        super().__init__(of_forms(kernels, {}), description, timeout)
        self._kernels = kernels
        self._chosen: dict[tuple[object, ...], Mapping[str, type[Layer]]] = {}

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        """Raises `Declined` for types in which no kernel is."""
        claim = TypeClaim.named(dtype)
        if claim.scores != claim.gradients:
            raise Declined("gradients of another type than the scores")
        if claim.computed.significand > max(claim.scores.significand, FLOAT.significand):
            raise Declined(f"{claim.scores.name} computed in {claim.computed.name}")
        return super().run(case, dtype)

    def layers_of(self, case: Case) -> Mapping[str, type[Layer]]:
        """Every loss that is known, in the first form of it that the case names; without a kernel, one that declines
        the case."""
        known = *KNOWN, *case.forms
        if known not in self._chosen:
            self._chosen[known] = self._choose(forms_by_type(case.forms))
        return self._chosen[known]

    def _choose(self, forms: Mapping[str, str]) -> Mapping[str, type[Layer]]:
        meant = {loss.type: REGISTRY.get(loss.type, loss.layer) for loss in KNOWN.values()}
        meant |= {kind: class_of(kind, form) for kind, form in forms.items()}
        return {
            kind: self._kernels.get(reference) or _declining(reference, forms.get(kind, ""))
            for kind, reference in meant.items()
        }


def _declining(reference: type[Layer], form: str) -> type[Layer]:
    """A layer that cannot be made: it declines the case, so that the reference does not answer in its place."""

    class WithoutKernel(reference):  # type: ignore[misc, valid-type]
        def __init__(self, *_: Any) -> None:
            raise Declined(f"no kernel for {reference.type}" + (f" as {form} has it" if form else ""))

    return WithoutKernel
