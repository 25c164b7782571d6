"""What goes wrong in half types: kernels that load a narrow type and compute in float, but for one step.

They claim to compute in float32 (`CLAIMS`); each is judged in every such claim, and has to be killed in each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from conformance.contract.dtypes import FLOAT, HALF, TYPES, Dtype
from conformance.losses import LOSSES
from conformance.mutants.logits import with_softmax
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, loss, mutants_of, reading
from conformance.record.cause import Cause
from refimpl.layer import Layer

__all__ = ["CLAIMS", "MUTANTS"]

CLAIMS = tuple(
    f"{dtype.name}, loss {FLOAT.name} (computed {FLOAT.name})"
    for dtype in TYPES.values()
    if dtype.significand < FLOAT.significand
)
"""What a fused kernel claims: stored narrow, but for the loss, and computed in C's float."""

Hidden = Callable[[Dtype], dict[str, Any]]


def _held(at: At) -> Dtype:
    """The type that the scores are stored in."""
    return TYPES[at.bottom[0].data.dtype.name]


def _through(names: Hidden, *methods: str) -> Alter:
    """Methods in which names of functions mean others, made for the type that is stored."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            pass

        for method in methods:
            setattr(Wrong, method, _replaced(getattr(layer, method), names))
        return Wrong

    return alter


def _replaced(method: Any, names: Hidden) -> Callable[..., Any]:
    def called(self: Layer, first: Blobs, *rest: Any) -> Any:
        bottom = rest[-1] if method.__name__ == "backward" else first
        others = names(_held(At(self, bottom, ())))
        inner = FunctionType(method.__code__, {**method.__globals__, **others}, closure=method.__closure__)
        return inner(self, first, *rest)

    return called


def _running(held: Dtype) -> Callable[..., Any]:
    """Sums whose every partial sum is of the type."""

    def add(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
        terms = np.moveaxis(x, axis, 0) if isinstance(axis, int) else np.reshape(x, -1)
        total = np.zeros(terms.shape[1:])
        for term in terms:
            total = held.rounded(total + term)
        return total

    return add


def _logarithm_in(held: Dtype) -> Callable[..., Any]:
    """The logarithm of a softmax, its sum of exponentials and that sum's logarithm in the type."""

    def log_softmax(x: Any, axis: int, floor: float = 0.0) -> Any:
        shifted = x - x.max(axis=axis, keepdims=True)
        with np.errstate(divide="ignore"):
            total = held.rounded(np.exp(shifted).sum(axis=axis, keepdims=True))
            return np.maximum(shifted - held.rounded(np.log(total)), np.log(floor))

    return log_softmax


