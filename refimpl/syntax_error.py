"""What to tell someone whose prototxt is not protobuf text format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refimpl.errors import PrototxtError

if TYPE_CHECKING:
    from lark import Token
    from lark.exceptions import UnexpectedInput

__all__ = ["binary_file", "syntax_error"]

# Token names are those that lark gives to the grammar's characters.
_CLOSING = {"LBRACE": "RBRACE", "LANGLE": "MORETHAN", "LSQB": "RSQB"}
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
_HINTS = {
    "'": "the string is not closed on its line",
    '"': "the string is not closed on its line",
    "/": "a comment starts with #",
    "+": "a number has no plus sign",
    "=": "a name and its value are separated by ':'",
    "\ufeff": "it is a byte order mark: save the text as UTF-8 without one",
}


def binary_file(text: str, index: int) -> PrototxtError:
    """The error for a text with a control character at `index`."""
    message = f"not a text file: it holds the control character 0x{ord(text[index]):02x}"
    return PrototxtError(message, *_position(text, index), "give the net's .prototxt, not a binary .caffemodel")


def syntax_error(text: str, error: UnexpectedInput) -> PrototxtError:
    """What lark stumbled over, in the words of the format."""
    from lark.exceptions import UnexpectedToken

    if not isinstance(error, UnexpectedToken):
        index = error.pos_in_stream or 0
        return PrototxtError(
            f"unexpected character {text[index]!r}", *_position(text, index), _HINTS.get(text[index], "")
        )
    stack = error.interactive_parser.parser_state.value_stack
    opened = [item for item in stack if getattr(item, "type", None) in _CLOSING]
    if error.token.type == "$END":
        return _end_of_text(text, opened)
    return PrototxtError(
        f"unexpected {error.token}", error.line, error.column, _expected(error.token, error.expected, opened)
    )


def _end_of_text(text: str, opened: list[Token]) -> PrototxtError:
    if not opened:
        return PrototxtError("the text ends in the middle of a field", *_position(text, len(text.rstrip())))
    last = opened[-1]
    return PrototxtError(f"the text ends inside the '{last}' opened here", last.line or 1, last.column or 1, "close it")


def _expected(token: Token, expected: set[str], opened: list[Token]) -> str:
    """What may stand in the token's place; of the closing brackets only the one that the innermost open one needs."""
    if token.type in _CLOSING.values() and not opened:
        return "it closes nothing"
    if "COLON" in expected:
        return "a name is followed by ':' and its value, or by '{'"
    wrong = set(_CLOSING.values()) - {_CLOSING[item.type] for item in opened[-1:]}
    return "expected " + " or ".join(sorted(_SPELLED[name] for name in (expected & _SPELLED.keys()) - wrong))


def _position(text: str, index: int) -> tuple[int, int]:
    """Line and column, both from 1."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
