"""The table of types: what its rows say is what NumPy says, and no other file spells a type's name."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.dtypes import DEFAULT, DOUBLE, FLOAT, NAMES, ONE_OF, TYPES, Dtype, TypeClaim

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("refimpl", "conformance", "bench", "fixtures/tools")
SPELT = re.compile(
    r"""(["'])(b?float16|float32|float64)\1 | \b(np|numpy|types|torch|jnp)\.(b?float16|float32)\b | float32\\?\|""",
    re.X,
)
ALLOWED = {
    "refimpl/dtypes.py": "the table",
    "conformance/adapters/worker.py": "copied alone into the Python of a Caffe, where nothing else of ours is",
}
HALF = Dtype("float16", np.dtype(np.float16), significand=11, exponent_bits=5)

rows = pytest.mark.parametrize("dtype", [*TYPES.values(), HALF], ids=lambda dtype: dtype.name)


def test_no_product_file_but_the_table_spells_a_types_name() -> None:
    paths = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.*")]
    texts = [path for path in paths if path.suffix in (".py", ".json", ".txt", ".js", ".j2")]
    found = {path.relative_to(ROOT).as_posix() for path in texts if SPELT.search(path.read_text("utf-8"))}
    assert found == ALLOWED.keys()


@rows
def test_a_row_says_what_numpy_says(dtype: Dtype) -> None:
    told = np.finfo(dtype.numpy)
    assert dtype.name == dtype.numpy.name
    assert dtype.unit_roundoff == told.eps / 2
    assert dtype.smallest_normal == told.smallest_normal
    assert dtype.smallest_subnormal == told.smallest_subnormal
    assert dtype.largest == told.max
    assert dtype.decimals == math.ceil(1 + (told.nmant + 1) * math.log10(2))


@rows
def test_integers_are_held_up_to_the_last_and_no_further(dtype: Dtype) -> None:
    last = dtype.integers
    assert dtype.holds([last - 1, last, -last]).all()
    assert int(np.asarray(last + 1, np.int64).astype(dtype.numpy)) != last + 1


@rows
@given(value=st.floats(allow_nan=False))
def test_rounding_is_to_the_nearest(dtype: Dtype, value: float) -> None:
    rounded = float(dtype.rounded(value))
    assert dtype.holds(rounded)
    if dtype.smallest_normal <= abs(value) <= dtype.largest:
        assert abs(rounded - value) <= dtype.unit_roundoff * abs(value)
    elif abs(value) < dtype.smallest_normal:
        assert abs(rounded - value) <= dtype.smallest_subnormal / 2


@rows
@given(data=st.data())
def test_the_decimals_tell_numbers_apart(dtype: Dtype, data: st.DataObject) -> None:
    width = 8 * dtype.numpy.itemsize
    value = float(dtype.rounded(data.draw(st.floats(allow_nan=False, allow_infinity=False, width=width))))
    assert float(dtype.rounded(float(f"{value:.{dtype.decimals - 1}e}"))) == value


def test_what_is_beyond_the_range_is_infinite() -> None:
    assert FLOAT.rounded([1e300, -1e300]).tolist() == [math.inf, -math.inf]


def test_only_wide_types_are_differenced() -> None:
    assert [dtype.name for dtype in TYPES.values() if dtype.differenceable] == [DOUBLE.name]


def test_the_names_are_the_keys_and_caffes_are_among_them() -> None:
    assert NAMES == tuple(TYPES) == tuple(dtype.name for dtype in TYPES.values())
    assert set(DEFAULT) <= set(NAMES)
    assert ONE_OF.replace(",", " or").split(" or ") == list(NAMES)


def test_a_uniform_claim_is_of_one_type_in_every_role() -> None:
    claim = TypeClaim.uniform(FLOAT)
    assert set(vars(claim).values()) == {FLOAT}
