"""Weightless: loss layers with the commonest mistake of all, a backward pass that takes its top's diff for 1.

What a wrong gradient is right beside lacks the weight, and nothing else: no matter what else happened to it on its way
through the net.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from refimpl.blob import Blob
from refimpl.layer import Layer
from refimpl.layers import REGISTRY

__all__ = ["weightless"]


def weightless(types: Iterable[str], forms: Mapping[str, type[Layer]] | None = None) -> dict[str, type[Layer]]:
    """Layer classes of these types, or of the ``forms`` of some, that leave the diff of their first top out of their
    gradients."""
    classes = {**REGISTRY, **(forms or {})}
    return {kind: type(f"Weightless{kind}", (_Weightless, classes[kind]), {}) for kind in types}


class _Weightless(Layer):
    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        weight = top[0].diff.copy()
        top[0].diff[...] = 1.0
        super().backward(top, propagate_down, bottom)
        top[0].diff[...] = weight
