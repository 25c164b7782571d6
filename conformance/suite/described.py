"""Described: whether a description of a loss and its reference layer hold together, before they judge anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.dtypes import FLOAT
from conformance.contract.errors import one_line
from conformance.judge.derivative import Search, chosen_coordinates, slope
from conformance.judge.reference import build, run_steps
from conformance.judge.tolerance import (
    CHECK_COORDINATES,
    CHECK_JUMP,
    CHECK_LINES,
    CHECK_POINTS,
    CHECK_SHARE,
    CHECK_SPREAD,
    rounding_of,
)
from conformance.losses.loss import Loss
from conformance.losses.variant import Variant
from refimpl.errors import NetError
from refimpl.net import Net
from refimpl.running_error import Approx, Flags, Rounding

__all__ = ["faults_of"]

WEIGHT = 2.5
_TINY = 1e-30
"""An imaginary step: its square is lost beside anything, so that nothing cancels."""


def faults_of(loss: Loss) -> Iterator[str]:
    """One line for everything that is wrong with a loss; none where it can be used."""
    yield from _options(loss)
    found: dict[str, list[str]] = {}
    for variant in loss.variants:
        try:
            faults = list(_variant(variant))
        except NetError as error:
            faults = [f"the reference refuses it: {one_line(str(error))}"]
        except Exception as error:
            faults = [f"the reference breaks: {one_line(f'{type(error).__name__}: {error}')}"]
        for fault in faults:
            found.setdefault(fault, []).append(variant.name)
    yield from (f"variant {' and '.join(names)}: {fault}" for fault, names in found.items())


def _options(loss: Loss) -> Iterator[str]:
    """Options are fields that the layer reads, and some variant sets each to something else than its default."""
    for path, values in loss.options.items():
        message, _, field = path.partition(".")
        own = loss.layer.messages.get(message)
        if own is not None and field not in own.schema:
            yield f"option {path}: {message} has no field {field!r}; it has {', '.join(own.schema)}"
            continue
        if not values:
            yield f"option {path}: no value to try; give the default first"
        reached = any(variant.options.get(path, values[0]) != values[0] for variant in loss.variants)
        if len(values) > 1 and not reached:
            yield f"option {path}: no published variant sets it to anything but its default, {values[0]}"
    for message, own in loss.layer.messages.items():
        for field in own.schema:
            if f"{message}.{field}" not in loss.options:
                yield f"option {message}.{field}: the layer reads it and the description's options do not list it"
    for variant in loss.variants:
        for path in variant.options:
            if path not in loss.options and not path.startswith("loss_param."):
                yield f"variant {variant.name}: it sets {path}, which the description's options do not list"


def _variant(variant: Variant) -> Iterator[str]:
    case = variant.case("losses/check", weights=(WEIGHT,), seed=1)
    net = _ran(case)
    loss = float(net_loss(net))
    if not np.isfinite(loss):
        yield f"its loss is {loss}"
        return
    yield from _gradients(variant, case, net)
    yield from _kinks(variant, case)
    yield from _bounds(variant, case)


def net_loss(net: Net) -> float:
    """The weighted total that a net holds after its forward pass."""
    return float(sum(WEIGHT * float(np.real(net.blobs[top].data).ravel()[0]) for top in net.loss_weights))


def _ran(case: Case, **options: Any) -> Net:
    net = build(case, **options)
    run_steps(net, case)
    return net


def _total(variant: Variant, case: Case, name: str, array: Array) -> float:
    """The reference's loss with one bottom replaced."""
    values = {**case.inputs, **{given: arrays[0] for given, arrays in case.params.items()}, name: array}
    changed = variant.case("losses/check", weights=(WEIGHT,), values=values, steps=("forward",))
    net = build(changed)
    return float(run_steps(net, changed)[-1])


def _values(case: Case, name: str) -> Array:
    return case.inputs[name] if name in case.inputs else case.params[name][0]


def _gradients(variant: Variant, case: Case, net: Net) -> Iterator[str]:
    """Each bottom's gradient against differences of the layer's own forward, and against an imaginary step where the
    formula takes one."""
    for name in variant.learned:
        gradient, values = np.asarray(net.blobs[name].diff, np.float64), _values(case, name)
        scale = float(np.max(np.abs(gradient), initial=0.0))
        if not scale:
            if variant is variant.loss.plain:
                yield f"{name}: the gradient is 0 everywhere; a bottom that takes none is not to say learns=True"
            continue
        for index in chosen_coordinates(gradient, CHECK_COORDINATES):
            search = Search(levels=8, enough=1e-9 * scale, here=_total(variant, case, name, values))
            measured = slope(partial(_moved, variant, case, name, values, index), search=search)
            off = abs(float(gradient[index]) - measured.value)
            if off > measured.error + CHECK_SHARE * scale:
                departs = "" if not net.met.departed else f" (in the region of {', '.join(sorted(net.met.departed))})"
                if departs:
                    break
                yield (
                    f"{name}{list(index)}: backward gives {gradient[index]:.9g}, the slope of forward is "
                    f"{measured.value:.9g} ± {measured.error:.1g} by differences"
                )
                break
        else:
            yield from _imaginary(variant, case, name, gradient, values, scale)


def _moved(variant: Variant, case: Case, name: str, values: Array, index: tuple[int, ...], change: float) -> float:
    moved = values.copy()
    moved[index] += change
    return _total(variant, case, name, moved)


