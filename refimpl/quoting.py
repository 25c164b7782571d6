"""Quoted strings of the protobuf text format, in C's escapes; they spell bytes, which proto strings take for UTF-8."""

from __future__ import annotations

import re

__all__ = ["quote", "unquote"]

_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "?": 63, "'": 39, '"': 34}
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|x(?P<hex>[0-9a-fA-F]{1,2})"
    r"|u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?:u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))|(?P<plain>.))"
)


def unquote(literal: str) -> bytes:
    """The bytes of a string in its quotes; raises `ValueError` (the escape, its offset) for an escape that is none."""
    out, end = bytearray(), 1
    for match in _ESCAPE.finditer(literal):
        out += literal[end : match.start()].encode("utf-8", "surrogateescape")
        out += _escaped(match)
        end = match.end()
    return bytes(out + literal[end:-1].encode("utf-8", "surrogateescape"))


def _escaped(match: re.Match[str]) -> bytes:
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
    raise ValueError(match[0], match.start())


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