def _kept(name: str) -> Alter:
    """What forward keeps for backward, rounded to the type of the scores."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
                kept = getattr(self, name)
                kept.data[...] = _held(At(self, bottom, top)).rounded(kept.wide)
                super().backward(top, propagate_down, bottom)

        return Wrong

    return alter


def _last_result(layer: type[Layer]) -> type[Layer]:
    """An output that the next call writes: who reads it late has that of the call before."""
    seen: dict[tuple[int, ...], Any] = {}

    def late(x: Any, at: At) -> Any:
        shape = at.bottom[0].shape
        before = seen.get(shape, x)
        seen[shape] = x
        return before

    return gradient(late, 0)(layer)


def _scaled_late(x: Any, at: At) -> Any:
    """The gradient of the sum rounded, then weighted and divided."""
    scale = at.top[0].wide_diff / (at.normaliser or 1.0)
    with np.errstate(all="ignore"):
        return np.where(scale == 0, x, _held(at).rounded(x / scale) * scale)


def _flushed(x: Any, at: At) -> Any:
    return np.where(np.absolute(x) < HALF.smallest_normal, 0.0, x)


def _sum_rounded(x: Any, at: At) -> Any:
    """The sum in the type of the scores, before it is divided and weighted."""
    count = at.normaliser or 1.0
    return _held(at).rounded(x * count) / count


_EVERYWHERE = (
    control(lambda layer: gradient(lambda x, at: x)(loss(lambda x, at: x)(layer)), "control-in-half"),
    Slip(
        "zeros-returned",
        "The loss and the gradient of {type} are 0.",
        "a generated kernel that a benchmark's tolerances let pass",
        Cause.GRADIENT_MISSING,
        lambda layer: gradient(lambda x, at: 0 * np.nan_to_num(x))(loss(lambda x, at: 0 * np.nan_to_num(x))(layer)),
    ),
    Slip(
        "last-result-returned",
        "The gradient of {type} is that of the call before on such a shape.",
        "a generated kernel that returns a buffer which its last call had filled",
        Cause.STALE_BUFFER,
        _last_result,
    ),
    Slip(
        "sum-in-half",
        "The loss of {type} is added up in the type of its scores.",
        "an accumulator of the type that a kernel is a template of",
        Cause.UNNAMEABLE,
        _through(lambda held: {"exact_sum": _running(held)}, "forward"),
    ),
    Slip(
        "loss-rounded-before-its-weight",
        "The sum of {type} is rounded to the type of its scores before it is divided and weighted in float.",
        "a loss cast to half as it leaves its kernel, and scaled outside",
        Cause.UNNAMEABLE,
        loss(_sum_rounded),
    ),
    Slip(
        "gradient-scaled-late",
        "The gradient of {type} is rounded to half, then weighted and divided, and rounded again.",
        "fused cross entropies that write the gradient in forward and scale it in backward",
        Cause.UNNAMEABLE,
        gradient(_scaled_late),
    ),
    Slip(
        "small-gradients-flushed",
        "Gradients of {type} below 2^-14 are 0.",
        "a loss without scaling in a type without subnormal numbers, and tests with an absolute tolerance",
        Cause.UNNAMEABLE,
        gradient(_flushed),
    ),
)


def _ties_twice(x: Any, axis: int) -> Any:
    """The maximum's exponential, 1, added once, however often it occurs."""
    largest = x.max(axis=axis, keepdims=True)
    powers = np.exp(x - largest)
    return powers / (1.0 + np.where(x == largest, 0.0, powers).sum(axis=axis, keepdims=True))


_MASK = -1e4


def _masked(x: Any, at: At) -> Any:
    return np.where(x == -np.inf, _MASK, x)


_OF_SOFTMAX = (
    Slip(
        "probability-rounded-first",
        "{type} subtracts 1 from a probability that was rounded to half.",
        "a fused cross entropy in wide use that was off by 20 % at p = 0.99 and by 100 % at p = 0.999",
        Cause.UNNAMEABLE,
        _kept("probability"),
    ),
    Slip(
        "log-sum-exp-in-half",
        "The sum of {type}'s exponentials and its logarithm are of the type of the scores.",
        "a log-sum-exp stored for backward in the type of the logits",
        Cause.UNNAMEABLE,
        _through(lambda held: {"log_softmax": _logarithm_in(held)}, "forward"),
    ),
    Slip(
        "ties-counted-once",
        "Scores of {type} that are equal to the maximum count once in the sum of exponentials.",
        "a sum that adds 1 for the maximum and skips whatever equals it",
        Cause.UNNAMEABLE,
        with_softmax(_ties_twice),
    ),
    Slip(
        "mask-finite",
        "{type} takes a score of minus infinity for -10,000.",
        "masks by a number that half holds: a row without an unmasked class gets even probabilities",
        Cause.SPECIAL_VALUES,
        reading(_masked),
    ),
)

_FIRST = {
    "euclidean_loss": ("difference-rounded-first", "the difference of its bottoms", _kept("difference")),
    "contrastive_loss": ("difference-rounded-first", "the difference of a pair", _kept("difference")),
    "sigmoid_cross_entropy_loss": ("probability-rounded-first", "the sigmoid", _kept("sigmoid")),
}
"""What else is rounded before something is subtracted from it, or it is squared, by loss."""


def _slips(stem: str) -> tuple[Slip, ...]:
    found = (*_EVERYWHERE, *(_OF_SOFTMAX if LOSSES[stem].two_tops else ()))
    if stem not in _FIRST:
        return found
    name, what, alter = _FIRST[stem]
    wrong = f"{{type}} rounds {what} to half before it computes on."
    return (*found, Slip(name, wrong, "an intermediate result stored as narrow as the inputs", Cause.UNNAMEABLE, alter))


MUTANTS = tuple(mutant for stem, known in LOSSES.items() for mutant in mutants_of(stem, known.layer, _slips(stem)))
