"""The protobuf text format: text -> a tree of named values, without knowing any message type.

The syntax is the one that protobuf's C++ `TextFormat::Parser` accepts with its default settings, which is what Caffe
reads its nets with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from refimpl.errors import PrototxtError
from refimpl.quoting import quote, unquote
from refimpl.syntax_error import binary_file, syntax_error

if TYPE_CHECKING:
    from lark import Lark, Token

__all__ = ["Block", "Field", "Scalar", "read_text"]

GRAMMAR = r"""
document: field*
field: NAME ":" scalar _separator?                          -> one
     | NAME ":" "[" scalar ("," scalar)* "]" _separator?    -> many
     | NAME ":"? block _separator?                          -> one
     | NAME ":"? "[" block ("," block)* "]" _separator?     -> many
     | NAME ":"? "[" "]" _separator?                        -> many
block: LBRACE field* "}"
     | LANGLE field* ">"
scalar: STRING+                                             -> string
      | NUMBER                                              -> number
      | MINUS NUMBER                                        -> number
      | NAME                                                -> word
      | MINUS NAME                                          -> word
_separator: "," | ";"

LBRACE: "{"
LANGLE: "<"
MINUS: "-"
NAME: /[A-Za-z_][A-Za-z0-9_]*/
NUMBER: /\.?[0-9](?:(?<=[eE])[+-](?=[0-9])|[A-Za-z0-9_.])*/
STRING: /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/
%ignore /[ \t\r\n\v\f]+/
%ignore /#[^\n]*/
"""
_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F]+|0[0-7]+|((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[fF]?", re.ASCII
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class Scalar:
    """One value as written: a number with its sign, a string without its quotes, or a bare word (an enum's name)."""

    kind: Literal["number", "string", "word"]
    text: str
    line: int = field(default=0, compare=False, repr=False)
    column: int = field(default=0, compare=False, repr=False)

    def __str__(self) -> str:
        return quote(self.text) if self.kind == "string" else self.text


@dataclass(frozen=True)
class Field:
    """`name: value`, or `name: [value, ...]`, which is `bracketed`."""

    name: str
    values: tuple[Scalar | Block, ...]
    bracketed: bool = False
    line: int = field(default=0, compare=False, repr=False)
    column: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True)
class Block:
    """`{ ... }`: fields in the order written; a name may repeat."""

    fields: tuple[Field, ...] = ()
    line: int = field(default=0, compare=False, repr=False)
    column: int = field(default=0, compare=False, repr=False)

    def all(self, name: str) -> tuple[Scalar | Block, ...]:
        """Every value given for `name`, repetitions and lists joined."""
        return tuple(value for item in self.fields if item.name == name for value in item.values)


def read_text(text: str) -> Block:
    """The tree of a text; raises `PrototxtError` at the first place where it is not text format.

    The grammar says what that is. Texts are read by hand, three times as fast as by lark and without a parser being
    made first; what cannot be read so is lark's, which knows what is wrong with it.
    """
    if found := _CONTROL.search(text):
        raise binary_file(text, found.start())
    with suppress(_Unread):
        return _ByHand(text).document()
    from lark.exceptions import UnexpectedInput

    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise syntax_error(text, error) from None
    # lark declares that parse returns its own tree; the builder below replaces that by ours.
    return tree  # type: ignore[return-value]


@lru_cache(maxsize=1)
def _parser() -> Lark:
    from lark import Lark

    return Lark(
        GRAMMAR, start="document", parser="lalr", lexer="basic", maybe_placeholders=False, transformer=_Builder()
    )


_TOKEN = re.compile(
    r"""[ \t\r\v\f]+|\#[^\n]*|(?P<line>\n)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<number>\.?[0-9](?:(?<=[eE])[+-](?=[0-9])|[A-Za-z0-9_.])*)"""
    r"""|(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(?P<mark>[{}<>\[\]:,;-])|(?P<strange>.)""",
    re.VERBOSE,
)
_Token = tuple[str, str, int, int]
"""A token's kind (a mark's is itself), its text, line and column."""
_END: _Token = ("end", "", 0, 0)
_CLOSED_BY = {"{": "}", "<": ">"}
_DEEPEST = 50


class _Unread(Exception):
    """The text is not read by hand."""


