"""Net definitions as text: `parse_net` reads one, `dump_net` and `dump_layer` write one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

from refimpl.errors import PrototxtError
from refimpl.foreign import Foreign
from refimpl.layers import FORMS
from refimpl.messages import LayerParameter, NetParameter, V1LayerParameter
from refimpl.scalars import read_scalar, write_scalar
from refimpl.schema import Extra, FieldType, Message, Own
from refimpl.textformat import Block, Field, Scalar, read_text
from refimpl.unknown_field import unknown_field
from refimpl.upgrade import upgrade_inputs, upgrade_v1

__all__ = ["dump_fields", "dump_layer", "dump_net", "parse_net", "read_message", "read_net"]

M = TypeVar("M", bound=Message)
_LINE = 100


def parse_net(text: str) -> NetParameter:
    """The net that a prototxt defines, upgraded to `layer { type: "..." }` where it is an older one.

    What is accepted is what protobuf's C++ text parser accepts for Caffe's NetParameter, with two additions: a block
    given twice is merged (protobuf refuses it), and a layer's unknown `*_param` blocks are kept in its `extra`.
    Raises `PrototxtError`. Messages are immutable, so a text read before gives the same object again.
    """
    return _parse(text)


def read_net(text: str | Block) -> tuple[NetParameter, tuple[Foreign, ...]]:
    """The net as `parse_net` reads it, and what in it is not Caffe's: fields, values of enums, types of the old format
    and messages that a fork has added. Those are left out of the net, but for a type, which is kept as written.

    Raises `PrototxtError` for what is no net at all: broken text, a template, the V0 format.
    """
    foreign: list[Foreign] = []
    document = read_text(text) if isinstance(text, str) else text
    net = _net(document, _Reader(foreign))
    return net, tuple(foreign)


def read_message(cls: type[M], block: Block, foreign: list[Foreign]) -> M:
    """The message that a block spells, read as `read_net` reads a net."""
    return _Reader(foreign).message(cls, block, cls.__name__)


@lru_cache(maxsize=1024)
def _parse(text: str) -> NetParameter:
    return _net(read_text(text), _Reader(None))


def _net(document: Block, reader: _Reader) -> NetParameter:
    _refuse_mixed_formats(document)
    net = upgrade_v1(reader.message(NetParameter, document, "net"))
    try:
        return upgrade_inputs(net)
    except ValueError as error:
        raise _refusal(str(error), _first(document, "input"), "give one input_shape per input") from None


def dump_net(net: NetParameter) -> str:
    """The prototxt of a net; `parse_net` of it gives an equal net, if that is an upgraded one."""
    return "".join(f"{line}\n" for line in _lines(net))


def dump_fields(message: Message) -> str:
    """The fields of a message as they stand between its braces."""
    return " ".join(_lines(message))


def dump_layer(layer: LayerParameter) -> str:
    """The prototxt of a net that consists of this layer."""
    return dump_net(NetParameter(layer=(layer,)))


class _Reader:
    """Makes messages of blocks. What Caffe does not know is noted in ``foreign``; where that is None it is refused."""

    def __init__(self, foreign: list[Foreign] | None) -> None:
        self.foreign = foreign

    def message(self, cls: type[M], block: Block, where: str) -> M:
        """The message of class `cls` that a block spells; `where` is the name of the field that holds it."""
        given: dict[str, Any] = {}
        several: dict[str, list[Any]] = {}
        merged: dict[str, list[Field]] = {}
        kept: dict[str, tuple[Block, ...]] = {}
        unknown: dict[str, list[Block]] = {}
        try:
            if cls is LayerParameter:
                block, given["own"], kept = self._own(block)
            for item in block.fields:
                field = cls.schema.get(item.name)
                if field is None or field.kind in ("extra", "own"):
                    unknown.setdefault(item.name, []).extend(self._unknown(cls, item, where))
                elif field.repeated:
                    values = [self._value(item, value, field, where) for value in item.values]
                    several.setdefault(item.name, []).extend(value for value in values if value is not None)
                elif item.bracketed:
                    raise _refusal(f"{item.name} holds one value, not a list", item, "remove the brackets")
                elif field.message is not None:
                    merged.setdefault(item.name, []).extend(_block(item, item.values[0]).fields)
                elif item.name in given:
                    raise _refusal(
                        f"{item.name} is specified multiple times", item, "it is not a repeated field: keep one"
                    )
                elif (value := self._value(item, item.values[0], field, where)) is not None:
                    given[item.name] = value
            for name, fields in merged.items():
                given[name] = self.message(cls.schema[name].message or Message, Block(tuple(fields)), name)
        except PrototxtError as error:
            raise _in_layer(error, block) if cls in (LayerParameter, V1LayerParameter) else error from None
        kept |= {name: tuple(blocks) for name, blocks in unknown.items() if blocks}
        if kept:
            given["extra"] = Extra(kept)
        return cls(**given, **{name: tuple(values) for name, values in several.items()})

    def _own(self, block: Block) -> tuple[Block, Own, dict[str, tuple[Block, ...]]]:
        """What classes of the layer's type read in schemas of their own, and those of its blocks that no other schema
        has; the block without these. Where no class can read a block, the first one's refusal holds."""
        kind = next((value.text for value in block.all("type") if isinstance(value, Scalar)), "")
        schemas = [(name, message) for layer in FORMS.get(kind, ()) for name, message in layer.messages.items()]
        read: dict[tuple[str, type[Message]], Message] = {}
        kept: dict[str, tuple[Block, ...]] = {}
        strict = _Reader(None)
        for name in dict.fromkeys(name for name, _ in schemas if block.all(name)):
            items = [item for item in block.fields if item.name == name]
            whole = Block(tuple(field for item in items for field in _block(item, item.values[0]).fields))
            refusals = []
            for message in [message for each, message in schemas if each == name]:
                try:
                    read[name, message] = strict.message(message, whole, name)
                except PrototxtError as error:
                    refusals.append(error)
            known = LayerParameter.schema.get(name)
            if known is not None and known.message is not None:
                try:
                    strict.message(known.message, whole, name)
                    continue
                except PrototxtError as error:
                    refusals.insert(0, error)
            if any(each == name for each, _ in read):
                kept[name] = (whole,)
            elif self.foreign is None:
                raise refusals[0]
        rest = tuple(item for item in block.fields if item.name not in kept)
        return replace(block, fields=rest), Own(read), kept

    def _value(self, item: Field, value: Scalar | Block, field: FieldType, where: str) -> Any:
        """None for a value that is foreign."""
        if field.message is not None:
            return self.message(field.message, _block(item, value), item.name)
        if field.kind == "raw":
            return _block(item, value)
        if isinstance(value, Block):
            raise _refusal(f"{item.name} takes a {field.kind}, not a block", value, f"write {item.name}: VALUE")
        if self.foreign is None or field.kind != "enum" or value.kind == "string":
            return read_scalar(item.name, value, field)
        try:
            return read_scalar(item.name, value, field)
        except PrototxtError:
            is_type = item.name == "type" and where == "layers"
            self.foreign.append(Foreign("type" if is_type else "value", f"{value} of {where}.{item.name}", item.line))
            # A rule with a fork's phase holds in none of Caffe's; without it, it would hold in all.
            is_rule = item.name == "phase" and where in ("include", "exclude")
            return value.text if is_type or is_rule else None

    def _unknown(self, cls: type[Message], item: Field, where: str) -> tuple[Block, ...]:
        """The blocks of a field that the schema lacks: a layer keeps those named `*_param`; anything else is refused or
        left out."""
        keeps = "extra" in cls.schema and item.name.endswith("_param") and item.name.lower() not in cls.schema
        if self.foreign is not None:
            kind = "message" if isinstance(item.values[0] if item.values else None, Block) else "field"
            self.foreign.append(Foreign(kind, f"{item.name} of {where}", item.line))
            return tuple(value for value in item.values if isinstance(value, Block)) if keeps else ()
        if not keeps:
            raise unknown_field(cls, item, where)
        return tuple(_block(item, value) for value in item.values)


