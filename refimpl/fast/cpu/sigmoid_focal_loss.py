# mypy: disable-error-code="no-any-return, untyped-decorator"
"""FocalLoss over sigmoids on a CPU (GuohongWu/caffe-windows@d3c5786c ``src/caffe/layers/focal_loss_layer.cu``).

``L = sum a q^gamma ce / Z`` over the counted entries: ce the cross entropy of sigmoid and target; q the sigmoid of -x
at a target that, truncated, is 1, and of x elsewhere; a is alpha there and 1 - alpha elsewhere, or with `one_alpha`
alpha too. ``dL/dx = w a q^gamma (s - t -+ gamma (1 - q) ce) / Z``, s the sigmoid, minus at a target of 1 and plus
elsewhere: the derivative, where q is next to 0 as well.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

from refimpl.fast.cpu.pointwise import pointwise
from refimpl.fast.formula import Formula
from refimpl.fast.parameters import gradient_alone
from refimpl.fast.scalar import FLAGS, cross_entropy, exp, like, log, sigmoid, truncated

__all__ = ["FORMULA", "backward", "sigmoid_focal_loss"]


def _settings(alpha: float, gamma: float, one_alpha: bool) -> tuple[float, float, float]:
    """a at a target of 1 and elsewhere, and gamma. Raises ValueError for a negative gamma."""
    if gamma < 0:
        raise ValueError(f"gamma is {gamma}: give 0 or more")
    return float(alpha), float(alpha if one_alpha else 1 - alpha), float(gamma)


@njit(**FLAGS, forceinline=True)
def _raised(rest: Any, gamma: Any) -> Any:
    """rest^gamma, rest at most 1. The factor that gamma log(rest) is off by is less than what rest itself is rounded by
    counts for."""
    return exp(gamma * log(rest)) if gamma > like(rest, 0) else like(rest, 1)


def _value(x: Any, t: Any, s: Any) -> Any:
    of_ones, of_others, gamma = s
    one = truncated(t) == 1
    rest = sigmoid(-x if one else x)
    return (of_ones if one else of_others) * _raised(rest, gamma) * cross_entropy(x, t, exp(-abs(x)))


def _slope(x: Any, t: Any, s: Any) -> Any:
    of_ones, of_others, gamma = s
    one = truncated(t) == 1
    rest = sigmoid(-x if one else x)
    slope = sigmoid(x) - t
    if gamma > like(x, 0):
        part = gamma * (like(x, 1) - rest) * cross_entropy(x, t, exp(-abs(x)))
        slope = slope - part if one else slope + part
    return (of_ones if one else of_others) * _raised(rest, gamma) * slope


FORMULA = Formula(
    "sigmoid_focal_loss", _value, _slope, names=("x", "t"), outputs=("out",), settings=_settings, counts=True
)
_loss = pointwise(FORMULA, costly=True)


def sigmoid_focal_loss(
    x: NDArray[Any],
    t: NDArray[Any],
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    one_alpha: bool = False,
    ignore_label: int | None = None,
    normalization: str = "BATCH_SIZE",
    top_diff: float = 1.0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> float:
    """The loss, and in the same pass the gradient, if there is an array to write it to.

    `x`, `t`: scores and targets, of a type of `refimpl.dtypes`, both the same; N samples along the first axis with the
    same number of entries. Targets may be any number; one whose integral part is `ignore_label` does not count.
    `normalization`: divide by the entries (FULL), those that count (VALID), N (BATCH_SIZE) or 1 (NONE). `out`: like x,
    sharing no memory with it; receives the gradient for the given `top_diff` (the top's diff, that is the weight).
    `threads`: at most so many.

    Raises TypeError for other dtypes; ValueError for shapes that do not fit, an empty batch, a negative `gamma` and an
    unknown `normalization`.
    """
    settings, normaliser = FORMULA.settings(alpha, gamma, one_alpha), (normalization, ignore_label)
    return _loss(x, t, None, None, settings, top_diff, out, None, threads, normaliser)


backward = gradient_alone(sigmoid_focal_loss)
