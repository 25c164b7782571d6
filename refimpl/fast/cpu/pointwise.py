# mypy: disable-error-code="no-any-return, untyped-decorator"
"""Pointwise: the kernels for a CPU that are made of a formula (`refimpl.fast.formula`), and what runs them.

What a tuned kernel of one loss can do, and these do not: compute large float32 inputs in float32, and share what value
and slope have in common beyond what the compiler finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refimpl.fast.cpu.arguments import MODES, NO_LABEL, Output, floats, ignored, mode_of, of_every_entry, same_samples
from refimpl.fast.cpu.kernel import (
    ADDING,
    CHUNK,
    DONE,
    QUICK,
    UNFIT,
    WIDE,
    added,
    attempt,
    block,
    call,
    chunks_of,
    fits,
    flat,
    helper,
    kernel,
    native,
    partial_sums,
    written,
)
from refimpl.fast.cpu.normaliser import divisor, divisor_of
from refimpl.fast.cpu.threads import spread
from refimpl.fast.formula import Formula, at_entry
from refimpl.fast.scalar import truncated
from refimpl.fast.stored import number, stored

__all__ = ["Kernels", "pointwise"]

Function = Callable[..., Any]
Settings = tuple[float, ...]
PLAIN = "BATCH_SIZE", None
"""The normalization and the ignore_label of a loss that has neither option."""


class Kernels(NamedTuple):
    """`quick` is for the whole of a problem of at most `most` entries, `chunks` for parts of a large one."""

    quick: Any
    chunks: Any
    most: int


def pointwise(formula: Formula, *, costly: bool = False) -> Callable[..., float]:
    """The loss of a formula: a function of x, t, u, v (None where there is none), the settings, the top's diff, the
    outputs (None for what is not wanted), threads, and where the formula counts normalization and ignore_label.

    `costly`: value and slope take so long that the slope is left out where no gradient is wanted, and some thousand
    entries are worth a thread. The function has its ``kernels``. It raises TypeError for other dtypes than float32 and
    float64 or several, ValueError for shapes that do not fit, an empty batch and an unknown normalization.
    """
    kernels = _kernels(formula, costly)
    quick, counts = kernels.quick, formula.counts

    def loss_of(
        x: Any,
        t: Any,
        u: Any,
        v: Any,
        settings: Settings,
        top_diff: Any,
        out: Any,
        out_b: Any,
        threads: int | None,
        normaliser: tuple[str, int | None] = PLAIN,
    ) -> float:
        norm: tuple[int | None, ...] = ()
        if counts:
            norm = MODES.get(normaliser[0]), NO_LABEL if normaliser[1] is None else normaliser[1]
        if (u is None or native(u)) and (v is None or native(v)):
            loss, status = attempt(quick, x, t, out, out_b, u, v, settings, norm, top_diff)
            if status == DONE:
                return loss
        arrays = _Arrays(formula, x, t, (u, v), (out, out_b))
        return arrays.loss(kernels, settings, normaliser, float(top_diff), threads)

    loss_of.kernels = kernels  # type: ignore[attr-defined]
    return loss_of


class _Arrays:
    """Arguments that the quick path did not take, made into what kernels take."""

    def __init__(self, formula: Formula, x: Any, t: Any, weights: tuple[Any, Any], outputs: tuple[Any, Any]) -> None:
        self.formula = formula
        self.x = floats(x, formula.names[0])
        self.t = floats(t, formula.names[1], self.x)
        self.num = same_samples(self.x, self.t)
        names = (*formula.weights, "", "")
        self.u, self.v = (self._of_entries(each, name) for each, name in zip(weights, names, strict=False))
        likes = zip(outputs, (*formula.outputs, ""), (self.x, self.t), strict=False)
        self.outputs = [Output(given, name, like) for given, name, like in likes]

    def _of_entries(self, weights: Any, name: str) -> Any:
        """Weights, flat. Raises ValueError unless there is one for every entry of x."""
        if weights is None:
            return None
        made = floats(weights, name, self.x)
        of_every_entry(made, name, self.x)
        return made.reshape(-1)

    def loss(
        self,
        kernels: Kernels,
        settings: Settings,
        normaliser: tuple[str, int | None],
        top_diff: float,
        threads: int | None,
    ) -> float:
        x, t, num = self.x, self.t, self.num
        mode, ignore = mode_of(normaliser[0]), ignored(normaliser[1])
        norm = (mode, ignore) if self.formula.counts else ()
        if x.size <= kernels.most:
            rows = x.reshape(num, -1), t.reshape(num, -1), *(each.shaped(num, -1) for each in self.outputs)
            weights = (each if each is None else each.reshape(num, -1) for each in (self.u, self.v))
            loss, _ = call(kernels.quick, *rows, *weights, settings, norm, top_diff)
        else:
            z = divisor_of(mode, num, t.reshape(-1), ignore, threads)
            flattened = x.reshape(-1), t.reshape(-1), *(each.flat for each in self.outputs), self.u, self.v
            work = *flattened, settings, norm, top_diff / z
            loss, _ = spread(kernels.chunks, chunks_of(x.size), x.size, threads, *work)
            loss /= self.formula.parts * z
        for output in self.outputs:
            output.finish()
        return float(loss)


def _kernels(formula: Formula, costly: bool) -> Kernels:
    arrays, parts, most = len(formula.names), formula.parts, WIDE if costly else QUICK

    def own(function: Function) -> Function:
        """Under the name of the loss's module: by it a kernel is found in the cache, and told from another loss's."""
        function.__module__, function.__qualname__ = formula.value.__module__, function.__name__
        return function

    value, slope = (helper()(own(at_entry(helper()(one), arrays))) for one in (formula.value, formula.slope))
    normaliser, counted = (_divisor, _is_counted) if formula.counts else (_batch, _every)

    @helper(**ADDING)
    @own
    def values(x: Any, t: Any, u: Any, v: Any, settings: Any, norm: Any) -> float:
        loss = 0.0
        for i in range(x.size):
            one = value(np.float64(number(x[i])), np.float64(number(t[i])), _weight(u, i), _weight(v, i), settings)
            loss += one if counted(t[i], norm) else 0.0
        return loss

    @helper()
    @own
    def slopes(x: Any, t: Any, u: Any, v: Any, settings: Any, norm: Any, kept: Any) -> None:
        for i in range(x.size):
            one = slope(np.float64(number(x[i])), np.float64(number(t[i])), _weight(u, i), _weight(v, i), settings)
            kept[i] = one if counted(t[i], norm) else 0.0

    @helper(**ADDING)
    @own
    def both(x: Any, t: Any, u: Any, v: Any, settings: Any, norm: Any, kept: Any) -> float:
        loss = 0.0
        for i in range(x.size):
            a, b, c, d = np.float64(number(x[i])), np.float64(number(t[i])), _weight(u, i), _weight(v, i)
            kept[i] = slope(a, b, c, d, settings) if counted(t[i], norm) else 0.0
            loss += value(a, b, c, d, settings) if counted(t[i], norm) else 0.0
        return loss

    @helper()
    @own
    def on_block(x: Any, t: Any, u: Any, v: Any, settings: Any, norm: Any, wanted: bool, kept: Any) -> float:
        """The loss of a block, which does not depend on whether its slopes are wanted too."""
        if not costly:
            return both(x, t, u, v, settings, norm, kept)
        if wanted:
            slopes(x, t, u, v, settings, norm, kept)
        return values(x, t, u, v, settings, norm)

    @helper()
    @own
    def work(
        first: int, last: int, sums: Any, arrays: Any, weights: Any, settings: Any, norm: Any, scale: float
    ) -> int:
        x, t, out_a, out_b = arrays
        u, v = weights
        kept, wanted = block(), out_a.size > 0 or out_b.size > 0
        for chunk in range(first, last):
            loss = 0.0
            for start in range(chunk * CHUNK, min(x.size, (chunk + 1) * CHUNK), kept.size):
                stop = min(x.size, start + kept.size)
                us, vs = _part(u, start, stop), _part(v, start, stop)
                loss += on_block(x[start:stop], t[start:stop], us, vs, settings, norm, wanted, kept)
                _scaled(kept, scale, out_a[start:stop])
                _scaled(kept, -scale, out_b[start:stop])
            sums[chunk] = loss
        return DONE

    @kernel(nogil=True)
    @own
    def chunks(
        first: int,
        last: int,
        sums: Any,
        x: Any,
        t: Any,
        out_a: Any,
        out_b: Any,
        u: Any,
        v: Any,
        settings: Any,
        norm: Any,
        scale: float,
    ) -> int:
        arrays, weights = (flat(x), flat(t), flat(out_a), flat(out_b)), (_flat(u), _flat(v))
        return work(first, last, flat(sums), arrays, weights, settings, norm, scale)

    @kernel(nogil=False)
    @own
    def quick(
        x: Any, t: Any, out_a: Any, out_b: Any, u: Any, v: Any, settings: Any, norm: Any, top_diff: float
    ) -> tuple[float, int]:
        """The whole of a small problem."""
        if not 0 < x.size <= most or x.shape != t.shape or not (fits(out_a, x) and fits(out_b, t)):
            return np.nan, UNFIT
        if not (_one_each(u, x) and _one_each(v, x)):
            return np.nan, UNFIT
        sums = partial_sums()[: chunks_of(x.size)]
        z = normaliser(norm, x.shape[0], flat(t))
        arrays, weights = (flat(x), flat(t), written(out_a, x), written(out_b, t)), (_flat(u), _flat(v))
        status = work(0, sums.size, sums, arrays, weights, settings, norm, top_diff / z)
        return added(sums) / (parts * z), status

    return Kernels(quick, chunks, most)


@helper()
def _scaled(kept: Any, scale: float, out: Any) -> None:
    for i in range(out.size):
        out[i] = stored(kept[i] * scale, out.dtype)


@helper()
def _batch(norm: Any, batch: int, labels: Any) -> float:
    return float(batch)


@helper()
def _divisor(norm: Any, batch: int, labels: Any) -> float:
    return divisor(norm[0], batch, labels, norm[1])


@helper()
def _every(label: Any, norm: Any) -> bool:
    return True


@helper()
def _is_counted(label: Any, norm: Any) -> bool:
    return truncated(number(label)) != norm[1]


@helper()
def _flat(weights: Any) -> Any:
    """Weights as a flat array; None stays None. (Of the two branches Numba compiles the one that holds.)"""
    if weights is None:
        return None
    return flat(weights)


@helper()
def _part(weights: Any, start: int, stop: int) -> Any:
    """Those of some entries; None of None."""
    if weights is None:
        return None
    return weights[start:stop]


@helper()
def _weight(weights: Any, i: int) -> Any:
    """The weight of an entry in float64, 1 where there are none."""
    if weights is None:
        return 1.0
    return np.float64(number(weights[i]))


@helper()
def _one_each(weights: Any, x: Any) -> bool:
    """Whether there are none, or one for every entry."""
    if weights is None:
        return True
    return weights.size == x.size
