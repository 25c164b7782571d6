"""The protobuf text format: text -> a tree of named values, without knowing any message type.

The syntax is the one that protobuf's C++ `TextFormat::Parser` accepts with its default settings, which is what Caffe
reads its nets with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from refimpl.errors import PrototxtError

if TYPE_CHECKING:
    from lark import Lark, Token
    from lark.exceptions import UnexpectedInput

__all__ = ["Block", "Field", "Scalar", "quote", "read_text"]

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
    r"-?(0[xX][0-9a-fA-F]+|0[0-7]+|((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[fF]?)", re.ASCII
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
    """The tree of a text; raises `PrototxtError` at the first place where it is not text format."""
    from lark.exceptions import UnexpectedInput

    if found := _CONTROL.search(text):
        raise PrototxtError(
            f"not a text file: it holds the control character 0x{ord(found[0]):02x}",
            *_position(text, found.start()),
            "give the net's .prototxt, not a binary .caffemodel",
        )
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        _refuse(error, text)
    # lark declares that parse returns its own tree; the builder below replaces that by ours.
    return tree  # type: ignore[return-value]


@lru_cache(maxsize=1)
def _parser() -> Lark:
    from lark import Lark

    return Lark(
        GRAMMAR, start="document", parser="lalr", lexer="basic", maybe_placeholders=False, transformer=_Builder()
    )


class _Builder:
    """Turns each rule's children into our tree while lark parses; the method names are the grammar's."""

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
        text = b"".join(_unquote(part) for part in parts).decode("utf-8", "surrogateescape")
        return Scalar("string", text, *_place(parts[0]))

    def number(self, parts: list[Token]) -> Scalar:
        text = "".join(parts)
        if not _NUMBER.fullmatch(text):
            hint = (
                "a leading zero means octal" if re.match("-?0[0-9]", text) else "a space separates it from what follows"
            )
            raise PrototxtError(f"{text} is not a number", *_place(parts[0]), hint)
        return Scalar("number", text, *_place(parts[0]))

    def word(self, parts: list[Token]) -> Scalar:
        return Scalar("word", "".join(parts), *_place(parts[0]))


_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "?": 63, "'": 39, '"': 34}
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|x(?P<hex>[0-9a-fA-F]{1,2})"
    r"|u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?:u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))|(?P<plain>.))"
)


def _unquote(token: Token) -> bytes:
    """The bytes of one quoted string; escapes may spell bytes that are not UTF-8 until strings are joined."""
    body = str(token)[1:-1]
    out, end = bytearray(), 0
    for match in _ESCAPE.finditer(body):
        out += body[end : match.start()].encode("utf-8", "surrogateescape")
        out += _escaped(match, token)
        end = match.end()
    return bytes(out + body[end:].encode("utf-8", "surrogateescape"))


def _escaped(match: re.Match[str], token: Token) -> bytes:
    octal, hexadecimal, high, low, short, long, plain = match.groups()
    if octal or hexadecimal:
        return bytes([int(octal or hexadecimal, 8 if octal else 16) & 0xFF])
    if high:
        return bytes.fromhex(high + low).decode("utf-16-be").encode()
    if plain in _ESCAPES:
        return bytes([_ESCAPES[plain]])
    code = int(short or long or "110000", 16)
    if code < 0x110000:
        return chr(code).encode("utf-8", "surrogatepass")
    line, column = _place(token)
    column += 1 + match.start()
    raise PrototxtError(f"{match[0]} is not an escape sequence", line, column, "write a backslash as \\\\")


def quote(text: str) -> str:
    """A string as the text format writes it; bytes that are not UTF-8 become octal escapes."""
    named = {code: "\\" + name for name, code in _ESCAPES.items() if name in 'nrt\\"'}
    out = []
    for char in text:
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\{code - 0xDC00:03o}")
        elif code in named:
            out.append(named[code])
        else:
            out.append(char if char.isprintable() else "".join(f"\\{byte:03o}" for byte in char.encode()))
    return f'"{"".join(out)}"'


def _place(token: Token) -> tuple[int, int]:
    return token.line or 1, token.column or 1


def _position(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


_OPENING = {"LBRACE": "RBRACE", "LANGLE": "MORETHAN", "LSQB": "RSQB"}
_SPELLED = {
    "COLON": "':'",
    "COMMA": "','",
    "LBRACE": "'{'",
    "RBRACE": "'}'",
    "LANGLE": "'<'",
    "MORETHAN": "'>'",
    "LSQB": "'['",
    "RSQB": "']'",
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a string",
}


def _refuse(error: UnexpectedInput, text: str) -> NoReturn:
    """Say what lark stumbled over in the words of the format."""
    from lark.exceptions import UnexpectedToken

    if not isinstance(error, UnexpectedToken):
        _refuse_character(text, error.pos_in_stream or 0)
    token = error.token
    stack = error.interactive_parser.parser_state.value_stack
    opened = [item for item in stack if getattr(item, "type", None) in _OPENING]
    if token.type == "$END":
        if opened:
            raise PrototxtError(f"the text ends inside the '{opened[-1]}' opened here", *_place(opened[-1]), "close it")
        raise PrototxtError("the text ends in the middle of a field", *_position(text, len(text.rstrip())))
    if token.type in _OPENING.values() and not opened:
        raise PrototxtError(f"this '{token}' closes nothing", *_place(token), "remove it, or open its block")
    if "COLON" in error.expected:
        hint = "a name is followed by ':' and its value, or by '{'"
    else:
        wrong_closers = set(_OPENING.values()) - {_OPENING[item.type] for item in opened[-1:]}
        expected = (error.expected & _SPELLED.keys()) - wrong_closers
        hint = "expected " + " or ".join(sorted(_SPELLED[name] for name in expected))
    raise PrototxtError(f"unexpected {token}", *_place(token), hint)


def _refuse_character(text: str, index: int) -> NoReturn:
    char, hint = text[index], ""
    message = f"unexpected character {char!r}"
    if char in "\"'":
        message, hint = "a string is not closed on its line", f"end it with {char}"
    elif char == "/":
        hint = "a comment starts with #"
    elif char == "\ufeff":
        message, hint = "the text starts with a byte order mark", "save it as UTF-8 without one"
    elif char == "+":
        hint = "a number has no plus sign"
    elif char == "=":
        hint = "a name and its value are separated by ':'"
    raise PrototxtError(message, *_position(text, index), hint)
