"""Net: filtered, split, set up, planned and run as ``insert_splits.cpp`` and ``net.cpp`` say."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import tests.plain_caffe.losses  # noqa: F401 - adds the losses to LAYERS
from refimpl.messages import LayerParameter
from refimpl.prototxt import parse_net
from tests.plain_caffe.blob import Blob, Refused
from tests.plain_caffe.layers import LAYERS

__all__ = ["Net"]


def with_splits(layers: list[LayerParameter]) -> list[LayerParameter]:
    """A blob with several uses, an explicit loss weight being one, goes through a Split layer."""
    made_by: dict[str, tuple[int, int]] = {}
    source: dict[tuple[int, int], tuple[int, int]] = {}
    uses: Counter[tuple[int, int]] = Counter()
    weight: dict[tuple[int, int], float] = {}
    for i, layer in enumerate(layers):
        for j, name in enumerate(layer.bottom):
            if name not in made_by:
                raise Refused("setup")
            source[i, j] = made_by[name]
            uses[made_by[name]] += 1
        for j, name in enumerate(layer.top):
            made_by[name] = (i, j)
        for j, w in list(enumerate(layer.loss_weight))[: len(layer.top)]:
            weight[made_by[layer.top[j]]] = w
            uses[made_by[layer.top[j]]] += 1 if w else 0
    given: Counter[tuple[int, int]] = Counter()
    result: list[LayerParameter] = []

    def name_of(blob: str, at: tuple[int, int]) -> str:
        return f"{blob}_{layers[at[0]].name}_{at[1]}_split"

    for i, layer in enumerate(layers):
        bottoms = list(layer.bottom)
        for j, name in enumerate(bottoms):
            at = source[i, j]
            if uses[at] > 1:
                bottoms[j] = f"{name_of(name, at)}_{given[at]}"
                given[at] += 1
        kept = replace(layer, bottom=tuple(bottoms))
        splits = []
        for j, name in enumerate(layer.top):
            at = (i, j)
            if uses[at] > 1:
                split = name_of(name, at)
                tops = tuple(f"{split}_{k}" for k in range(uses[at]))
                weights = (weight[at], *[0.0] * (uses[at] - 1)) if weight.get(at) else ()
                splits.append(LayerParameter(name=split, type="Split", bottom=(name,), top=tops, loss_weight=weights))
                if weight.get(at):
                    kept = replace(kept, loss_weight=())
                    given[at] += 1
        result += [kept, *splits]
    return result


def fits(count: int, allowed: object) -> bool:
    if isinstance(allowed, tuple):
        low, high = allowed
        return count >= low and (high is None or count <= high)
    return count == allowed


class Net:
    """``blobs`` by name, ``layers`` as [param, layer, bottoms, tops, needs backward, which bottoms do]."""

    def __init__(self, text: str) -> None:
        param = parse_net(text)
        self.blobs: dict[str, Blob] = {}
        self.layers: list[list] = []
        needing: set[int] = set()
        self.names: dict[int, str] = {}
        for one in with_splits(list(param.layer)):
            self._append(one, needing)
        self._plan(param.force_backward)

    def _append(self, param, needing) -> None:
        layer = LAYERS[param.type](param)
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            raise Refused("setup")
        bottom = [self.blobs[name] for name in param.bottom]
        asked = [id(blob) in needing for blob in bottom]
        needed = any(asked)
        if param.propagate_down:
            asked = list(param.propagate_down)
        top = []
        for i, name in enumerate(param.top):
            if i < len(param.bottom) and param.bottom[i] == name:
                top.append(self.blobs[name])
            elif name in self.blobs:
                raise Refused("setup")
            else:
                self.blobs[name] = Blob()
                top.append(self.blobs[name])
        if layer.automatic and not top:
            top = [Blob()]
        for blob, name in zip(top, param.top or ("(automatic)",), strict=False):
            self.names[id(blob)] = name
        if not fits(len(bottom), layer.bottoms) or not fits(len(top), layer.tops):
            raise Refused("setup")
        layer.setup(bottom, top)
        layer.reshape(bottom, top)
        layer.loss = [0.0] * len(top)
        if layer.weights:
            if len(layer.weights) != len(top):
                raise Refused("setup")
            for i, weight in enumerate(layer.weights):
                if weight:
                    layer.loss[i] = weight
                    top[i].diff[:] = weight
        for i in range(len(layer.blobs)):
            layer.ask[i] = i >= len(param.param) or param.param[i].lr_mult != 0
            needed = needed or layer.ask[i]
        if needed:
            needing.update(id(blob) for blob in top)
        self.layers.append([param, layer, bottom, top, needed, asked])

    def _plan(self, force: bool) -> None:
        under_loss: set[str] = set()
        skipped: set[str] = set()
        for node in reversed(self.layers):
            _, layer, bottom, top, needed, asked = node
            names = [self.names[id(blob)] for blob in top]
            contributes = any(layer.loss[i] or name in under_loss for i, name in enumerate(names))
            if needed and all(name in skipped for name in names):
                needed = False
                asked[:] = [False] * len(asked)
            node[4] = needed and contributes
            for i, blob in enumerate(bottom):
                name = self.names[id(blob)]
                if contributes:
                    under_loss.add(name)
                else:
                    asked[i] = False
                if not asked[i]:
                    skipped.add(name)
        for node in self.layers if force else ():
            layer, asked = node[1], node[5]
            node[4] = True
            asked[:] = [each or layer.allow_force_backward(i) for i, each in enumerate(asked)]
            layer.ask = [True] * len(layer.ask)

    def forward(self) -> float:
        total = 0.0
        for _, layer, bottom, top, _, _ in self.layers:
            try:
                layer.reshape(bottom, top)
            except Refused:
                raise Refused("forward") from None
            layer.forward(bottom, top)
            for blob, weight in zip(top, layer.loss, strict=True):
                if weight:
                    total += float(sum(blob.data * blob.diff))
        return total

    def backward(self) -> None:
        for _, layer, bottom, top, needed, asked in reversed(self.layers):
            if needed:
                layer.backward(top, asked, bottom)

    def clear(self) -> None:
        for _, layer, *_ in self.layers:
            for blob in layer.blobs:
                blob.diff[:] = 0.0