def _block(item: Field, value: Scalar | Block) -> Block:
    if isinstance(value, Scalar):
        raise _refusal(f"{item.name} takes a block, not {value}", value, f"write {item.name} {{ ... }}")
    return value


def _in_layer(error: PrototxtError, block: Block) -> PrototxtError:
    """The same error, naming the layer that it is in, if that has a name."""
    name = next((value.text for value in block.all("name") if isinstance(value, Scalar)), None)
    return PrototxtError(error.message, error.line, error.column, error.hint, error.layer or name)


def _refuse_mixed_formats(document: Block) -> None:
    """Refuse `layer` beside `layers`, as Caffe does, and the V0 format, which only Caffe's own tools convert."""
    old = [value for value in document.all("layers") if isinstance(value, Block)]
    if old and document.all("layer"):
        later = max(_first(document, "layer"), _first(document, "layers"), key=lambda item: (item.line, item.column))
        raise _refusal("the net mixes layer and layers", later, 'write them all as layer { type: "..." }')
    for block in old:
        if block.all("layer"):
            raise _refusal(
                "this net is in the V0 format (layers { layer { ... } }), which is not read",
                _first(block, "layer"),
                "convert it with Caffe's upgrade_net_proto_text first",
            )


def _first(block: Block, name: str) -> Field:
    return next(item for item in block.fields if item.name == name)


def _refusal(message: str, at: Field | Block | Scalar, hint: str = "") -> PrototxtError:
    return PrototxtError(message, at.line, at.column, hint)


def _lines(message: Message) -> Iterator[str]:
    """A message's fields, those of its schema in order, then its unknown blocks."""
    for name, field in message.schema.items():
        if field.kind == "own" or not message.has(name):
            continue
        value = getattr(message, name)
        if field.kind == "extra":
            for key, blocks in value.items():
                for block in blocks:
                    yield from _wrapped(key, list(_raw_lines(block)))
        else:
            for each in value if field.repeated else (value,):
                yield from _field_lines(name, each, field)


def _field_lines(name: str, value: Any, field: FieldType) -> Iterator[str]:
    if field.message is not None:
        yield from _wrapped(name, list(_lines(value)))
    elif field.kind == "raw":
        yield from _wrapped(name, list(_raw_lines(value)))
    else:
        yield f"{name}: {write_scalar(value, field)}"


def _raw_lines(block: Block) -> Iterator[str]:
    for item in block.fields:
        if item.bracketed:
            inner = (str(v) if isinstance(v, Scalar) else " ".join(["{", *_raw_lines(v), "}"]) for v in item.values)
            yield f"{item.name}: [{', '.join(inner)}]"
        elif isinstance(item.values[0], Scalar):
            yield f"{item.name}: {item.values[0]}"
        else:
            yield from _wrapped(item.name, list(_raw_lines(item.values[0])))


def _wrapped(name: str, lines: list[str]) -> Iterator[str]:
    """A block on one line where it fits, otherwise indented."""
    flat = f"{name} {{ {' '.join(lines)} }}" if lines else f"{name} {{ }}"
    if len(flat) <= _LINE and name not in ("layer", "layers"):
        yield flat
    else:
        yield f"{name} {{"
        yield from (f"  {line}" for line in lines)
        yield "}"
