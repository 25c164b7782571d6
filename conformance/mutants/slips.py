"""Slip: one thing to get wrong in a layer, as a change of its class; and the changes that many slips are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.mutant import Mutant
from conformance.record.cause import Cause
from refimpl.blob import Blob
from refimpl.layer import Layer, refuse_labels_outside
from refimpl.layers import REGISTRY
from refimpl.layers.normalisation import Normalisation

__all__ = [
    "Alter",
    "At",
    "Blobs",
    "Slip",
    "control",
    "counting",
    "dividing",
    "gradient",
    "instead",
    "loss",
    "mutants_of",
    "reading",
    "recomputed",
    "weight",
]

Blobs = Sequence[Blob]
Values = Any
L = TypeVar("L", bound=Layer)
Alter = Callable[[type[Layer]], type[Layer]]


@dataclass(frozen=True)
class At:
    """The pass that a change happens in."""

    layer: Any
    bottom: Blobs
    top: Blobs

    @property
    def batch(self) -> int:
        return self.bottom[0].shape[int(self.layer.items_axis)]

    @property
    def entries(self) -> int:
        """Of one item of the first bottom."""
        return self.bottom[0].count // self.batch

    @property
    def normaliser(self) -> float:
        """What the layer divides by."""
        if not hasattr(self.layer, "normalisation"):
            return float(self.batch)
        divisor = self.layer.divisor
        return float(divisor(self.counted) if callable(divisor) else divisor)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which labels are not ignored, in the labels' shape."""
        if hasattr(self.layer, "read_labels"):
            counted: NDArray[np.bool_] = self.layer.read_labels(self.bottom)[1]
            return counted
        return np.asarray(self.layer.normalisation.counted(self.bottom[1].integers()))


Change = Callable[[Values, At], Values]


@dataclass(frozen=True)
class Slip:
    """One thing to get wrong. ``alter`` makes the wrong class of the right one; the other fields are a mutant's."""

    name: str
    wrong: str
    stands_for: str
    cause: Cause
    alter: Alter
    equivalent: str | None = None
    at_scale: bool = False
    dialect: str = "documented"


def mutants_of(stem: str, layer: type[Layer], slips: Iterable[Slip]) -> tuple[Mutant, ...]:
    """The mutants that a layer's slips make."""
    return tuple(
        Mutant(
            f"{stem}/{slip.name}",
            slip.wrong.format(type=layer.type),
            slip.stands_for,
            slip.cause,
            {layer.type: slip.alter(layer)},
            dialect=slip.dialect,
            form=layer.forms[0].name if layer.forms else "",
            equivalent=slip.equivalent,
            at_scale=slip.at_scale,
        )
        for slip in slips
    )


def control(alter: Alter, name: str = "control") -> Slip:
    """No slip: what the mutants beside it are made of, put together rightly."""
    return Slip(
        name,
        "Nothing: {type} is written anew as the mutants beside it are.",
        "a right implementation",
        Cause.NONE,
        alter,
        equivalent="a control: nothing is wrong",
    )


def instead(wrong: type[Layer]) -> Alter:
    """The class ``wrong`` in place of the right one."""
    return lambda layer: wrong


def loss(change: Change) -> Alter:
    """The first top changed after forward."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def forward(self, bottom: Blobs, top: Blobs) -> None:
                super().forward(bottom, top)
                top[0].data[...] = change(top[0].wide.copy(), At(self, bottom, top))

        return Wrong

    return alter


def gradient(change: Change, *only: int) -> Alter:
    """The gradients changed after backward, or those of ``only`` some bottoms."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
                super().backward(top, propagate_down, bottom)
                for i, (blob, wanted) in enumerate(zip(bottom, propagate_down, strict=True)):
                    if wanted and i in (only or range(len(bottom))):
                        blob.diff[...] = change(blob.wide_diff.copy(), At(self, bottom, top))

        return Wrong

    return alter


REWRITTEN = control(lambda layer: gradient(lambda x, at: x)(loss(lambda x, at: x)(layer)))
"""The control of losses whose mutants change what comes out of the right formula."""


