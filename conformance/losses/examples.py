"""Examples: the nets and values that a description has beside its variants, each with what it is to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.contract.case import Array
from conformance.losses.options import Option, Options
from conformance.losses.roles import Shape

__all__ = ["LABEL_COUNTS", "Extreme", "FormNet", "LargeCount", "Misreading", "QuirkNet", "Refused"]


@dataclass(frozen=True)
class Extreme:
    """The loss on extreme values: ``bottoms`` in the order of the layer's, ``facets`` of the requirements it serves."""

    name: str
    facets: tuple[str, ...]
    bottoms: tuple[Array, ...]
    options: Options = field(default_factory=dict)
    weight: float = 2.5


@dataclass(frozen=True)
class LargeCount:
    """Bottoms whose loss is a sum of many terms, and the exact loss."""

    bottoms: tuple[Array, ...]
    exact: float


@dataclass(frozen=True)
class Refused:
    """The loss changed in one thing, which Caffe refuses at ``stage``; what ``refusal.<facet>`` is about.

    ``declared`` and ``fed`` are shapes other than those that are right, ``bottoms`` another list of them.
    """

    name: str
    facet: str
    stage: str = "setup"
    declared: Mapping[str, Shape] = field(default_factory=dict)
    fed: Mapping[str, Shape] = field(default_factory=dict)
    bottoms: tuple[str, ...] | None = None
    options: Options = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def counts(cls, *each: Mapping[str, Shape]) -> Iterator[Refused]:
        """Shapes with answers too many or too few, as declared and as fed."""
        for shapes in each:
            word = "-".join(f"{name}-{'x'.join(map(str, shape))}" for name, shape in shapes.items())
            yield cls(f"label-count-{word}", "label-count", declared=shapes)
            yield cls(f"label-count-fed-{word}", "label-count", "forward", fed=shapes)


LABEL_COUNTS = tuple(Refused.counts({"y": (2, 2)}, {"x": (2, 3, 2, 2)}, {"x": (2, 3, 2, 2), "y": (2, 3)}))
"""Of scores with a label for each position beside the classes."""


@dataclass(frozen=True)
class QuirkNet:
    """A net that touches ``quirk`` and no other; ``fields`` are further fields of `Case`.

    ``shows`` tells it from another net for the same quirk. ``undefined`` where Caffe's side is undefined behaviour:
    then dying is taking that side.
    """

    quirk: str
    net: str
    shows: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    undefined: bool = False


@dataclass(frozen=True)
class FormNet:
    """One layer on which forks that mean several things by its type differ: each form computes it or refuses it.

    ``bottoms`` are the layer's, in order, of which those in ``learnt`` take a gradient; ``options`` are text, for what
    one form reads another may not know. A second top weighs 0.
    """

    name: str
    bottoms: Mapping[str, Array]
    learnt: str
    options: str = ""
    tops: tuple[str, ...] = ("loss",)


@dataclass(frozen=True)
class Misreading:
    """An option taken for other ``values``, made of the one that holds; ``cause`` is the diagnosis's word for it."""

    option: str
    cause: str
    values: Callable[[Any], tuple[Option, ...]]
