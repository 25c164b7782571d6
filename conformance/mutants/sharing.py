"""What is shared: state that two layers of one type have in common, and state that losses of all types have.

Every one of these is right as long as a net holds one loss layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from conformance.losses import LOSSES, Loss, loss_of_layer
from conformance.mutants.mutant import Mutant
from conformance.mutants.slips import Alter, At, Blobs, Slip, gradient, mutants_of, recomputed, weight
from conformance.record.cause import Cause
from refimpl.backward_plan import Node
from refimpl.layer import Layer
from refimpl.net import Net

__all__ = ["MUTANTS"]

STATIC = "static and class-level buffers of layers that are written for nets with one loss"
POOL = "scratch of a base class or of a pool, which forward fills for its own backward"


def _of_the_net(context: Any) -> dict[str, Any]:
    """A memory that all layers of one net share."""
    found: dict[str, Any] = context.__dict__.setdefault("memory", {})
    return found


def _shared_bottom(which: int) -> Alter:
    """What backward reads is what the last forward, of whichever layer, had there; it is repeated or cut to fit."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def forward(self, bottom: Blobs, top: Blobs) -> None:
                super().forward(bottom, top)
                _of_the_net(self.context)[self.type] = bottom[which].wide.copy()

        def shared(x: Any, at: At) -> Any:
            kept = _of_the_net(at.layer.context).get(at.layer.type)
            return kept if kept is not None and np.shape(kept) == np.shape(x) else x

        return recomputed(shared, which)(Wrong)

    return alter


def _shared_normaliser(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def forward(self, bottom: Blobs, top: Blobs) -> None:
            super().forward(bottom, top)
            _of_the_net(self.context)["normaliser"] = At(self, bottom, top).normaliser

    return gradient(lambda x, at: x * at.normaliser / _of_the_net(at.layer.context).get("normaliser", at.normaliser))(
        Wrong
    )


def _shared_weight(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def forward(self, bottom: Blobs, top: Blobs) -> None:
            super().forward(bottom, top)
            _of_the_net(self.context)["weight"] = top[0].diff.copy()

    return weight(lambda held, at: _of_the_net(at.layer.context).get("weight", held))(Wrong)


def _shared_count(layer: type[Layer]) -> type[Layer]:
    """A net's second layer of the type adds its loss to the first one's."""

    class Wrong(layer):  # type: ignore[misc, valid-type]
        def forward(self, bottom: Blobs, top: Blobs) -> None:
            super().forward(bottom, top)
            sums = _of_the_net(self.context).setdefault("sums", {})
            sums[id(self)] = top[0].wide.copy()
            top[0].data[...] = sum(sums.values())

    return Wrong


def _remembering(remembered: Callable[[At], Any]) -> type[Net]:
    """A net that remembers something of the last forward of any loss layer in it."""

    class Wrong(Net):
        def forward_layer(self, node: Node) -> Any | None:
            part = super().forward_layer(node)
            if loss_of_layer(node.layer):
                at = At(node.layer, self.bottoms_of(node), self.tops_of(node))
                _of_the_net(node.layer.context)["of any"] = remembered(at)
            return part

    return Wrong


def _of_any(at: At, own: Any) -> Any:
    return _of_the_net(at.layer.context).get("of any", own)


def _scores_of_any(x: Any, at: At) -> Any:
    held = _of_any(at, x)
    return held if np.shape(held) == np.shape(x) else x


_SLIPS = (
    Slip(
        "scores-shared-by-a-net",
        "Backward of {type} works on the scores that the last forward of any such layer had.",
        STATIC,
        Cause.STALE_BUFFER,
        _shared_bottom(0),
    ),
    Slip(
        "answers-shared-by-a-net",
        "Backward of {type} works on what the last forward of any such layer had as its second bottom.",
        STATIC,
        Cause.STALE_BUFFER,
        _shared_bottom(1),
    ),
    Slip(
        "normaliser-shared-by-a-net",
        "The gradient of {type} is divided by the normaliser of the last forward of any such layer.",
        STATIC,
        Cause.STALE_BUFFER,
        _shared_normaliser,
    ),
    Slip(
        "weight-shared-by-a-net",
        "The gradient of {type} carries the weight of the last forward of any such layer.",
        STATIC,
        Cause.WEIGHT_MISSING,
        _shared_weight,
    ),
    Slip(
        "sum-shared-by-a-net",
        "{type} adds its loss to those of the other such layers of the net.",
        STATIC,
        Cause.STALE_BUFFER,
        _shared_count,
    ),
)


def _between_types(stem: str, loss: Loss) -> Iterator[Mutant]:
    kind = loss.type
    yield Mutant(
        f"{stem}/scores-shared-by-all-losses",
        f"Backward of {kind} works on the scores that the last forward of any loss layer had, where they fit.",
        POOL,
        Cause.STALE_BUFFER,
        {kind: recomputed(_scores_of_any, 0)(loss.layer)},
        _remembering(lambda at: at.bottom[0].wide.copy()),
    )
    yield Mutant(
        f"{stem}/normaliser-shared-by-all-losses",
        f"The gradient of {kind} is divided by the normaliser of the last forward of any loss layer.",
        POOL,
        Cause.STALE_BUFFER,
        {kind: gradient(lambda x, at: x * at.normaliser / _of_any(at, at.normaliser))(loss.layer)},
        _remembering(lambda at: at.normaliser),
    )


MUTANTS: tuple[Mutant, ...] = (
    *(mutant for stem, loss in LOSSES.items() for mutant in mutants_of(stem, loss.layer, _SLIPS)),
    *(mutant for stem, loss in LOSSES.items() for mutant in _between_types(stem, loss)),
)
