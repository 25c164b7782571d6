"""The table of types: what its rows say is what NumPy says, and no other file spells a type's name."""

from __future__ import annotations

import math
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.dtypes import CLAIM, DEFAULT, DOUBLE, FLOAT, HALF, NAMES, ONE_OF, TYPES, Dtype, TypeClaim

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

rows = pytest.mark.parametrize("dtype", TYPES.values(), ids=lambda dtype: dtype.name)


def test_no_product_file_but_the_table_spells_a_types_name() -> None:
    paths = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.*")]
    texts = [path for path in paths if path.suffix in (".py", ".json", ".txt", ".js", ".j2")]
    found = {path.relative_to(ROOT).as_posix() for path in texts if SPELT.search(path.read_text("utf-8"))}
    assert found == ALLOWED.keys()


@rows
def test_a_row_says_what_numpy_says(dtype: Dtype) -> None:
    told = ml_dtypes.finfo(dtype.numpy)
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
    value = float(dtype.rounded(data.draw(st.floats(-dtype.largest, dtype.largest))))
    assert float(dtype.rounded(float(f"{value:.{dtype.decimals - 1}e}"))) == value


def test_what_is_beyond_the_range_is_infinite() -> None:
    assert FLOAT.rounded([1e300, -1e300]).tolist() == [math.inf, -math.inf]


def test_only_wide_types_are_differenced() -> None:
    assert [dtype.name for dtype in TYPES.values() if dtype.differenceable] == [DOUBLE.name]


def test_the_names_are_the_keys_and_caffes_are_among_them() -> None:
    assert NAMES == tuple(TYPES) == tuple(dtype.name for dtype in TYPES.values())
    assert set(DEFAULT) <= set(NAMES)
    assert ONE_OF.replace(",", " or").split(" or ") == list(NAMES)


def test_a_tie_is_not_made_of_a_number_beside_it() -> None:
    """NumPy's own way to bfloat16 goes through float32, where the last digit of this is lost."""
    above = 1 + 2.0**-8 + 2.0**-40
    assert TYPES["bfloat16"].rounded([above, 1 + 2.0**-8, -above]).tolist() == [1 + 2.0**-7, 1.0, -1 - 2.0**-7]


def test_a_uniform_claim_is_of_one_type_in_every_role() -> None:
    claim = TypeClaim.uniform(FLOAT)
    assert claim.types == claim.stored == (FLOAT,)
    assert claim.is_of_one_type
    assert claim.name == FLOAT.name


@pytest.mark.parametrize(
    "text, name",
    [
        ("bfloat16", "bfloat16"),
        ("bfloat16,loss float32  (computed  float32)", "bfloat16, loss float32 (computed float32)"),
        ("float16 (computed float32)", "float16 (computed float32)"),
        ("float16 (computed float16)", "float16"),
        ("float16 (accumulated float32)", "float16 (computed float16, accumulated float32)"),
        ("float16, loss float16, gradients float32", "float16, gradients float32"),
        ("float16, loss float32, gradients float32", "float16, gradients float32, loss float32"),
    ],
)
def test_a_claim_has_one_name_however_it_is_spelled(text: str, name: str) -> None:
    claim = TypeClaim.named(text)
    assert claim.name == name
    assert TypeClaim.named(name) == claim
    assert re.fullmatch(CLAIM, name)


def test_a_claim_says_what_each_role_is_of() -> None:
    claim = TypeClaim.named("bfloat16, loss float32 (computed float32, accumulated float64)")
    brain = TYPES["bfloat16"]
    assert (claim.scores, claim.gradients, claim.loss) == (brain, brain, FLOAT)
    assert (claim.computed, claim.accumulated) == (FLOAT, DOUBLE)
    assert claim.stored == (brain, FLOAT)


@pytest.mark.parametrize(
    "text", ["", "bf16", "float16 ()", "float16 (computed)", "float16, logits float32", "float16; loss float32"]
)
def test_what_is_no_claim_is_told_which_types_there_are(text: str) -> None:
    with pytest.raises(ValueError, match=f"{ONE_OF}, or one of them with what differs, as in"):
        TypeClaim.named(text)


def test_a_role_has_one_type() -> None:
    with pytest.raises(ValueError, match="says twice"):
        TypeClaim.named("float16, loss float32, loss float16")


def test_only_a_type_with_the_range_of_float_may_flush() -> None:
    flushing = [dtype.name for dtype in TYPES.values() if dtype.underflow == dtype.smallest_normal]
    assert flushing == ["bfloat16", *DEFAULT]
    assert HALF.underflow == 2.0**-25


@pytest.mark.parametrize("dtype", [dtype for dtype in TYPES.values() if dtype is not DOUBLE])
def test_truncated_is_the_next_number_of_the_type_toward_zero(dtype: Dtype) -> None:
    values = np.random.default_rng(3).standard_normal(400) * 2.0 ** np.linspace(-8, 12, 400)
    values = np.concatenate([values, [0.0, 2.0**-1000, dtype.largest * 2]])
    held = dtype.truncated(values)
    assert dtype.holds(held).all() and (np.abs(held) <= np.abs(values)).all()
    nearest = dtype.rounded(values)
    np.testing.assert_array_equal(held[np.abs(nearest) <= np.abs(values)], nearest[np.abs(nearest) <= np.abs(values)])
    np.testing.assert_array_equal(dtype.truncated([np.inf, -np.inf, np.nan]), [np.inf, -np.inf, np.nan])
