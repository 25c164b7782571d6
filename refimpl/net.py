"""Net: layers, the blobs between them, and the loss they add up to (``src/caffe/net.cpp``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from refimpl.arithmetic import exact_sum
from refimpl.backward_plan import Node, plan_backward
from refimpl.blob import Blob, Storage, Zeros
from refimpl.dialect import Dialect
from refimpl.dtypes import DOUBLE, TypeClaim
from refimpl.errors import LayerError, NetError
from refimpl.layer import Layer, LayerContext
from refimpl.layers import REGISTRY
from refimpl.messages import LayerParameter, NetParameter
from refimpl.prototxt import parse_net
from refimpl.running_error import Approx, Flags, Rounding
from refimpl.splits import included, insert_splits

__all__ = ["AUTOMATIC_TOP", "Met", "Net"]

AUTOMATIC_TOP = "(automatic)"


@dataclass(frozen=True)
class Met:
    """What a net has met so far: ``touched`` are the quirks whose situation has arisen, ``departed`` the departures in
    whose region it has been. With error bounds, too: whether a result has ``overflowed``, and whether a step or a sign
    was ``blurred``, on either side of its kink.
    """

    touched: frozenset[str]
    departed: frozenset[str]
    overflowed: bool
    blurred: bool


class Net:
    """A net built from a prototxt, in one dialect and one storage type.

    ``dtype`` names a type or a claim of types (the arithmetic is float64, rounded where a layer writes), "complex128"
    (complex-step differentiation) or is a `Rounding`: then every blob carries the bound on its error; or what makes an
    array of zeros in a storage of the caller's. ``layers`` replaces the class of a layer type, ``files`` the file
    system for layers that read a source, ``dialect`` is a name or a `Dialect`.

    ``blobs`` maps a name to its `Blob`, ``params`` a layer's name to its learnable blobs, ``layers`` lists the nodes
    after splitting, ``outputs`` the blobs that nothing consumes, sorted by name as in Caffe; ``zeros`` makes an array
    in the storage of what layers keep.

    Raises `NetError` where Caffe refuses the net: ``stage`` is parse or setup here, forward or backward in the passes.
    """

    def __init__(
        self,
        text: str | NetParameter,
        phase: str = "TRAIN",
        dialect: str | Dialect = "documented",
        dtype: str | Rounding | Zeros = DOUBLE.name,
        layers: Mapping[str, type[Layer]] | None = None,
        files: Mapping[str, bytes] | None = None,
        level: int | None = None,
        stages: Sequence[str] = (),
    ) -> None:
        if phase not in ("TRAIN", "TEST"):
            raise ValueError(f"no phase named {phase!r}: use 'TRAIN' or 'TEST'")
        self.dialect = Dialect.named(dialect) if isinstance(dialect, str) else dialect
        self.phase = phase
        self._registry: dict[str, type[Layer]] = {**REGISTRY, **self.dialect.classes, **(layers or {})}
        self._flags = Flags()
        self._storage = _storage(dtype, self._flags)
        self.zeros = self._storage.keep
        self._context = LayerContext(self.dialect, self.zeros, phase, dict(files or {}))
        param = parse_net(text) if isinstance(text, str) else text
        for layer in param.layer:
            if layer.own and layer.type in self._registry:
                with _Stage("parse", layer.name):
                    self._registry[layer.type].refuse_fields_of_other_forms(layer)
        self.name = param.name
        state = replace(
            param.state,
            phase=phase,
            level=param.state.level if level is None else level,
            stage=(*param.state.stage, *stages),
        )
        kept = [layer for layer in param.layer if included(layer, state)]
        self.param = replace(param, layer=tuple(insert_splits(kept, self.dialect, self._has_implicit_weight)))
        self.blobs: dict[str, Blob] = {}
        self.params: dict[str, list[Blob]] = {}
        self.layers: list[Node] = []
        self._all_blobs: list[Blob] = []
        self._open: dict[str, int] = {}
        self._named: dict[str, int] = {}
        self._parameter_owners: dict[str, tuple[str, Blob]] = {}
        for layer in self.param.layer:
            self._append(layer)
        plan_backward(self.layers, self.dialect, param.force_backward)
        self.outputs: list[str] = sorted(self._open)

    @property
    def met(self) -> Met:
        """What has been met so far."""
        touched = frozenset(self.dialect.touched).union(*(node.layer.unsettled for node in self.layers))
        return Met(touched, frozenset(self.dialect.departed), self._flags.overflowed, self._flags.blurred)

    @property
    def asked(self) -> bool:
        """Whether a side of any quirk has made a difference so far, or may yet; else every dialect runs alike."""
        return self.dialect.asked or any(node.layer.unsettled for node in self.layers)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Every weighted top's weight, by the blob's name."""
        return {top: w for node in self.layers for top, w in zip(node.tops, node.loss_weights, strict=True) if w != 0}

    def bottoms_of(self, node: Node) -> list[Blob]:
        return [self._all_blobs[i] for i in node.bottom_ids]

    def tops_of(self, node: Node) -> list[Blob]:
        return [self._all_blobs[i] for i in node.top_ids]

    def reshape(self, stage: str = "setup") -> None:
        """Give every blob the shape that follows from the inputs', without computing; ``stage`` is where a layer's
        refusal falls."""
        for node in self.layers:
            with _Stage(stage, node.name):
                node.layer.run_reshape(self.bottoms_of(node), self.tops_of(node))

    def forward(self) -> Any:
        """Run every layer forward; the net's loss: the sum over layers and tops of ``loss_weight * sum(top)``.

        A float, a complex number or an `Approx` of shape (), as the net's storage is.
        """
        if not self.layers:
            raise NetError(
                "a net without layers has nothing to run", "forward", hint="check the include and exclude rules"
            )
        parts = [self.forward_layer(node) for node in self.layers]
        total = _summed([part for part in parts if part is not None])
        return total if isinstance(total, Approx) else total.item()

    def forward_layer(self, node: Node) -> Any | None:
        """Run one layer forward; its part of the loss, None where it has no weighted top."""
        with _Stage("forward", node.name):
            return node.layer.run_forward(self.bottoms_of(node), self.tops_of(node))

    def backward(self) -> None:
        """Run the layers that need it backward: bottom diffs are overwritten, parameter diffs added to."""
        for node in reversed(self.layers):
            self.backward_layer(node)

    def backward_layer(self, node: Node) -> None:
        """Run one layer backward, if it needs to."""
        if node.need_backward:
            with _Stage("backward", node.name):
                node.layer.backward(self.tops_of(node), node.bottom_need_backward, self.bottoms_of(node))

    def clear_param_diffs(self) -> None:
        """Set the diffs of all learnable blobs to zero."""
        for blobs in self.params.values():
            for blob in blobs:
                blob.diff[...] = 0.0

    def _has_implicit_weight(self, layer_type: str) -> bool:
        return layer_type in self._registry and self._registry[layer_type].implicit_weight

    def _append(self, param: LayerParameter) -> None:
        with _Stage("setup", param.name):
            if param.propagate_down and len(param.propagate_down) != len(param.bottom):
                raise LayerError(
                    f"{len(param.propagate_down)} propagate_down for {len(param.bottom)} bottom(s)",
                    "give propagate_down once per bottom, or not at all",
                )
            if param.type not in self._registry:
                known = ", ".join(sorted(self._registry))
                raise LayerError(f"unknown layer type {param.type!r}", f"known types: {known}")
            layer = self._registry[param.type](param, self._context)
            bottom_ids = tuple(self._consume(name) for name in param.bottom)
            top_ids = tuple(self._produce(name, param, i) for i, name in enumerate(param.top))
            tops = param.top
            if layer.automatic_tops:
                missing = max(layer.min_tops or 0, layer.exact_tops or 0) - len(tops)
                top_ids += tuple(self._new_blob(AUTOMATIC_TOP) for _ in range(missing))
                tops += (AUTOMATIC_TOP,) * max(missing, 0)
            node = Node(param.name, param.type, layer, list(param.bottom), list(tops), bottom_ids, top_ids)
            bottom, top = self.bottoms_of(node), self.tops_of(node)
            layer.check_counts(len(bottom), len(top))
            layer.check_fields(len(top))
            if layer.implicit_weight and top and top[0] not in bottom:
                top[0].move(self._storage.loss, self._storage.loss)
            layer.setup(bottom, top)
            for blob in layer.blobs:
                blob.move(self._storage.data, self._storage.diff)
            layer.reshape(bottom, top)
            layer.set_loss_weights(top)
            self._share_parameters(param, layer)
        self.layers.append(node)
        if layer.blobs:
            self.params[param.name] = layer.blobs

    def _consume(self, name: str) -> int:
        if name not in self._open:
            raise LayerError(
                f"bottom {name!r} is produced by no layer above", "check the blob's name and the order of the layers"
            )
        return self._open.pop(name)

    def _produce(self, name: str, param: LayerParameter, index: int) -> int:
        in_place = index < len(param.bottom) and param.bottom[index] == name
        if in_place:
            self._open[name] = self._named[name]
        elif name in self._named:
            raise LayerError(f"top blob {name!r} is produced by more than one layer", "give the tops different names")
        else:
            self._open[name] = self._named[name] = self._new_blob(name)
        return self._named[name]

    def _new_blob(self, name: str) -> int:
        blob = Blob(self._storage.data, (), self._storage.diff)
        self._all_blobs.append(blob)
        self.blobs[name] = blob
        return len(self._all_blobs) - 1

    def _share_parameters(self, param: LayerParameter, layer: Layer) -> None:
        """Parameters of one name are one: later ones share the first one's data and diff."""
        if len(param.param) > len(layer.blobs):
            raise LayerError(
                f"{len(param.param)} param specs for {len(layer.blobs)} learnable blob(s)", "give at most one per blob"
            )
        for spec, blob in zip(param.param, layer.blobs, strict=False):
            if not spec.name:
                continue
            owner, shared = self._parameter_owners.setdefault(spec.name, (param.name, blob))
            matches = shared.count == blob.count if spec.share_mode == "PERMISSIVE" else shared.shape == blob.shape
            if not matches:
                raise LayerError(
                    f"shared parameter {spec.name!r} has shape {blob.shape} here and {shared.shape} in layer {owner!r}",
                    "parameters shared by name need the same shape",
                )
            blob.share_data(shared)
            blob.share_diff(shared)


