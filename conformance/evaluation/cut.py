"""Cut: a net's heads without what lies under them: what remains of it once blobs are given and no longer computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from conformance.audit.graph import is_loss
from conformance.audit.paper import PaperLayer
from conformance.contract.errors import UsageError, unknown
from refimpl.blob import Blob
from refimpl.layers import REGISTRY
from refimpl.layers.input import Input
from refimpl.messages import BlobShape, InputParameter, LayerParameter

__all__ = ["Cut", "cut_at", "suggested"]

Stops = Callable[[LayerParameter, Sequence[str]], bool]
"""Whether a layer is left out, and those of its tops that are wanted are given."""


@dataclass
class Cut:
    """``heads`` are the layers that compute the loss, in the net's order, ``inputs`` the blobs that they are given, by
    the layer that makes them in the whole net; None where none does. Under those in ``learning`` something learns.
    ``partial`` are heads and inputs that lie under another input too, so that their gradients lack what came through
    that.
    """

    heads: list[LayerParameter] = field(default_factory=list)
    inputs: dict[str, LayerParameter | None] = field(default_factory=dict)
    learning: set[str] = field(default_factory=set)
    partial: list[str] = field(default_factory=list)

    def layers(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[LayerParameter, ...]:
        """An Input for every blob that is given, of its shape, and the heads."""
        inputs = [
            LayerParameter(
                name=f"{name} (given)",
                type="Input",
                top=(name,),
                input_param=InputParameter(shape=(BlobShape(dim=shapes[name]),)),
            )
            for name in self.inputs
        ]
        return (*inputs, *(replace(layer, include=(), exclude=()) for layer in self.heads))

    def classes(self) -> dict[str, type[Input]]:
        """The class of the Inputs: they ask for a gradient where something learns under the blob in the whole net."""
        learning = self.learning

        class Given(Input):
            def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
                super().setup(bottom, top)
                self.blobs = [blob for blob, name in zip(top, self.param.top, strict=True) if name in learning]

        return {"Input": Given}


def cut_at(layers: Sequence[LayerParameter], blobs: Sequence[str]) -> Cut:
    """The heads over ``blobs``; ``layers`` are those of the phase. Of a blob that layers work on in place, the last
    state is given. What comes from data layers is given, too.

    Every layer that has a weight in the loss is a head, and so is one that reads its top, for that changes weights.
    Raises `UsageError` where the blobs do not cut the net.
    """
    named = set(blobs)

    def stops(layer: LayerParameter, wanted: Sequence[str]) -> bool:
        beside = [top for top in wanted if top not in named]
        if _is_data(layer) or not beside:
            return True
        if len(beside) < len(wanted):
            raise UsageError(f"layer {layer.name} makes {', '.join(beside)} beside the blobs of --from: give that, too")
        return False

    cut = _cut(layers, stops)
    for name in sorted(named - cut.inputs.keys()):
        made = [top for layer in layers for top in layer.top]
        if name not in made:
            raise unknown("blob", name, made)
        raise UsageError(
            f"--from {name}: no loss is computed from it, or only by way of another blob of --from"
            if all(name not in head.top for head in cut.heads)
            else f"--from {name}: it has a weight in the loss; cut under it"
        )
    return cut


def suggested(layers: Sequence[LayerParameter]) -> list[str]:
    """Blobs to cut at so that neither a layer type that the reference lacks nor one that learns is left: as few as can
    be, and of equally few those nearest to the data. None where that cannot be done."""

    def lacks_or_learns(layer: LayerParameter, wanted: Sequence[str]) -> bool:
        return _is_data(layer) or not _is_known(layer) or bool(_rates(layer))

    found = [_blobs(layers, stops) for stops in (lacks_or_learns, lambda layer, wanted: True)]
    return min(filter(None, found), key=len, default=[])


def _blobs(layers: Sequence[LayerParameter], stops: Stops) -> list[str]:
    """What to name in a cut of this kind; nothing where layers that are lacking are left."""
    try:
        given = {name: layer for name, layer in _cut(layers, stops).inputs.items() if layer is not None}
        blobs = [name for name, layer in given.items() if not _is_data(layer)] or list(given)
        return sorted(blobs) if blobs and all(map(_is_known, cut_at(layers, blobs).heads)) else []
    except UsageError:
        return []


def _cut(layers: Sequence[LayerParameter], stops: Stops) -> Cut:
    """From the last layer up: who is wanted is a head, unless it ``stops`` the search."""
    weighted = {top for layer in layers if _is_weighted(layer) for top in layer.top}
    learns = _learning(layers)
    cut = Cut()
    wanted: dict[str, None] = {}
    under: set[str] = set()
    for index in reversed(range(len(layers))):
        layer = layers[index]
        lower = not under.isdisjoint(layer.top)
        if lower:
            under = under.difference(layer.top).union(layer.bottom)
        asked = [top for top in layer.top if top in wanted]
        seed = _is_weighted(layer) or not weighted.isdisjoint(layer.bottom)
        if not asked and not seed:
            continue
        for top in asked:
            del wanted[top]
        if seed or not stops(layer, asked):
            cut.heads.insert(0, layer)
            _want(layer.bottom, wanted, cut)
            cut.partial += [layer.name] if lower and learns[index] else []
            continue
        under.update(layer.bottom)
        for top in asked:
            cut.inputs[top] = layer
            if learns[index]:
                cut.learning.add(top)
                cut.partial += [top] if lower else []
    cut.inputs |= dict.fromkeys(wanted)
    return cut


def _want(blobs: Iterable[str], wanted: dict[str, None], cut: Cut) -> None:
    for name in blobs:
        if name in cut.inputs:
            raise UsageError(
                f"{name} is read before and after a layer works on it in place, so that it cannot be given: "
                "cut above or under it"
            )
        wanted[name] = None


def _learning(layers: Sequence[LayerParameter]) -> list[bool]:
    """Whether something learns in or under each layer."""
    carrying: set[str] = set()
    learns = []
    for layer in layers:
        learns.append(any(_rates(layer)) or not carrying.isdisjoint(layer.bottom))
        (carrying.update if learns[-1] else carrying.difference_update)(layer.top)
    return learns


def _rates(layer: LayerParameter) -> list[float]:
    """The lr_mult of each learnable blob."""
    count = len(PaperLayer(layer, []).blobs)
    return [spec.lr_mult for spec in layer.param[:count]] + [1.0] * (count - len(layer.param))


def _is_weighted(layer: LayerParameter) -> bool:
    return any(layer.loss_weight) or (is_loss(layer.type) and not layer.loss_weight)


def _is_known(layer: LayerParameter) -> bool:
    return layer.type in REGISTRY


def _is_data(layer: LayerParameter) -> bool:
    """Whether the layer's tops are for the user to give: they come from nowhere in the net."""
    return not layer.bottom and (layer.type == "Input" or not _is_known(layer))