class _ByHand:
    """One text's tree, by recursive descent. Raises `_Unread` for what is no text format, and what nests deeply."""

    def __init__(self, text: str) -> None:
        self._tokens, self._at, self._depth = list(_tokens(text)), 0, 0

    def document(self) -> Block:
        return Block(self._fields("end"), 1, 1)

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _comes(self, *kinds: str) -> bool:
        """Whether the next token is of one of these kinds; then it is taken."""
        found = self._tokens[self._at][0] in kinds
        self._at += found
        return found

    def _fields(self, closing: str) -> tuple[Field, ...]:
        fields = []
        while (token := self._next())[0] == "word":
            _, name, line, column = token
            colon = self._comes(":")
            bracketed = self._comes("[")
            values = self._list(colon) if bracketed else (self._value(colon),)
            fields.append(Field(name, values, bracketed, line, column))
            self._comes(",", ";")
        if token[0] != closing:
            raise _Unread
        return tuple(fields)

    def _list(self, colon: bool) -> tuple[Scalar | Block, ...]:
        """Scalars or blocks, whose bracket is open."""
        if self._comes("]"):
            return ()
        values = [self._value(colon)]
        while self._comes(","):
            values.append(self._value(colon))
        if not self._comes("]") or len(set(map(type, values))) > 1:
            raise _Unread
        return tuple(values)

    def _value(self, colon: bool) -> Scalar | Block:
        """A block, or behind a colon a scalar."""
        kind, text, line, column = self._next()
        if kind in _CLOSED_BY and self._depth < _DEEPEST:
            self._depth += 1
            block = Block(self._fields(_CLOSED_BY[kind]), line, column)
            self._depth -= 1
            return block
        if not colon:
            raise _Unread
        if kind == "string":
            parts = [text]
            while self._tokens[self._at][0] == "string":
                parts.append(self._next()[1])
            return Scalar("string", _joined(parts), line, column)
        sign = text if kind == "-" else ""
        if sign:
            kind, text, *_ = self._next()
        if kind == "number" and _NUMBER.fullmatch(text):
            return Scalar("number", sign + text, line, column)
        if kind == "word":
            return Scalar("word", sign + text, line, column)
        raise _Unread


def _tokens(text: str) -> Iterator[_Token]:
    line, begins = 1, 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "line":
            line, begins = line + 1, match.end()
        elif kind is not None:
            found = match.group()
            yield found if kind == "mark" else kind, found, line, match.start() - begins + 1
    yield _END


def _joined(strings: Sequence[str]) -> str:
    try:
        return b"".join(map(unquote, strings)).decode("utf-8", "surrogateescape")
    except ValueError:
        raise _Unread from None


class _Builder:
    """Turns each rule's children into our tree while lark parses; the method names are the grammar's."""

    def NUMBER(self, token: Token) -> Token:
        """Called by the lexer, whose pattern takes in all that could be meant as part of the number."""
        if not _NUMBER.fullmatch(token):
            octal = re.match("0[0-9]", token)
            hint = "a leading zero means octal" if octal else "a space separates it from what follows"
            raise PrototxtError(f"{token} is not a number", *_place(token), hint)
        return token

    def document(self, fields: list[Field]) -> Block:
        return Block(tuple(fields), 1, 1)

    def block(self, children: list[Any]) -> Block:
        opening, *fields = children
        return Block(tuple(fields), opening.line, opening.column)

    def one(self, children: list[Any]) -> Field:
        name, value = children
        return Field(str(name), (value,), False, name.line, name.column)

    def many(self, children: list[Any]) -> Field:
        name, *values = children
        return Field(str(name), tuple(values), True, name.line, name.column)

    def string(self, parts: list[Token]) -> Scalar:
        text = b"".join(_unquoted(part) for part in parts).decode("utf-8", "surrogateescape")
        return Scalar("string", text, *_place(parts[0]))

    def number(self, parts: list[Token]) -> Scalar:
        return Scalar("number", "".join(parts), *_place(parts[0]))

    def word(self, parts: list[Token]) -> Scalar:
        return Scalar("word", "".join(parts), *_place(parts[0]))


def _unquoted(token: Token) -> bytes:
    """The bytes of one string; those of adjacent strings are joined before they are read as UTF-8."""
    try:
        return unquote(str(token))
    except ValueError as error:
        escape, offset = error.args
        line, column = _place(token)
        message = f"{escape} is not an escape sequence"
        raise PrototxtError(message, line, column + offset, r"write a backslash as \\") from None


def _place(token: Token) -> tuple[int, int]:
    return token.line or 1, token.column or 1
