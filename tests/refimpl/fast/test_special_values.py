"""NaN, infinities, floors, caps, kinks and odd labels: `refimpl.fast` does there exactly what Caffe does.

The values are measured ones of BVLC Caffe where a number is written out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refimpl import fast
from refimpl.fast.cpu import softmax_with_loss as softmax_module

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = pytest.mark.parametrize("columns", [3, 3000], ids=["tile", "row"])
CAP = 87.33654475055310898657
LOG_FLOOR = 46.0517018916
nan, inf = np.nan, np.inf


def logits(dtype: Any, columns: int, *rows: list[float]) -> Any:
    """Rows of logits, filled up with such as change nothing."""
    x = np.full((len(rows), columns), -1e30, dtype)
    x[:, : len(rows[0])] = rows
    return x


@DTYPES
@SHAPES
def test_a_nan_or_an_infinite_logit_spoils_its_own_row_only(dtype: Any, columns: int) -> None:
    rows = [[1, 2, 3], [nan, 1, 2], [1, inf, 2], [1, 2, -nan], [0.5, -1, 0.25]]
    x, out, prob = logits(dtype, columns, *rows), *(np.empty((5, columns), dtype) for _ in range(2))
    assert np.isnan(fast.softmax_with_loss(x, np.zeros(5, dtype), out=out, prob=prob))
    for result in (out, prob):
        assert np.isnan(result).any(1).tolist() == [False, True, True, True, False]
        assert np.isnan(result[1:4]).all()


@DTYPES
@SHAPES
def test_rows_of_minus_infinity_alone_are_nan(dtype: Any, columns: int) -> None:
    x, out = np.full((2, columns), -inf, dtype), np.empty((2, columns), dtype)
    x[0, 1] = 0
    assert np.isnan(fast.softmax_with_loss(x, np.ones(2, dtype), out=out))
    assert (out[0] == 0).all() and np.isnan(out[1]).all()


@DTYPES
@SHAPES
def test_an_ignored_nan_has_no_effect(dtype: Any, columns: int) -> None:
    x, out = logits(dtype, columns, [1, 2, 3], [nan, inf, -inf]), np.empty((2, columns), dtype)
    loss = fast.softmax_with_loss(x, np.array([2, 7], dtype), ignore_label=7, out=out)
    assert loss == pytest.approx(0.40760596444438, rel=1e-6) and (out[1] == 0).all() and np.isfinite(out).all()
    matrix = np.eye(columns, dtype=dtype)
    assert fast.infogain_loss(x, np.array([2, 7], dtype), matrix, ignore_label=7, out=out) == pytest.approx(
        loss, rel=1e-6
    )
    assert (out[1] == 0).all() and np.isfinite(out).all()
    x, t, out = np.array([[nan, 1, -inf]], dtype), np.array([[5, 1, 5.5]], dtype), np.empty((1, 3), dtype)
    loss = fast.sigmoid_cross_entropy_loss(x, t, ignore_label=5, out=out)
    assert loss == pytest.approx(0.31326168751822, rel=1e-6) and out[0, [0, 2]].tolist() == [0, 0]


@DTYPES
@SHAPES
@pytest.mark.parametrize("low", [-88.0, -1e4, -inf])
def test_a_loss_is_capped_at_flt_min_in_both_types_but_its_gradient_is_not(
    dtype: Any, columns: int, low: float
) -> None:
    x, out = logits(dtype, columns, [0, low]), np.empty((1, columns), dtype)
    x[0, 2:] = -inf
    assert fast.softmax_with_loss(x, np.ones(1, dtype), out=out) == CAP
    assert out[0, :2].tolist() == [1, -1]


@DTYPES
@SHAPES
def test_infogain_stops_at_its_own_floor(dtype: Any, columns: int) -> None:
    x, matrix, out = logits(dtype, columns, [0, -1e4]), np.eye(columns, dtype=dtype), np.empty((1, columns), dtype)
    assert fast.infogain_loss(x, np.ones(1, dtype), matrix, out=out) == pytest.approx(LOG_FLOOR, rel=1e-10)
    assert out[0, :2].tolist() == [1, -1]


@DTYPES
def test_one_class_has_no_loss(dtype: Any) -> None:
    x, out = np.array([[3], [-2]], dtype), np.empty((2, 1), dtype)
    assert fast.softmax_with_loss(x, np.zeros(2, dtype), out=out) == 0 and (out == 0).all()


@DTYPES
def test_large_logits_do_not_overflow(dtype: Any) -> None:
    x, out = np.array([[1e4, 1e4 + 1], [-3e38, 0]], dtype), np.empty((2, 2), dtype)
    assert fast.softmax_with_loss(x, np.ones(2, dtype), out=out) == pytest.approx(0.31326168751822 / 2, rel=1e-6)
    assert np.isfinite(out).all()
    t = np.array([[1, 0], [1, 0]], dtype)
    assert fast.sigmoid_cross_entropy_loss(np.array([[-1e4, 1e4], [1e4, -1e4]], dtype), t, out=out) == 1e4
    assert out.tolist() == [[-0.5, 0.5], [0, 0]]


@DTYPES
@pytest.mark.parametrize("size", [1, 5000])
def test_an_infinite_logit_gives_nan_with_a_finite_gradient(dtype: Any, size: int) -> None:
    x, t = np.full((2, size), [[inf], [-inf]], dtype), np.full((2, size), [[1], [0]], dtype)
    out = np.empty_like(x)
    assert np.isnan(fast.sigmoid_cross_entropy_loss(x, t, out=out))
    assert (out == 0).all()
    assert np.isnan(fast.sigmoid_cross_entropy_loss(x, t))


@DTYPES
@pytest.mark.parametrize("columns", [3, 5000])
def test_a_nan_logit_spoils_its_own_gradient_only(dtype: Any, columns: int) -> None:
    x, out = np.zeros((1, columns), dtype), np.empty((1, columns), dtype)
    x[0, 1] = nan
    assert np.isnan(fast.sigmoid_cross_entropy_loss(x, np.zeros_like(x), out=out))
    assert np.isnan(out).tolist() == np.isnan(x).tolist()


@DTYPES
@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_hinge_swallows_nan(dtype: Any, norm: str) -> None:
    """max(0, NaN) is 0 in Caffe: no loss and no gradient, at the label as well."""
    x, out = np.full((2, 4), nan, dtype), np.empty((2, 4), dtype)
    assert fast.hinge_loss(x, np.zeros(2, dtype), norm=norm, out=out) == 0
    assert (out == 0).all()
    x[0, 1] = 1
    assert fast.hinge_loss(x, np.zeros(2, dtype), norm=norm, out=out) == {"L1": 1, "L2": 2}[norm]
    assert out[0].tolist() == [0, {"L1": 0.5, "L2": 2}[norm], 0, 0]


@DTYPES
def test_hinge_of_infinite_scores(dtype: Any) -> None:
    x, out = np.array([[inf, 0, -inf]], dtype), np.empty((1, 3), dtype)
    assert fast.hinge_loss(x, np.zeros(1, dtype), out=out) == 1 and out.tolist() == [[0, 1, 0]]
    assert fast.hinge_loss(x, np.ones(1, dtype), out=out) == inf and out.tolist() == [[1, -1, 0]]
    assert fast.hinge_loss(x, np.ones(1, dtype), norm="L2", out=out) == inf and out.tolist() == [[inf, -2, 0]]


@DTYPES
def test_hinge_has_no_gradient_at_its_kink(dtype: Any) -> None:
    below = np.nextafter(dtype(1), dtype(0))
    x, out = np.array([[1, -1], [below, -below]], dtype), np.empty((2, 2), dtype)
    fast.hinge_loss(x, np.zeros(2, dtype), out=out)
    assert out.tolist() == [[0, 0], [-0.5, 0.5]]


@DTYPES
def test_probabilities_below_the_floor_keep_a_gradient(dtype: Any) -> None:
    p, out = np.array([[0, 1], [1e-21, 1], [-1, 1]], dtype), np.empty((3, 2), dtype)
    assert fast.multinomial_logistic_loss(p, np.zeros(3, dtype), out=out) == pytest.approx(LOG_FLOOR, rel=1e-10)
    np.testing.assert_allclose(out[:, 0], -1e20 / 3, rtol=1e-7)
    assert (out[:, 1] == 0).all()


@DTYPES
def test_odd_probabilities(dtype: Any) -> None:
    p, out = np.array([[nan, nan], [2, nan]], dtype), np.empty((2, 2), dtype)
    assert np.isnan(fast.multinomial_logistic_loss(p, np.zeros(2, dtype), out=out))
    assert np.isnan(out).tolist() == [[True, False], [False, False]] and out[1, 0] == -0.25
    assert fast.multinomial_logistic_loss(np.array([[inf, 0]], dtype), np.zeros(1, dtype)) == -inf
    assert fast.multinomial_logistic_loss(np.array([[4.0, 0]], dtype), np.zeros(1, dtype)) == pytest.approx(
        -np.log(4), rel=1e-15
    )


@DTYPES
def test_contrastive_of_pairs_at_the_edges(dtype: Any) -> None:
    """Equal vectors: the loss counts the whole margin, the gradient is 0. Exactly the margin apart: neither."""
    a, b = np.array([[1, 2], [3, 0]], dtype), np.array([[1, 2], [0, 4]], dtype)
    out = np.empty_like(a)
    assert fast.contrastive_loss(a, b, np.zeros(2, dtype), margin=5.0, out_a=out) == 6.25
    assert (out == 0).all()
    assert fast.contrastive_loss(a, b, np.zeros(2, dtype), margin=25.0, legacy_version=True, out_a=out) == 6.25
    assert (out == 0).all()


@DTYPES
def test_contrastive_divides_by_the_distance_and_a_bit(dtype: Any) -> None:
    a, b, out = np.array([[0.3, 0.4]], dtype), np.zeros((1, 2), dtype), np.empty((1, 2), dtype)
    fast.contrastive_loss(a, b, np.zeros(1, dtype), out_a=out)
    np.testing.assert_allclose(out, [[-0.5 / 0.5001 * 0.3, -0.5 / 0.5001 * 0.4]], rtol=3e-7)


@DTYPES
def test_contrastive_nan(dtype: Any) -> None:
    """A dissimilar pair that is not nearer than the margin has no gradient, and NaN is not nearer."""
    a, b, out = np.array([[nan, 1], [nan, 1]], dtype), np.zeros((2, 2), dtype), np.empty((2, 2), dtype)
    assert np.isnan(fast.contrastive_loss(a, b, np.array([0, 1], dtype), out_a=out))
    assert out[0].tolist() == [0, 0] and np.isnan(out[1]).tolist() == [True, False]


@DTYPES
def test_contrastive_pairs_infinitely_far_apart(dtype: Any) -> None:
    a, b, out = np.array([[inf, 1]], dtype), np.zeros((1, 2), dtype), np.empty((1, 2), dtype)
    for legacy in (False, True):
        assert fast.contrastive_loss(a, b, np.zeros(1, dtype), legacy_version=legacy, out_a=out) == 0
        assert (out == 0).all()


@DTYPES
@pytest.mark.parametrize(
    ("flag", "similar"), [(0.5, False), (-0.999, False), (-1, True), (1.9, True), (nan, True), (1e20, True)]
)
def test_similarities_are_truncated(dtype: Any, flag: float, similar: bool) -> None:
    a = np.array([[3, 4]], dtype)
    assert fast.contrastive_loss(a, np.zeros_like(a), np.array([flag], dtype)) == (12.5 if similar else 0)


@DTYPES
def test_labels_are_truncated_toward_zero(dtype: Any) -> None:
    x = np.array([[1, 2, 3], [0.5, -1, 0.25]], dtype)
    want = fast.softmax_with_loss(x, np.array([2, 0]))
    assert fast.softmax_with_loss(x, np.array([2.9, -0.999], dtype)) == want
    ignored = fast.softmax_with_loss(x, np.array([2.9, -1.9], dtype), ignore_label=-1, normalization="NONE")
    assert ignored == fast.softmax_with_loss(x[:1], np.array([2]), normalization="NONE")
    assert fast.softmax_with_loss(x, np.array([2.9, -0.7], dtype), ignore_label=0) == ignored


@DTYPES
def test_everything_ignored_divides_by_one(dtype: Any) -> None:
    x, out = np.ones((2, 3), dtype), np.empty((2, 3), dtype)
    assert fast.softmax_with_loss(x, np.array([9, 9]), ignore_label=9, out=out) == 0 and (out == 0).all()


LABELLED = {
    "softmax": lambda x, y, **k: fast.softmax_with_loss(x, y, **k),
    "infogain": lambda x, y, **k: fast.infogain_loss(x, y, np.eye(x.shape[1], dtype=x.dtype), **k),
    "hinge": lambda x, y, **k: fast.hinge_loss(x, y, **k),
    "multinomial": lambda x, y, **k: fast.multinomial_logistic_loss(x, y, **k),
    "softmax backward": lambda x, y, out: softmax_module.backward(x, y, top_diff=1.0, out=out),
}


@DTYPES
@pytest.mark.parametrize("loss", LABELLED.values(), ids=LABELLED)
@pytest.mark.parametrize("shape", [(4, 3), (1000, 100)], ids=["small", "large"])
@pytest.mark.parametrize("label", ["classes", -1, 1e6, 1e18, nan, inf, -inf])
def test_a_label_that_is_no_class_is_refused_with_its_place(
    loss: Any, shape: tuple[int, int], label: Any, dtype: Any
) -> None:
    x, labels = np.ones(shape, dtype), np.zeros(shape[0], dtype)
    labels[2:4] = shape[1] if label == "classes" else label
    with pytest.raises(
        ValueError, match=r"label \S+ at \(2,\) is outside 0\.\.\d+: labels are class indices"
    ) as refusal:
        loss(x, labels, out=np.empty_like(x))
    assert str(refusal.value).count("\n") == 0


def test_the_place_of_a_wrong_label_is_its_index_among_the_positions() -> None:
    labels = np.zeros((2, 4, 5), np.int64)
    labels[1, 2, 3] = 3
    with pytest.raises(ValueError, match=r"label 3 at \(1, 2, 3\) is outside 0\.\.2"):
        fast.softmax_with_loss(np.ones((2, 3, 4, 5)), labels)


def test_a_nan_among_the_data_is_no_wrong_label() -> None:
    x = np.full((4, 3), nan)
    assert np.isnan(fast.softmax_with_loss(x, np.array([0, 1, 2, 7]), ignore_label=7))