def weight(change: Change) -> Alter:
    """Backward run with another value in the first top's diff."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
                held = top[0].diff.copy()
                top[0].diff[...] = change(held, At(self, bottom, top))
                super().backward(top, propagate_down, bottom)
                top[0].diff[...] = held

        return Wrong

    return alter


def reading(change: Change, which: int = 0, forward: bool = True, backward: bool = True) -> Alter:
    """A bottom read as something else than it holds, in one pass or both."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def forward(self, bottom: Blobs, top: Blobs) -> None:
                read = _read(forward, At(self, bottom, top))
                super().forward(read, top)

            def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
                read = _read(backward, At(self, bottom, top))
                super().backward(top, propagate_down, read)

        def _read(changed: bool, at: At) -> Blobs:
            if not changed or which >= len(at.bottom):
                return at.bottom
            copy = at.layer.context.blob(*at.bottom[which].shape)
            copy.data[...] = change(at.bottom[which].wide.copy(), at)
            copy.share_diff(at.bottom[which])
            return [copy if i == which else blob for i, blob in enumerate(at.bottom)]

        return Wrong

    return alter


def recomputed(change: Change, which: int) -> Alter:
    """Backward with a bottom read as something else than it holds, and what forward keeps for it made of that."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
                changed = change(bottom[which].wide.copy(), At(self, bottom, top))
                read = [self.context.blob(*blob.shape) for blob in bottom]
                for blob, own in zip(read, bottom, strict=True):
                    blob.data[...] = own.data
                    blob.share_diff(own)
                read[which].data[...] = changed
                scratch = [self.context.blob(*blob.shape) for blob in top]
                REGISTRY[self.type].forward(self, read, scratch)
                super().backward(top, propagate_down, read)

        return Wrong

    return alter


Divide = Callable[[Normalisation, int, NDArray[np.bool_]], float]
Count = Callable[[Normalisation, NDArray[np.int64]], NDArray[np.bool_]]


@dataclass(frozen=True)
class _WrongNormalisation(Normalisation):
    divide: Divide = Normalisation.divisor
    count: Count = Normalisation.counted

    def counted(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        return self.count(Normalisation(self.mode, self.ignored), labels)

    def divisor(self, batch: int, counted: NDArray[np.bool_]) -> float:
        return self.divide(Normalisation(self.mode, self.ignored), batch, counted)


def dividing(divide: Divide) -> Alter:
    """Another normaliser, for layers with a ``loss_param``: a function of mode, BATCH_SIZE's count and what counts."""
    return _normalising(lambda own: _WrongNormalisation(own.mode, own.ignored, divide=divide), True, True)


def counting(count: Count, forward: bool = True, backward: bool = True) -> Alter:
    """Another choice of the labels that count, for layers with a ``loss_param``, in one pass or both."""
    return _normalising(lambda own: _WrongNormalisation(own.mode, own.ignored, count=count), forward, backward)


def _normalising(wrong: Callable[[Normalisation], Normalisation], forward: bool, backward: bool) -> Alter:
    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            normalisation: Normalisation

            def setup(self, bottom: Blobs, top: Blobs) -> None:
                super().setup(bottom, top)
                own: Normalisation = self.normalisation
                self.right, self.wrong = own, wrong(own)

            def forward(self, bottom: Blobs, top: Blobs) -> None:
                self.normalisation = self.wrong if forward else self.right
                super().forward(bottom, top)

            def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
                self.normalisation = self.wrong if backward else self.right
                super().backward(top, propagate_down, bottom)

            def read_labels(self, bottom: Blobs) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
                """An ignored label that is counted is taken for the nearest class."""
                labels, classes = bottom[1].integers().reshape(self.positions), bottom[0].shape[self.axis]
                refuse_labels_outside(labels, classes, self.right.counted(labels))
                return np.clip(labels, 0, classes - 1), self.normalisation.counted(labels)

        if not hasattr(layer, "read_labels"):
            del Wrong.read_labels
        return Wrong

    return alter
