"""What `refimpl.fast` takes, whatever its layout, and what it refuses, in one clear line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from refimpl import fast

Array = NDArray[Any]
RNG = np.random.default_rng(7)
X, B, T = (RNG.normal(size=(6, 4)) for _ in "xbt")
Y = np.array([0, 3, 1, 2, 2, 0])


def strided(a: Array) -> Array:
    return np.repeat(a, 2, axis=-1)[..., ::2]


def reversed_(a: Array) -> Array:
    return a[::-1].copy()[::-1]


def read_only(a: Array) -> Array:
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a: Array) -> Array:
    memory = np.empty(a.nbytes + 1, np.uint8)[1:]
    memory[...] = a.view(np.uint8).reshape(-1) if a.flags.c_contiguous else a.copy().view(np.uint8).reshape(-1)
    return memory.view(a.dtype).reshape(a.shape)


def foreign_bytes(a: Array) -> Array:
    return a.astype(a.dtype.newbyteorder())


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "fortran": np.asfortranarray,
    "strided": strided,
    "reversed": reversed_,
    "read-only": read_only,
    "unaligned": unaligned,
    "big-endian": foreign_bytes,
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_layout_of_inputs_does_not_change_a_bit(layout: Callable[[Array], Array], dtype: Any) -> None:
    x, b, y = X.astype(dtype), B.astype(dtype), Y.astype(dtype)
    want, got = np.empty_like(x), np.empty_like(x)
    for call in (
        lambda x, b, y, out: fast.softmax_with_loss(x, y, out=out),
        lambda x, b, y, out: fast.infogain_loss(x, y, b[:4], out=out),
        lambda x, b, y, out: fast.sigmoid_cross_entropy_loss(x, b, out=out),
        lambda x, b, y, out: fast.euclidean_loss(x, b, out_a=out),
        lambda x, b, y, out: fast.hinge_loss(x, y, out=out),
        lambda x, b, y, out: fast.multinomial_logistic_loss(np.abs(x), y, out=out),
        lambda x, b, y, out: fast.contrastive_loss(x, b, y, out_a=out),
    ):
        loss = call(x, b, y, want)
        assert call(layout(x), layout(b), layout(y), got) == loss
        assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "unaligned"])
def test_outputs_may_have_any_layout(layout: str) -> None:
    want, out, prob = np.empty_like(X), LAYOUTS[layout](np.zeros_like(X)), LAYOUTS[layout](np.zeros_like(X))
    want_prob = np.empty_like(X)
    fast.softmax_with_loss(X, Y, out=want, prob=want_prob)
    fast.softmax_with_loss(X, Y, out=out, prob=prob)
    assert (out == want).all() and (prob == want_prob).all()


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64, np.float16, np.float32, np.float64]
)
def test_labels_may_have_any_real_type(dtype: Any) -> None:
    for x in (X, X.astype(np.float32)):
        assert fast.softmax_with_loss(x, Y.astype(dtype)) == fast.softmax_with_loss(x, Y)
        assert fast.hinge_loss(x, Y.astype(dtype)) == fast.hinge_loss(x, Y)


@pytest.mark.parametrize("shape", [(6, 1), (6, 1, 1, 1), (1, 6)])
def test_only_the_number_of_labels_counts(shape: tuple[int, ...]) -> None:
    for loss in (fast.softmax_with_loss, fast.multinomial_logistic_loss, fast.hinge_loss):
        assert loss(np.abs(X), Y.reshape(shape)) == loss(np.abs(X), Y)


def test_lists_and_weights_of_any_number_type_will_do() -> None:
    out = np.empty((1, 2))
    assert fast.euclidean_loss([[1.0, 2.0]], [[0.0, 0.0]]) == 2.5
    fast.euclidean_loss(np.array([[1.0, 2.0]]), np.zeros((1, 2)), top_diff=np.float32(2), out_a=out)
    assert out.tolist() == [[2, 4]]
    fast.euclidean_loss(np.array([[1.0, 2.0]]), np.zeros((1, 2)), top_diff=True, out_b=out)
    assert out.tolist() == [[-1, -2]]


def test_shapes_need_agree_only_as_far_as_caffe_asks() -> None:
    x = RNG.normal(size=(2, 3, 4))
    assert fast.euclidean_loss(x, x.reshape(2, 12) + 1) == pytest.approx(6)
    assert fast.sigmoid_cross_entropy_loss(x, np.zeros((2, 12, 1))) == fast.sigmoid_cross_entropy_loss(
        x, np.zeros_like(x)
    )
    assert fast.contrastive_loss(x, x.reshape(2, 12), np.ones(2)) == 0


E, F = np.empty((0, 4)), np.empty((6, 4), np.float32)
REFUSALS: dict[str, tuple[type[Exception], str, Callable[[], object]]] = {
    "integers": (TypeError, "x has dtype int64: give float16", lambda: fast.softmax_with_loss(Y.reshape(2, 3), Y[:2])),
    "complex": (TypeError, "x has dtype complex64", lambda: fast.hinge_loss(X.astype(np.complex64), Y)),
    "mixed": (
        TypeError,
        "t has dtype float32: give it the dtype of the first input, float64",
        lambda: fast.sigmoid_cross_entropy_loss(X, F),
    ),
    "mixed pair": (TypeError, "b has dtype float32", lambda: fast.euclidean_loss(X, F)),
    "mixed matrix": (TypeError, "matrix has dtype float32", lambda: fast.infogain_loss(X, Y, F[:4])),
    "complex labels": (TypeError, "labels has dtype complex128", lambda: fast.hinge_loss(X, Y * 1j)),
    "empty": (
        ValueError,
        r"x is empty \(shape \(0, 4\)\): a batch of 0 has no loss",
        lambda: fast.softmax_with_loss(E, Y[:0]),
    ),
    "empty SCE": (ValueError, "x is empty", lambda: fast.sigmoid_cross_entropy_loss(E, E)),
    "empty pairs": (ValueError, "a is empty", lambda: fast.contrastive_loss(E, E, Y[:0])),
    "empty Euclid": (ValueError, "a is empty", lambda: fast.euclidean_loss(E, E)),
    "empty hinge": (ValueError, "x is empty", lambda: fast.hinge_loss(E, Y[:0])),
    "empty MLL": (ValueError, "p is empty", lambda: fast.multinomial_logistic_loss(E, Y[:0])),
    "too few labels": (
        ValueError,
        r"5 label\(s\) for 6 position\(s\) \(6,\)",
        lambda: fast.softmax_with_loss(X, Y[:5]),
    ),
    "too many labels": (ValueError, r"6 label\(s\) for 5 position", lambda: fast.softmax_with_loss(X[:5], Y)),
    "hinge labels": (ValueError, r"5 label\(s\) for an input of shape \(6, 4\)", lambda: fast.hinge_loss(X, Y[:5])),
    "MLL labels": (
        ValueError,
        r"6 label\(s\) for an input of shape \(5, 4\)",
        lambda: fast.multinomial_logistic_loss(X[:5], Y),
    ),
    "pair flags": (ValueError, r"5 label\(s\)", lambda: fast.contrastive_loss(X, X, Y[:5])),
    "no axis 1": (
        ValueError,
        r"axis 1 is out of range for logits of shape \(24,\)",
        lambda: fast.softmax_with_loss(X.ravel(), Y),
    ),
    "axis -3": (ValueError, "axis -3 is out of range", lambda: fast.softmax_with_loss(X, Y, axis=-3)),
    "0-d": (ValueError, "give as many samples", lambda: fast.euclidean_loss(np.array(1.0), np.array(1.0))),
    "shapes": (ValueError, r"the inputs have shapes \(6, 4\) and \(4, 6\)", lambda: fast.euclidean_loss(X, X.T)),
    "counts": (ValueError, r"the inputs have shapes", lambda: fast.sigmoid_cross_entropy_loss(X, X[:, :3])),
    "matrix": (
        ValueError,
        r"matrix has 16 entries \(shape \(4, 4\)\) for 3 classes: give 3 x 3",
        lambda: fast.infogain_loss(X[:, :3], Y, X[:4]),
    ),
    "mode": (
        ValueError,
        "normalization is 'MEAN': give one of VALID, FULL",
        lambda: fast.softmax_with_loss(X, Y, normalization="MEAN"),
    ),
    "norm": (ValueError, "norm is 'L3': give L1 or L2", lambda: fast.hinge_loss(X, Y, norm="L3")),
    "threads": (
        ValueError,
        "threads is 0: give at least 1",
        lambda: fast.euclidean_loss(np.ones((2, 10**5)), np.ones((2, 10**5)), threads=0),
    ),
    "out shape": (
        ValueError,
        r"out is float64 of shape \(4, 6\): it should be float64 of shape",
        lambda: fast.hinge_loss(X, Y, out=X.T.copy()),
    ),
    "out dtype": (ValueError, "out is float32 of shape", lambda: fast.softmax_with_loss(X, Y, out=F.copy())),
    "prob shape": (ValueError, "prob is float64 of shape", lambda: fast.softmax_with_loss(X, Y, prob=np.empty(24))),
    "out list": (TypeError, "out_a is a list: give a numpy array", lambda: fast.euclidean_loss(X, X, out_a=[0.0])),
    "out read-only": (ValueError, "out is read-only", lambda: fast.softmax_with_loss(X, Y, out=read_only(X))),
}


@pytest.mark.parametrize(("kind", "message", "call"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_are_one_clear_line(kind: type[Exception], message: str, call: Callable[[], object]) -> None:
    with pytest.raises(kind, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)


def test_a_call_that_does_not_fit_writes_nothing() -> None:
    out = np.full_like(X, 7)
    with pytest.raises(ValueError, match="position"):
        fast.softmax_with_loss(X, Y[:5], out=out)
    assert (out == 7).all()


def test_nothing_beyond_the_outputs_is_written() -> None:
    """The arrays lie between guards."""
    for shape, inner in (((6, 5), ()), ((30, 300), ()), ((2, 3), (50, 50))):
        memory = np.full((3, *shape, *inner), 7.0, np.float32)
        x, labels = np.ones((*shape, *inner), np.float32), np.zeros((shape[0], *inner), np.int64)
        fast.softmax_with_loss(x, labels, out=memory[1])
        assert (memory[0] == 7).all() and (memory[2] == 7).all() and (memory[1] != 7).all()


def test_the_public_functions_are_documented() -> None:
    assert len(fast.__all__) == 12
    for name in fast.__all__:
        function = getattr(fast, name)
        assert "Raises" in inspect.getdoc(function) and function.__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'softmax'"):
        _ = fast.softmax
    assert set(fast.__all__) <= set(dir(fast))
