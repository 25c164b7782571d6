"""What a protobuf message is here: a frozen dataclass whose fields know their proto type, default and presence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from refimpl.textformat import Block

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        return lambda cls: cls


__all__ = [
    "Extra",
    "FieldType",
    "Message",
    "MessageClass",
    "Own",
    "boolean",
    "enum",
    "extra",
    "floating",
    "int32",
    "int64",
    "message",
    "own",
    "raw",
    "repeated",
    "string",
    "uint32",
]

T = TypeVar("T")
M = TypeVar("M", bound="Message")


@dataclasses.dataclass(frozen=True)
class FieldType:
    """A field's proto type: `kind` is int32, int64, uint32, float, bool, string, enum, message, raw, extra or own."""

    kind: str
    repeated: bool = False
    message: type[Message] | None = None
    numbers: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def many(self) -> bool:
        """Whether "set" means "not empty"."""
        return self.repeated or self.kind in ("extra", "own")


class Extra(Mapping[str, tuple[Block, ...]]):
    """Blocks that the schema does not know, by name, as written; immutable and hashable."""

    def __init__(self, blocks: Mapping[str, tuple[Block, ...]] | None = None) -> None:
        self._blocks = dict(blocks or {})

    def __getitem__(self, name: str) -> tuple[Block, ...]:
        return self._blocks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)

    def __hash__(self) -> int:
        return hash(frozenset(self._blocks.items()))

    def __repr__(self) -> str:
        return repr(self._blocks)


MessageClass = type["Message"]


class Own(Mapping[tuple[str, type["Message"]], "Message"]):
    """A layer's `*_param` blocks as the layer classes of its type read them, by field and message class; immutable and
    hashable."""

    def __init__(self, messages: Mapping[tuple[str, type[Message]], Message] | None = None) -> None:
        self._messages = dict(messages or {})

    def __getitem__(self, key: tuple[str, type[Message]]) -> Message:
        return self._messages[key]

    def __iter__(self) -> Iterator[tuple[str, type[Message]]]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def __hash__(self) -> int:
        return hash(frozenset(self._messages.items()))


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Message:
    """A message: `Subclass(field=value, ...)` sets the fields named; the others read as the proto's defaults.

    `present` names the fields that are set (repeated ones aside). Given explicitly, as `dataclasses.replace` does, it
    is completed by the fields whose value is not the default, so that a copy leaves unset what was unset.
    """

    present: frozenset[str] = frozenset()
    schema: ClassVar[Mapping[str, FieldType]] = {}
    _defaults: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        fields = dataclasses.fields(dataclasses.dataclass(frozen=True, init=False, repr=False)(cls))
        cls.schema = {f.name: f.metadata["proto"] for f in fields if "proto" in f.metadata}
        cls._defaults = {f.name: f.default for f in fields if "proto" in f.metadata}

    def __init__(self, **given: Any) -> None:
        present = given.pop("present", None)
        if strange := given.keys() - self.schema.keys():
            raise TypeError(f"{type(self).__name__} has no field {min(strange)!r}")
        new = given if present is None else {name for name in given if given[name] != self._defaults[name]}
        single = frozenset(name for name in new if not self.schema[name].many)
        self.__dict__.update(self._defaults, **given, present=single | (present or frozenset()))

    def has(self, name: str) -> bool:
        """Whether the field was set, be it to its default; for a repeated one, whether it has a value."""
        if name not in self.schema:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")
        return bool(getattr(self, name)) if self.schema[name].many else name in self.present

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.schema if self.has(name))
        return f"{type(self).__name__}({shown})"


def _declare(default: Any, proto: FieldType) -> Any:
    return dataclasses.field(default=default, metadata={"proto": proto})


def int32(default: int = 0) -> int:
    """A field of proto type int32."""
    return _declare(default, FieldType("int32"))  # type: ignore[no-any-return]


def int64(default: int = 0) -> int:
    """A field of proto type int64."""
    return _declare(default, FieldType("int64"))  # type: ignore[no-any-return]


def uint32(default: int = 0) -> int:
    """A field of proto type uint32."""
    return _declare(default, FieldType("uint32"))  # type: ignore[no-any-return]


def floating(default: float = 0.0) -> float:
    """A field of proto type float: a Python float that holds a float32 value."""
    return _declare(default, FieldType("float"))  # type: ignore[no-any-return]


def boolean(default: bool = False) -> bool:
    """A field of proto type bool."""
    return _declare(default, FieldType("bool"))  # type: ignore[no-any-return]


def string(default: str = "") -> str:
    """A field of proto type string."""
    return _declare(default, FieldType("string"))  # type: ignore[no-any-return]


def enum(default: str, **numbers: int) -> str:
    """A field of an enum type; its value is the name."""
    return _declare(default, FieldType("enum", numbers=numbers))  # type: ignore[no-any-return]


def message(cls: type[M]) -> M:
    """A field that holds another message, all defaults while unset."""
    return _declare(cls(), FieldType("message", message=cls))  # type: ignore[no-any-return]


def raw() -> Block:
    """A field whose block is known to Caffe but kept as written."""
    return _declare(Block(), FieldType("raw"))  # type: ignore[no-any-return]


def extra() -> Extra:
    """Where a message keeps blocks that it does not know."""
    return _declare(Extra(), FieldType("extra"))  # type: ignore[no-any-return]


def own() -> Own:
    """Where a layer keeps what layer classes read in a schema of their own."""
    return _declare(Own(), FieldType("own"))  # type: ignore[no-any-return]


def repeated(each: T) -> tuple[T, ...]:
    """A field that holds any number of values."""
    field: Any = each
    proto = dataclasses.replace(field.metadata["proto"], repeated=True)
    return _declare((), proto)  # type: ignore[no-any-return]
