"""Old nets made new, as Caffe does on reading one (`src/caffe/util/upgrade_proto.cpp`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from refimpl.layers import REGISTRY
from refimpl.messages import BlobShape, InputParameter, LayerParameter, NetParameter, ParamSpec, V1LayerParameter

__all__ = ["upgrade_inputs", "upgrade_v1"]

_IRREGULAR_TYPES = {
    "NONE": "",
    "IM2COL": "Im2col",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    **{layer.v1_type: layer.type for layer in REGISTRY.values() if layer.v1_type},
}
"""Types whose words the old format does not tell apart; the reference has no layers of the first few."""


def upgrade_v1(net: NetParameter) -> NetParameter:
    """Turn V1 `layers` into `layer`; a net without any is returned as it is."""
    if not net.layers:
        return net
    return replace(net, layer=tuple(_upgrade_layer(layer) for layer in net.layers), layers=())


def _upgrade_layer(old: V1LayerParameter) -> LayerParameter:
    given: dict[str, Any] = {
        name: getattr(old, name)
        for name, field in old.schema.items()
        if old.has(name) and field == LayerParameter.schema.get(name)
    }
    if old.has("type"):
        given["type"] = _IRREGULAR_TYPES.get(old.type, old.type.title().replace("_", ""))
    given["param"] = _param_specs(old)
    return LayerParameter(**given)


def _param_specs(old: V1LayerParameter) -> tuple[ParamSpec, ...]:
    """Four parallel lists become one list of specs, as long as the longest."""
    columns: dict[str, tuple[Any, ...]] = {
        "name": old.param,
        "share_mode": old.blob_share_mode,
        "lr_mult": old.blobs_lr,
        "decay_mult": old.weight_decay,
    }
    return tuple(
        ParamSpec(**{name: values[i] for name, values in columns.items() if i < len(values)})
        for i in range(max(map(len, columns.values())))
    )


def upgrade_inputs(net: NetParameter) -> NetParameter:
    """Turn the net's `input` fields into one Input layer, put first.

    An input's shape is its `input_shape` or, where the net has none of those, the next four `input_dim`. Inputs of a
    net without either are dropped, as Caffe drops them. Raises `ValueError` where only some of the inputs have a shape.
    """
    if not net.input:
        return net
    layers = net.layer
    if net.input_shape or net.input_dim:
        shapes = net.input_shape or tuple(BlobShape(dim=dims) for dims in _fours(net.input_dim))
        if len(shapes) < len(net.input):
            raise ValueError(f"there are {len(net.input)} inputs, but shapes for {len(shapes)} of them")
        param = InputParameter(shape=shapes[: len(net.input)])
        layers = (LayerParameter(name="input", type="Input", top=net.input, input_param=param), *layers)
    return replace(net, layer=layers, input=(), input_shape=(), input_dim=())


def _fours(dims: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
    return (dims[i : i + 4] for i in range(0, len(dims) - 3, 4))
