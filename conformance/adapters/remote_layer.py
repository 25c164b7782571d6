"""Remote layer: one layer of the reference's net, computed by a process of capability "layer" (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from conformance.contract.case import Array
from conformance.contract.outcome import Refusal
from conformance.protocol import array_message, layer_message
from refimpl.errors import LayerError
from refimpl.messages import LayerParameter

__all__ = ["Computed", "RemoteLayer"]

Computed = tuple[list[Array], list[Array | None]]
"""A layer's tops, and its bottoms' gradients."""

Compute = Callable[[str, Mapping[str, Any]], Computed | Refusal]
"""Asks the process for one layer, given the dtype and the request's fields. Raises what `Implementation.run` raises."""


class RemoteLayer:
    """``forward`` and ``backward`` of one layer, as `foreign_layer` wants them: one request each."""

    def __init__(self, compute: Compute, param: LayerParameter) -> None:
        self._ask = compute
        self._layer = layer_message(param)

    def forward(self, bottoms: Sequence[Array]) -> list[Array]:
        """The tops. Raises `LayerError` for a refusal."""
        tops, _ = self._compute(bottoms, {})
        return tops

    def backward(
        self, top_diffs: Sequence[Array], bottoms: Sequence[Array], propagate_down: Sequence[bool]
    ) -> list[Array | None]:
        """The bottoms' gradients, None where none was asked for. Raises `LayerError` for a refusal."""
        dtype = bottoms[0].dtype.name
        messages = [array_message(diff, dtype) for diff in top_diffs]
        _, diffs = self._compute(bottoms, {"top_diffs": messages, "propagate_down": list(propagate_down)})
        return diffs

    def _compute(self, bottoms: Sequence[Array], backward: Mapping[str, Any]) -> Computed:
        dtype = bottoms[0].dtype.name
        messages = [array_message(bottom, dtype) for bottom in bottoms]
        answer = self._ask(dtype, {"layer": self._layer, "bottoms": messages, **backward})
        if isinstance(answer, Refusal):
            raise LayerError(answer.message)
        return answer
