"""What lasts too long: state of an earlier batch. Every one of these is right as long as a net sees one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from conformance.losses import LOSSES, Loss
from conformance.mutants.mutant import Mutant
from conformance.mutants.slips import Alter, At, Blobs, Slip, gradient, loss, mutants_of, reading, recomputed, weight
from conformance.record.cause import Cause
from refimpl.layer import Layer

__all__ = ["MUTANTS"]

EARLIER = "batches that reuse a layer's buffers, where tests make a new net for every batch"


def _own(layer: Any) -> dict[str, Any]:
    """A layer's memory."""
    found: dict[str, Any] = layer.__dict__.setdefault("memory", {})
    return found


def _kept_bottom(which: int) -> Alter:
    """A bottom that is read once, and again where its shape changes."""

    def first(x: Any, at: At) -> Any:
        kept = _own(at.layer).setdefault(f"bottom {which}", x)
        if np.shape(kept) != np.shape(x):
            kept = _own(at.layer)[f"bottom {which}"] = x
        return kept

    return reading(first, which)


def _kept_loss(layer: type[Layer]) -> type[Layer]:
    return loss(lambda x, at: _own(at.layer).setdefault("loss", x))(layer)


def _kept_weight(layer: type[Layer]) -> type[Layer]:
    return weight(lambda held, at: _own(at.layer).setdefault("weight", held))(layer)


def _kept_normaliser(layer: type[Layer]) -> type[Layer]:
    def stale(x: Any, at: At) -> Any:
        return x * at.normaliser / _own(at.layer).setdefault("normaliser", at.normaliser)

    return gradient(stale)(loss(stale)(layer))


def _one_behind(layer: type[Layer]) -> type[Layer]:
    """Backward on the scores of the forward before the last, where there was one of that shape."""

    class Wrong(layer):  # type: ignore[misc, valid-type]
        def forward(self, bottom: Blobs, top: Blobs) -> None:
            super().forward(bottom, top)
            memory = _own(self)
            memory["before"], memory["last"] = memory.get("last"), bottom[0].wide.copy()

    def behind(x: Any, at: At) -> Any:
        before = _own(at.layer)["before"]
        return before if before is not None and np.shape(before) == np.shape(x) else x

    return recomputed(behind, 0)(Wrong)


def _ring_of_two(layer: type[Layer]) -> type[Layer]:
    """Backward on the scores of the forward before the last where that had their shape and the last had not."""

    class Wrong(layer):  # type: ignore[misc, valid-type]
        def forward(self, bottom: Blobs, top: Blobs) -> None:
            super().forward(bottom, top)
            memory = _own(self)
            memory["ring"] = [*memory.get("ring", [])[-2:], bottom[0].wide.copy()]

    def stale(x: Any, at: At) -> Any:
        ring = _own(at.layer)["ring"]
        return ring[0] if len(ring) == 3 and np.shape(ring[0]) == np.shape(x) != np.shape(ring[1]) else x

    return recomputed(stale, 0)(Wrong)


def _first_of_forwards(layer: type[Layer]) -> type[Layer]:
    """Backward on the scores of the first forward since the last backward, where they have that shape."""

    class Wrong(layer):  # type: ignore[misc, valid-type]
        def forward(self, bottom: Blobs, top: Blobs) -> None:
            super().forward(bottom, top)
            _own(self).setdefault("pending", bottom[0].wide.copy())

        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            super().backward(top, propagate_down, bottom)
            _own(self).pop("pending", None)

    def first(x: Any, at: At) -> Any:
        pending = _own(at.layer).get("pending", x)
        return pending if np.shape(pending) == np.shape(x) else x

    return recomputed(first, 0)(Wrong)


def _never_grown(layer: type[Layer]) -> type[Layer]:
    def cut(x: Any, at: At) -> Any:
        x[_own(at.layer).setdefault("items", at.batch) :] = 0
        return x

    return gradient(cut)(layer)


def _third(x: Any, at: At) -> Any:
    memory = _own(at.layer)
    memory["times"] = memory.get("times", 0) + 1
    return 1.01 * x if memory["times"] == 3 else x


