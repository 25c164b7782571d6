"""Expectation: what a problem's loss and gradients are, and how far a plain evaluation may be from them.

The loss is that of all entries, computed by the reference in float64 chunk by chunk; gradients are compared at
entries spread over the whole of each. Bounds are those of the suite: the running error of the reference's own
formula, and either side where Caffe's formula is not the derivative of its loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.contract.case import forms_by_type
from conformance.judge.bounded import Measurement, measure
from conformance.judge.tolerance import FACTOR, rounding_of
from conformance.timing.problem import Array, Problem
from refimpl.dialect import Dialect
from refimpl.net import Net
from refimpl.running_error import Approx, Rounding

__all__ = ["Expectation", "Judged", "expect"]

SAMPLED = 1 << 15
"""Entries of each gradient that are compared, give or take a unit."""

CHUNK = 1 << 18
"""Entries whose losses are computed at once."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """Whether an answer is within the bounds, its least bound / error, the relative error of its loss, and what is
    wrong."""

    accepted: bool
    headroom: float
    loss_error: float
    reason: str = ""


@dataclass(frozen=True)
class Expectation:
    """The loss, and for each bottom that takes one the gradient at ``entries`` (flat indices) in each of its right
    versions."""

    problem: Problem
    entries: Indices
    loss: Approx
    gradients: tuple[tuple[Approx, ...], ...]

    def judge(self, loss: float, gradients: Sequence[Array]) -> Judged:
        """Hold an answer's loss, and its gradients at ``entries``, against the bounds."""
        claim = self.problem.claim
        measured = {"the loss": measure(np.asarray(loss), [self.loss], claim)}
        for name, got, wants in zip(self.problem.loss.learned, gradients, self.gradients, strict=True):
            measured[f"the gradient of {name}"] = measure(got, wants, claim)
        wrong = [_told(what, found, self.entries) for what, found in measured.items() if not found.accepted]
        value = float(self.loss.value)
        error = abs(loss - value) / abs(value) if value else abs(loss)
        return Judged(not wrong, min(found.headroom for found in measured.values()), error, "; ".join(wrong))


def _told(what: str, found: Measurement, entries: Indices) -> str:
    where = f" at entry {entries[found.index[0]]}" if found.index else ""
    return f"{what}{where} is {found.got!r} where {found.want!r} ± {found.bound:.2g} is right"


def expect(problem: Problem, arrays: Mapping[str, Array] | None = None) -> Expectation:
    """What the problem's own arrays (or those given) lead to."""
    arrays = problem.arrays() if arrays is None else arrays
    units = _units(problem)
    chosen = np.unique(np.linspace(0, units - 1, max(1, min(units, SAMPLED // _width(problem)))).astype(np.int64))
    return Expectation(
        problem, _entries(problem, chosen), _whole_loss(problem, arrays), _gradients(problem, arrays, chosen)
    )


def _units(problem: Problem) -> int:
    """How many independent terms the loss has."""
    return problem.size.elements // _width(problem)


def _width(problem: Problem) -> int:
    """Entries that a term depends on."""
    return 1 if problem.loss.unit == "entry" else problem.classes


def _entries(problem: Problem, units: Indices) -> Indices:
    """The flat indices of the scores of some units, unit by unit."""
    width = _width(problem)
    inner = problem.size.elements // (problem.samples * width) if problem.loss.unit == "position" else 1
    first = units // inner * (inner * width) + units % inner
    return (first[:, None] + np.arange(width) * inner).reshape(-1)


def _part(problem: Problem, arrays: Mapping[str, Array], units: Indices) -> dict[str, Array]:
    """The bottoms of a smaller problem that has only these units, one a sample."""
    entries = _entries(problem, units).reshape(len(units), -1)
    part: dict[str, Array] = {}
    by_item = problem.variant.by_item
    for name, array in arrays.items():
        if name not in by_item:
            part[name] = array
        else:
            part[name] = array.reshape(-1)[entries if array.size == problem.size.elements else units]
    return part


def _normaliser(problem: Problem, arrays: Mapping[str, Array]) -> int:
    """What the losses of the units are divided by, in the problem or a part of it."""
    if problem.loss.unit != "position":
        return len(arrays[problem.answer])
    labels = arrays[problem.answer]
    if problem.ignore_label is None:
        return labels.size
    return max(1, int(np.count_nonzero(labels != problem.ignore_label)))


def _net(problem: Problem, part: Mapping[str, Array], dialect: Dialect, rounding: Rounding) -> Net:
    variant = problem.variant.reshaped({name: array.shape for name, array in part.items()})
    dialect = Dialect(dialect.name, dialect.taken, dialect.true_derivatives, forms_by_type(problem.loss.forms))
    net = Net(variant.sources() + variant.layer(), dialect=dialect, dtype=rounding)
    for name, array in part.items():
        blob = net.params[name][0] if name in net.params else net.blobs[name]
        blob.data[...] = array.astype(np.float64)
    return net


def _whole_loss(problem: Problem, arrays: Mapping[str, Array]) -> Approx:
    """The loss of all units, with the error of adding up its terms in any order."""
    rounding = rounding_of(problem.claim, sharp=True)
    value, error = 0.0, 0.0
    for units in _chunks(_units(problem), max(1, CHUNK // _width(problem))):
        part = _part(problem, arrays, units)
        loss = _net(problem, part, Dialect.named("documented"), rounding).forward()
        divisor = _normaliser(problem, part)
        value += float(loss.value) * divisor
        error += float(loss.error) * divisor
    scale = _normaliser(problem, arrays)
    added = FACTOR * problem.size.elements * rounding.unit * abs(value)
    return Approx(value / scale, (error + added) / scale, rounding)


def _chunks(units: int, size: int) -> Iterator[Indices]:
    for start in range(0, units, size):
        yield np.arange(start, min(units, start + size), dtype=np.int64)


def _gradients(problem: Problem, arrays: Mapping[str, Array], units: Indices) -> tuple[tuple[Approx, ...], ...]:
    """For each bottom that takes one, the gradient of the units in every version that is right."""
    part = _part(problem, arrays, units)
    weight = _normaliser(problem, part) / _normaliser(problem, arrays)
    caffes, departed, blurred = _gradient(problem, part, weight, frozenset(), sharp=True)
    versions = [caffes]
    if blurred:
        versions.append(_gradient(problem, part, weight, frozenset(), sharp=False)[0])
    if departed:
        versions.append(_gradient(problem, part, weight, departed, sharp=False)[0])
    return tuple(zip(*versions, strict=True))


def _gradient(
    problem: Problem, part: Mapping[str, Array], weight: float, departures: frozenset[str], sharp: bool
) -> tuple[list[Approx], frozenset[str], bool]:
    """The gradients of one version, the departures that were met on the way, and whether a kink was."""
    dialect = Dialect("documented", (), departures)
    rounding = rounding_of(problem.claim, subgradient=not sharp, sharp=sharp)
    net = _net(problem, part, dialect, rounding)
    net.forward()
    net.blobs["loss"].diff[...] = weight
    net.backward()
    gradients = [(net.params[name][0] if name in net.params else net.blobs[name]).diff for name in problem.loss.learned]
    return [gradient.reshape(-1) for gradient in gradients], net.met.departed, net.met.blurred
