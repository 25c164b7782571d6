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
    """``forward`` and ``backward`` of one layer, as `foreign_layer` wants them: one request each.

    Requests do not build on each other. From version 2 on each carries all passes that the layer has been taken through
    since it was made, so that one object there goes through them all, and is asked for the last one's numbers; in
    version 1 it carries the last one alone.
    """

    def __init__(self, compute: Compute, version: int | None, param: LayerParameter) -> None:
        self._ask, self._version = compute, version
        self._layer = layer_message(param)
        self._passes: list[dict[str, Any]] = []
        self._bottoms: list[dict[str, Any]] = []

    def forward(self, bottoms: Sequence[Array]) -> list[Array]:
        """The tops. Raises `LayerError` for a refusal."""
        self._bottoms = _messages(bottoms)
        self._passes.append({"bottoms": self._bottoms})
        tops, _ = self._computed(bottoms)
        return tops

    def backward(
        self, top_diffs: Sequence[Array], bottoms: Sequence[Array], propagate_down: Sequence[bool]
    ) -> list[Array | None]:
        """The bottoms' gradients, None where none was asked for. Raises `LayerError` for a refusal."""
        asked = {"top_diffs": _messages(top_diffs, bottoms), "propagate_down": list(propagate_down)}
        held, now = self._passes[-1] if self._passes else {}, _messages(bottoms)
        unchanged = self._bottoms == now
        if unchanged and "top_diffs" not in held:
            held |= asked
        elif unchanged and self._version != 1:
            self._passes.append(asked)
        else:  # a layer in between has written into the bottoms
            self._passes.append({"bottoms": now, **asked})
            self._bottoms = now
        _, diffs = self._computed(bottoms)
        return diffs

    def _computed(self, bottoms: Sequence[Array]) -> Computed:
        fields = {"passes": self._passes} if self._version != 1 else self._passes[-1]
        answer = self._ask(bottoms[0].dtype.name, {"layer": self._layer, **fields})
        if isinstance(answer, Refusal):
            raise LayerError(answer.message)
        return answer


def _messages(arrays: Sequence[Array], like: Sequence[Array] | None = None) -> list[dict[str, Any]]:
    dtype = (like or arrays)[0].dtype.name
    return [array_message(array, dtype) for array in arrays]