def _skipped(skip: Callable[[Any, Blobs], bool]) -> Alter:
    """Backward left out where there seems to be nothing to do."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def forward(self, bottom: Blobs, top: Blobs) -> None:
                super().forward(bottom, top)
                _own(self)["fresh"] = True

            def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
                if not skip(self, top):
                    super().backward(top, propagate_down, bottom)
                _own(self)["fresh"] = False

        return Wrong

    return alter


def _zeros_unwritten(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            before = [blob.diff.copy() for blob in bottom]
            super().backward(top, propagate_down, bottom)
            for blob, held, wanted in zip(bottom, before, propagate_down, strict=True):
                if wanted:
                    blob.diff[...] = np.where(blob.diff == 0, held, blob.diff)

    return Wrong


_ALWAYS = (
    Slip(
        "loss-of-the-first-batch",
        "{type} reports the loss of its first batch for ever.",
        EARLIER,
        Cause.STALE_BUFFER,
        _kept_loss,
    ),
    Slip(
        "weight-of-the-first-batch",
        "Backward of {type} multiplies by what its top's diff held in the first pass.",
        EARLIER,
        Cause.STALE_BUFFER,
        _kept_weight,
    ),
    Slip(
        "scores-one-batch-behind",
        "Backward of {type} works on the scores of the forward pass before the last.",
        "double buffers that are swapped at the wrong end",
        Cause.STALE_BUFFER,
        _one_behind,
    ),
    Slip(
        "scores-of-a-size-met-before",
        "Where sizes alternate, backward of {type} works on the scores of the last batch but one.",
        "buffers that are kept by size, and filled only where the size is another than two batches ago",
        Cause.STALE_BUFFER,
        _ring_of_two,
    ),
    Slip(
        "scores-of-the-first-forward",
        "Of several forward passes without a backward in between, backward of {type} works on the first one's scores.",
        "what a forward keeps until a backward takes it, where batches are evaluated between others that train",
        Cause.STALE_BUFFER,
        _first_of_forwards,
    ),
    Slip(
        "buffers-never-grow",
        "Items beyond the size of its first batch get no gradient from {type}.",
        "buffers sized when the first batch comes",
        Cause.STALE_BUFFER,
        _never_grown,
    ),
    Slip(
        "gradient-wrong-the-third-time",
        "The gradient of {type} is 1 % too large in the third pass, and right otherwise.",
        "a warm-up, or kernels that are chosen after a few runs",
        Cause.COMMON_FACTOR,
        gradient(_third),
    ),
    Slip(
        "loss-wrong-the-third-time",
        "The loss of {type} is 1 % too large in the third pass, and right otherwise.",
        "a running average that sets in late",
        Cause.COMMON_FACTOR,
        loss(_third),
    ),
    Slip(
        "zero-weight-writes-nothing",
        "Where the top's diff is 0, {type} leaves the bottoms' diffs as they were.",
        "a shortcut for losses that are switched off",
        Cause.STALE_BUFFER,
        _skipped(lambda layer, top: not np.any(top[0].diff)),
    ),
    Slip(
        "backward-once-for-a-forward",
        "A second backward of {type} without a forward in between leaves the bottoms' diffs as they were.",
        "graphs that are freed by their backward pass",
        Cause.STALE_BUFFER,
        _skipped(lambda layer, top: not _own(layer).get("fresh")),
    ),
    Slip(
        "zeros-not-written",
        "Where the gradient of {type} is 0, the diff keeps what it held.",
        "loops over the entries that count",
        Cause.STALE_BUFFER,
        _zeros_unwritten,
    ),
)


def _slips(loss: Loss) -> Iterator[Slip]:
    yield from _ALWAYS
    for which, bottom in enumerate(loss.bottoms):
        yield Slip(
            f"{bottom.name.lower()}-of-the-first-batch",
            f"{{type}} reads bottom {which} once, and again where its shape changes.",
            EARLIER,
            Cause.STALE_BUFFER,
            _kept_bottom(which),
        )
    if loss.ignores:
        yield Slip(
            "normaliser-of-the-first-batch",
            "{type} divides by the normaliser of its first batch.",
            EARLIER,
            Cause.STALE_BUFFER,
            _kept_normaliser,
        )


MUTANTS: tuple[Mutant, ...] = tuple(
    mutant for stem, loss in LOSSES.items() for mutant in mutants_of(stem, loss.layer, _slips(loss))
)