def _storage(dtype: str | Rounding | Zeros, flags: Flags) -> Storage:
    """Raises `ValueError` for a name that is none of a claim of types."""
    if callable(dtype):
        return Storage.uniform(dtype)
    if isinstance(dtype, Rounding):
        claim = dtype.claim
        kept = (claim.scores, claim.gradients, claim.loss) if claim else (None, None, None)
        return Storage(*(partial(Approx.zeros, rounding=dtype, flags=flags, stored=each) for each in (*kept, None)))
    if dtype == "complex128":
        return Storage.uniform(partial(np.zeros, dtype=dtype))
    named = TypeClaim.named(dtype)
    of = (named.scores, named.gradients, named.loss, named.computed)
    return Storage(*(partial(np.zeros, dtype=each.numpy) for each in of))


def _summed(parts: list[Any]) -> Any:
    if not parts:
        return np.zeros(())
    return parts[0] if len(parts) == 1 else exact_sum(np.stack(parts))


class _Stage:
    """Turns a layer's refusal into the net's; floating-point events are part of what a layer computes."""

    def __init__(self, stage: str, layer: str) -> None:
        self._stage, self._layer = stage, layer
        self._quiet = np.errstate(all="ignore")

    def __enter__(self) -> None:
        self._quiet.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._quiet.__exit__(kind, error, trace)
        if isinstance(error, LayerError):
            raise NetError(error.message, self._stage, self._layer, error.hint) from error