def _imaginary(variant: Variant, case: Case, name: str, gradient: Array, values: Array, scale: float) -> Iterator[str]:
    """An analytic formula gives its derivative along a direction exactly; another gives none, or raises."""
    direction = np.where(np.arange(values.size) % 2, 1.0, -1.0).reshape(values.shape)
    net = build(case, dtype="complex128")
    blob = net.params[name][0] if name in net.params else net.blobs[name]
    try:
        blob.data[...] = values + 1j * _TINY * direction
        total = run_steps(net, case, backward=lambda net, last: None)[-1]
    except (TypeError, NotImplementedError):
        return
    along, want = float(np.imag(total)) / _TINY, float(np.sum(gradient * direction))
    terms = float(np.sum(np.abs(gradient)))
    if along and abs(along - want) > CHECK_SHARE * max(terms, scale):
        yield f"{name}: backward gives {want:.15g} along a direction, an imaginary step through forward {along:.15g}"


def _kinks(variant: Variant, case: Case) -> Iterator[str]:
    """Where the slope jumps along lines through the values, the layer has to say that a kink is near."""
    rng = np.random.default_rng(len(variant.name))
    for name in variant.learned:
        values = _values(case, name)
        for _ in range(CHECK_LINES):
            direction = rng.choice([-1.0, 1.0], values.shape)
            found = _jump_along(lambda t: _total(variant, case, name, values + t * direction))  # noqa: B023
            if found is None:
                continue
            place, jump = found
            near = _declared(variant, case, name, values + place * direction)
            if near > 8 * CHECK_SPREAD / CHECK_POINTS:
                told = "none" if near == np.inf else f"none nearer than {near:.2g}"
                yield (
                    f"{name}: the slope of forward jumps by {jump:.3g} of its size on the way from one set of values "
                    f"to another, and kinks() declares {told} there"
                )
                return


def _jump_along(loss: Callable[[float], float]) -> tuple[float, float] | None:
    """Where on a line the slope jumps, and by how much of the largest slope; None where it nowhere does."""
    step = CHECK_SPREAD / CHECK_POINTS
    at = np.arange(-CHECK_POINTS, CHECK_POINTS + 1) * step
    losses = np.array([loss(t) for t in at])
    if not np.isfinite(losses).all():
        return None
    slopes = np.diff(losses) / step
    jumps = np.abs(np.diff(slopes))
    largest = float(np.max(np.abs(slopes))) or 1.0
    usual = float(np.median(jumps))
    i = int(np.argmax(jumps))
    if jumps[i] < CHECK_JUMP * largest or jumps[i] < 8 * usual:
        return None
    middle = float(at[i + 1])
    near = np.array([loss(middle + k * step / 64) for k in range(-64, 65)])
    finer = float(np.max(np.abs(np.diff(near, 2)))) / (step / 64)
    return (middle, jumps[i] / largest) if finer > jumps[i] / 4 else None


def _declared(variant: Variant, case: Case, name: str, array: Array) -> float:
    """The nearest kink that the layer declares for a bottom's entries at other values."""
    values = {**case.inputs, **{given: arrays[0] for given, arrays in case.params.items()}, name: array}
    changed = variant.case("losses/check", weights=(WEIGHT,), values=values)
    net = _ran(changed)
    nearest = np.inf
    for node in net.layers:
        for bottom, distance in zip(node.bottoms, node.layer.kinks(net.bottoms_of(node)), strict=True):
            if bottom == name and distance is not None:
                nearest = min(nearest, float(np.min(distance)))
    return nearest


class _Plain(Approx):
    """A plain evaluation: every result rounded to float32. What it is off by has to lie within the bound."""

    def replaced(self, value: object, error: object) -> _Plain:
        return _Plain(FLOAT.rounded(np.asarray(value, np.float64)), error, self.rounding, self.flags)

    def __setitem__(self, key: Any, new: Any) -> None:
        super().__setitem__(key, new)
        self.value[key] = FLOAT.rounded(self.value[key])


def _bounds(variant: Variant, case: Case) -> Iterator[str]:
    """The bound on a plain float32 evaluation holds for one, and is finite."""
    rounding = rounding_of(FLOAT.name)
    try:
        bounded = _ran(case, dtype=rounding)
    except TypeError as error:
        yield f"running errors do not know {_operation(error)}: use what refimpl.arithmetic has, or another formula"
        return
    exact, plain = _ran(case), _ran(case, dtype=partial(_zeros, rounding, Flags()))
    for part in ("data", "diff"):
        for name, blob in bounded.blobs.items():
            held: Approx = getattr(blob, part)
            bound = np.asarray(held.error)
            if not np.isfinite(bound).all():
                yield f"{part} of {name}: its error has no bound in {FLOAT.name}: a division or a logarithm near 0"
                return
            got = np.asarray(getattr(plain.blobs[name], part).value, np.float64)
            off = np.abs(got - np.asarray(getattr(exact.blobs[name], part), np.float64))
            if (off > bound).any():
                at = int(np.argmax(off - bound))
                yield (
                    f"{part} of {name}: a plain {FLOAT.name} evaluation is off by {off.ravel()[at]:.3g} where the "
                    f"bound is {bound.ravel()[at]:.3g}: errors are lost where a formula leaves .wide (value_of, .real)"
                )
                return


def _zeros(rounding: Rounding, flags: Flags, size: int) -> Approx:
    return _Plain(np.zeros(size), np.zeros(size), rounding, flags)


def _operation(error: TypeError) -> str:
    """The numpy function that an error is about."""
    found = re.search(r"numpy\.[\w.]+|ufunc '(\w+)'", str(error))
    return (f"numpy.{found[1]}" if found[1] else found[0]) if found else one_line(str(error), 120)
