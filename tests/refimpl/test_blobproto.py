"""BlobProto: every form in which the message may be written, and what is no such message."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import LayerError
from refimpl.layers.blobproto import read_blob, read_blob_file

VALUES = [1.0, -2.5, 0.1]
FLOATS = np.float32(VALUES).astype(np.float64)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def packed(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def shape(*dims: int) -> bytes:
    return packed(7, packed(1, b"".join(map(varint, dims))))


def legacy(*dims: int) -> bytes:
    return b"".join(integer(i + 1, dim) for i, dim in enumerate(dims))


PACKED = packed(5, struct.pack("<3f", *VALUES))
UNPACKED = b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in VALUES)
DOUBLES = packed(8, struct.pack("<3d", *VALUES))
UNPACKED_DOUBLES = b"".join(varint(8 << 3 | 1) + struct.pack("<d", value) for value in VALUES)


@pytest.mark.parametrize("data", [PACKED, UNPACKED])
def test_floats_are_widened(data: bytes) -> None:
    np.testing.assert_array_equal(read_blob(shape(3) + data), FLOATS)


@pytest.mark.parametrize("data", [DOUBLES, UNPACKED_DOUBLES, PACKED.replace(b"?", b"@") + DOUBLES])
def test_doubles_win(data: bytes) -> None:
    np.testing.assert_array_equal(read_blob(data + shape(3)), VALUES)


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        (shape(3, 1), (3, 1)),
        (packed(7, integer(1, 1) + integer(1, 3)), (1, 3)),
        (legacy(1, 3, 1, 1), (1, 3, 1, 1)),
        (shape(9) + legacy(1, 1, 3, 1), (1, 1, 3, 1)),
    ],
)
def test_shapes(dims: bytes, expected: tuple[int, ...]) -> None:
    assert read_blob(dims + PACKED).shape == expected


def test_a_single_value_needs_no_shape() -> None:
    assert read_blob(packed(5, struct.pack("<f", 2))) == 2


def test_unknown_fields_and_diffs_are_passed_over() -> None:
    others = packed(6, struct.pack("<2f", 7, 8)) + integer(99, -1) + packed(100, b"abc")
    np.testing.assert_array_equal(read_blob(others + shape(3) + PACKED), FLOATS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"0 value\(s\) for the shape \(\)"),
        (shape(4) + PACKED, r"3 value\(s\) for the shape \(4,\)"),
        (shape(-3, -1) + PACKED, r"3 value\(s\) for the shape \(-3, -1\)"),
        (legacy(3) + PACKED, r"shape \(3, 0, 0, 0\)"),
        (PACKED[:-1], r"field 5 ends 1 byte\(s\) after the file does"),
        (packed(5, b"abc"), "numbers of 4 bytes"),
        (integer(5, 1), "numbers of 4 bytes"),
        (packed(8, b"abcd"), "numbers of 8 bytes"),
        (packed(1, b"a"), "should be an integer"),
        (integer(7, 3), "length-delimited"),
        (packed(7, packed(1, b"\x80")), "does not end"),
        (b"\xff" * 12, "does not end"),
        (b"\x07", "byte 0 starts no field"),
        (b"\x00\x01", "starts no field"),
        (b"layer { name: 'a text file' }", "byte 0 starts no field"),
    ],
)
def test_what_is_no_blobproto(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_blob(content)


@given(st.binary(max_size=60))
def test_any_bytes_give_an_array_or_a_value_error(content: bytes) -> None:
    try:
        assert read_blob(content).dtype == np.float64
    except ValueError as error:
        assert "\n" not in str(error)


def test_a_file_of_the_net_wins_over_the_disk_and_neither_is_an_error(tmp_path: object) -> None:
    assert read_blob_file("H", {"H": shape(3) + DOUBLES}).tolist() == VALUES
    for name in ("H", str(tmp_path), "nul\0"):
        with pytest.raises(LayerError, match="cannot read the file"):
            read_blob_file(name, {})
