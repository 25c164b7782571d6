"""Caffemodel: a trained net's arrays, out of the binary NetParameter that Caffe's solver writes.

Its nesting is read by the protobuf package (an extra), by a descriptor of those fields alone that lead to arrays; each
array is a BlobProto, which the reference reads itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.contract.errors import UsageError, one_line
from conformance.contract.paths import content_of
from refimpl.layers.blobproto import read_blob

if TYPE_CHECKING:
    from conformance.contract.case import Array

__all__ = ["read_caffemodel"]

_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Net": {"layer": (100, "Layer"), "layers": (2, "V1Layer")},
    "Layer": {"name": (1, "text"), "blobs": (7, "blob")},
    "V1Layer": {"name": (4, "text"), "blobs": (6, "blob"), "layer": (1, "V0Layer")},
    "V0Layer": {"name": (1, "text"), "blobs": (50, "blob")},
}
"""``caffe.proto``: NetParameter, LayerParameter, V1LayerParameter, V0LayerParameter; field -> its number and kind."""

_HDF5 = b"\x89HDF"


def read_caffemodel(path: Path) -> dict[str, Array]:
    """``LAYER[I]`` -> the array, float64, of a V2, V1 or V0 net; shapes as stored, old ones with four axes.

    Raises `UsageError` for a file that cannot be read or is no such net, and where protobuf is not installed.
    """
    content = content_of(path)
    if content.startswith(_HDF5):
        raise UsageError(f"{path} is HDF5: save its arrays as LAYER[I] in an .npz instead")
    arrays: dict[str, Array] = {}
    for name, blobs in _layers(path, content):
        for i, blob in enumerate(blobs):
            try:
                arrays[f"{name}[{i}]"] = read_blob(blob)
            except ValueError as error:
                raise UsageError(f"{path}: blob {i} of layer {name!r} is no BlobProto: {error}") from None
    if not arrays:
        raise UsageError(f"{path} holds no layer with weights; is it a .caffemodel, the binary file of a solver?")
    return arrays


def _layers(path: Path, content: bytes) -> list[tuple[str, list[bytes]]]:
    """Every layer's name and its serialised blobs."""
    messages, error_class = _classes()
    try:
        net = messages.FromString(content)
    except error_class as error:
        raise UsageError(
            f"{path} is no .caffemodel, the binary file that a solver writes: {one_line(str(error), 120)}"
        ) from None
    old = [layer.layer if layer.HasField("layer") else layer for layer in net.layers]
    return [(layer.name, list(layer.blobs)) for layer in [*old, *net.layer]]


def _classes() -> tuple[Any, type[Exception]]:
    """protobuf's class for NetParameter, and what it raises for bytes that are none."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
    except ImportError as error:
        raise UsageError(
            f"a .caffemodel needs protobuf ({error}): pip install 'caffe-loss-conformance[protobuf]', or give an .npz"
        ) from None
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="caffemodel.proto", package="caffemodel", syntax="proto2")
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            entry = described.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_BYTES)
            if kind == "text":
                entry.type = kinds.TYPE_STRING
            elif kind != "blob":
                entry.type, entry.type_name = kinds.TYPE_MESSAGE, f".caffemodel.{kind}"
            if kind not in ("text", "V0Layer"):
                entry.label = kinds.LABEL_REPEATED
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffemodel.Net")), message.DecodeError
