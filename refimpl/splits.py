"""Which layers a net keeps, and the Split layers that Caffe inserts (``src/caffe/net.cpp`` FilterNet,
``util/insert_splits.cpp``).

A blob used more than once gets a Split, so that its consumers' gradients can be added. A nonzero loss_weight counts
as one more use: the weight moves to the Split's first top, and the layer itself keeps none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from refimpl.errors import NetError
from refimpl.messages import LayerParameter, NetState, NetStateRule
from refimpl.quirk import LOSS_TUTORIAL, Quirk

if TYPE_CHECKING:
    from refimpl.dialect import Dialect

__all__ = ["QUIRKS", "included", "insert_splits", "is_inserted"]

QUIRKS = (
    Quirk(
        "implicit-weight-unsplit",
        "a consumed loss top with the implicit weight gets no Split: a consumer without a gradient silences the "
        "layer, one with a gradient overwrites the weight",
        "a consumed loss top keeps its weight of 1, and its consumers' gradients are added",
        f"src/caffe/util/insert_splits.cpp InsertSplits; {LOSS_TUTORIAL}",
        number=5,
    ),
    Quirk(
        "split-readds-implicit-weight",
        "a consumed loss top with an explicit weight is counted once more with weight 1: the weight moves to the "
        "Split and the loss layer, left without one, adds its implicit weight again",
        "a loss top counts once, with its weight",
        f"src/caffe/util/insert_splits.cpp InsertSplits, src/caffe/layers/loss_layer.cpp LayerSetUp; {LOSS_TUTORIAL}",
        number=6,
    ),
    Quirk(
        "split-drops-sibling-weights",
        "when one weighted top of a layer is consumed, the weights of all its tops are cleared",
        "every top keeps its own weight",
        f"src/caffe/util/insert_splits.cpp InsertSplits; {LOSS_TUTORIAL}",
        number=7,
    ),
)

Place = tuple[int, int]
"""A layer's index and the index of one of its tops or bottoms."""


def included(layer: LayerParameter, state: NetState) -> bool:
    """Whether the net's phase, level and stages admit the layer. Raises `NetError` where it has both include and
    exclude rules."""
    if layer.include and layer.exclude:
        raise NetError(
            "include and exclude rules exclude each other", "setup", layer.name, "give rules of one kind only"
        )
    if layer.include:
        return any(_meets(state, rule) for rule in layer.include)
    return not any(_meets(state, rule) for rule in layer.exclude)


def _meets(state: NetState, rule: NetStateRule) -> bool:
    return (
        (not rule.has("phase") or rule.phase == state.phase)
        and (not rule.has("min_level") or state.level >= rule.min_level)
        and (not rule.has("max_level") or state.level <= rule.max_level)
        and set(rule.stage) <= set(state.stage)
        and not set(rule.not_stage) & set(state.stage)
    )


@dataclass
class _Use:
    """One top of one layer: how often it is consumed, its weight in the loss, and the next Split top to hand out."""

    consumers: int = 0
    weight: float = 0.0
    handed_out: int = 0

    @property
    def splits(self) -> bool:
        return self.consumers + (self.weight != 0) > 1


def insert_splits(
    layers: Sequence[LayerParameter], dialect: Dialect, implicit_weight: Callable[[str], bool]
) -> list[LayerParameter]:
    """The layers with Splits inserted; ``implicit_weight`` tells whether a layer type's first top weighs 1 unasked.

    Raises `NetError` for a bottom that no earlier layer produces.
    """
    uses, sources = _count_uses(layers)
    _count_implicit_weights(layers, uses, dialect, implicit_weight)
    if not any(use.splits for use in uses.values()):
        return list(layers)
    result: list[LayerParameter] = []
    for i, layer in enumerate(layers):
        bottoms = []
        for j, name in enumerate(layer.bottom):
            place = sources[i, j]
            if uses[place].splits:
                first = uses[place].weight != 0
                name = _split_blob(layers[place[0]].name, name, place[1], uses[place].handed_out + first)
                uses[place].handed_out += 1
            bottoms.append(name)
        own = {j: uses[i, j] for j in range(len(layer.top))}
        weights = _weights_left(layer, own, dialect, implicit_weight(layer.type))
        result.append(replace(layer, bottom=tuple(bottoms), loss_weight=weights))
        result += _splits_of(layer, own)
    return result


def _count_uses(layers: Sequence[LayerParameter]) -> tuple[dict[Place, _Use], dict[Place, Place]]:
    """Every top's use, and for every bottom the top it comes from."""
    uses: dict[Place, _Use] = {}
    sources: dict[Place, Place] = {}
    newest: dict[str, Place] = {}
    for i, layer in enumerate(layers):
        for j, name in enumerate(layer.bottom):
            if name not in newest:
                raise NetError(
                    f"bottom {j} is {name!r}, which no layer above produces",
                    "setup",
                    layer.name,
                    "check the blob's name and the order of the layers",
                )
            sources[i, j] = newest[name]
            uses[newest[name]].consumers += 1
        for j, name in enumerate(layer.top):
            newest[name] = (i, j)
            uses[i, j] = _Use()
        for j, weight in zip(range(len(layer.top)), layer.loss_weight, strict=False):
            uses[newest[layer.top[j]]].weight = weight
    return uses, sources


def _count_implicit_weights(
    layers: Sequence[LayerParameter], uses: dict[Place, _Use], dialect: Dialect, implicit_weight: Callable[[str], bool]
) -> None:
    for i, layer in enumerate(layers):
        unasked = implicit_weight(layer.type) and layer.top and not layer.loss_weight
        if unasked and uses[i, 0].consumers and not dialect.takes("implicit-weight-unsplit"):
            uses[i, 0].weight = 1.0


def _weights_left(layer: LayerParameter, uses: dict[int, _Use], dialect: Dialect, implicit: bool) -> tuple[float, ...]:
    """What is left of a layer's weights once those of split tops have moved to their Splits."""
    moved = {j for j, use in uses.items() if use.splits and use.weight != 0}
    if not moved:
        return layer.loss_weight
    weights = [use.weight for use in uses.values()]
    siblings = any(weight != 0 for j, weight in enumerate(weights) if j not in moved)
    dropped = siblings and dialect.takes("split-drops-sibling-weights")
    left = [0.0 if dropped or j in moved else weight for j, weight in enumerate(weights)]
    explicit = implicit and bool(layer.loss_weight)
    if explicit and dialect.takes("split-readds-implicit-weight"):
        return (1.0, *left[1:]) if any(left[1:]) else ()
    return tuple(left)


def _splits_of(layer: LayerParameter, uses: dict[int, _Use]) -> Iterator[LayerParameter]:
    for j, use in uses.items():
        if not use.splits:
            continue
        count = use.consumers + (use.weight != 0)
        yield LayerParameter(
            name=f"{layer.top[j]}_{layer.name}_{j}_split",
            type="Split",
            bottom=(layer.top[j],),
            top=tuple(_split_blob(layer.name, layer.top[j], j, k) for k in range(count)),
            loss_weight=(use.weight, *[0.0] * (count - 1)) if use.weight != 0 else (),
        )


def _split_blob(layer: str, blob: str, index: int, split: int) -> str:
    return f"{blob}_{layer}_{index}_split_{split}"


def is_inserted(name: str, tops: Sequence[str]) -> bool:
    """Whether a Split of this name with these tops is one that `insert_splits` put there, and no layer of the net's
    text."""
    return name.endswith("_split") and all(top.startswith(f"{name}_") for top in tops)
