"""Sensitivity: the smallest relative error of a loss or a gradient that the bounded judge rejects in 99 % of the cases.

Taken from the golden cases' stored outcomes, which are right and carry an implementation's own roundings (in half types
from the reference's, rounded where it stores them): the tops and
bottom gradients of the loss layers are made larger or smaller by 2^-k and judged again, a whole array at once or one
element alone.

A relative error means nothing for an element that is left over from a cancellation: its bound is that of its terms. An
element's scale is the magnitude that its bound is usual for: the bound over the median relative bound of that layer's
losses or gradients in that type. Elements below 1/8 of their scale are left out; how many is part of the result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Array
from conformance.contract.dtypes import DEFAULT, DOUBLE, FLOAT, Dtype, TypeClaim
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.verdict import Level
from conformance.fixtures import Fixture, load
from conformance.judge.bounded import measure
from conformance.judge.judgement import judge_outcome, versions_of
from conformance.judge.replay import Comparison
from conformance.losses import loss_of_type
from conformance.requirements import CATALOGUE
from conformance.suite import golden
from refimpl.running_error import Approx

__all__ = ["AIM", "Power", "Reading", "power_of", "powers", "readings", "to_markdown"]

AIM = {FLOAT: 16, DOUBLE: 40}
"""An error of 2^-k or more is to be rejected."""

AIM_UNITS = 2
"""In a type of fewer digits than float an error of 2^2 units roundoff or more, of who computes in float."""

SHARE = 0.99
"""Of the cases, or of the elements."""

CANCELLED = 1 / 8
"""Elements smaller than this share of their scale are left out."""

Quantity = Literal["loss", "gradient"]
_QUANTITIES: dict[str, Quantity] = {"forward": "loss", "backward": "gradient"}


@dataclass(frozen=True)
class Reading:
    """One stored array of a loss layer, flat, beside every right answer to it."""

    layer: str
    quantity: Quantity
    dtype: str
    got: Array
    wants: tuple[Approx, ...]

    @property
    def relative_bounds(self) -> NDArray[np.float64]:
        """Bound over magnitude; infinite where the magnitude is 0, or infinite itself."""
        with np.errstate(all="ignore"):
            relative = self.wants[0].error / np.absolute(self.got)
            return np.where((self.got != 0) & np.isfinite(self.got), relative, np.inf)

    def only(self, chosen: NDArray[np.bool_]) -> Reading:
        """The reading of some of the elements."""
        return Reading(
            self.layer, self.quantity, self.dtype, self.got[chosen], tuple(want[chosen] for want in self.wants)
        )

    def rejected(self, change: float) -> int:
        """How many elements are out of bounds where all are larger by the relative ``change``."""
        return measure(self.got * (1 + change), self.wants, self.dtype).rejected


@dataclass(frozen=True)
class Power:
    """One row of the table: an error of 2^-k is rejected, in the whole array or in any single element of it.

    ``arrays`` and ``elements`` were tried, ``cancelled`` elements left out.
    """

    layer: str
    quantity: Quantity
    dtype: str
    uniform: int
    single: int
    arrays: int
    elements: int
    cancelled: int

    @property
    def stored(self) -> Dtype:
        """The type of the arrays."""
        claim = TypeClaim.named(self.dtype)
        return claim.loss if self.quantity == "loss" else claim.gradients

    @property
    def aim(self) -> int:
        """0 where none is set: of who computes in half errors of any size may be right."""
        if TypeClaim.named(self.dtype).computed.significand < FLOAT.significand:
            return 0
        return AIM.get(self.stored, self.stored.significand - AIM_UNITS)

    @property
    def suffices(self) -> bool:
        return min(self.uniform, self.single) >= self.aim

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def powers(claims: Sequence[str] = DEFAULT) -> list[Power]:
    """The table in some claims of types, from the outcomes of the core cases that have to pass."""
    grouped: dict[tuple[str, str, str], list[Reading]] = defaultdict(list)
    for check in golden.checks():
        if check.core and any(CATALOGUE[name].level is Level.MUST for name in check.requirements):
            for reading in readings(load(check.id), claims):
                grouped[reading.layer, reading.quantity, reading.dtype].append(reading)
    return [power_of(grouped[group]) for group in sorted(grouped)]


def readings(fixture: Fixture, claims: Sequence[str] = DEFAULT) -> Iterator[Reading]:
    """The losses and bottom gradients of a golden case's loss layers, as its oracle gave them, or the reference in
    types that the oracle has no answer in."""
    for dtype in claims:
        outcome: Outcome | Refusal | None = None
        if dtype in fixture.dtypes:
            outcome = fixture.expected(dtype)
        elif dtype not in DEFAULT:
            outcome = ReferenceImplementation().run(fixture.case, dtype)
        if not isinstance(outcome, Outcome):
            continue
        side = judge_outcome(fixture.case, outcome, dtype).side
        _, versions = versions_of(fixture.case.rounded(dtype), outcome, dtype, side, subgradient=True, settled=True)
        for same in zip(*versions, strict=True):
            first: Comparison = same[0]
            loss = loss_of_type(first.layer_type)
            if loss and (first.aspect == "backward" or (first.aspect == "forward" and first.got.size == 1)):
                got = np.asarray(first.got, np.float64).ravel()
                wants = tuple(version.want.reshape(-1) for version in same)
                yield Reading(loss.stem, _QUANTITIES[first.aspect], dtype, got, wants)


def power_of(group: list[Reading]) -> Power:
    """The power over readings of one layer, quantity and type."""
    bounds = np.concatenate([reading.relative_bounds for reading in group])
    known = np.isfinite(bounds)
    largest = float(np.median(bounds[known])) / CANCELLED
    kept = [reading.only(reading.relative_bounds <= largest) for reading in group]
    kept = [reading for reading in kept if reading.got.size]
    first, elements = group[0], sum(reading.got.size for reading in kept)
    return Power(
        first.layer,
        first.quantity,
        first.dtype,
        uniform=_finest(lambda change: sum(r.rejected(change) > 0 for r in kept), len(kept), first.dtype),
        single=_finest(lambda change: sum(r.rejected(change) for r in kept), elements, first.dtype),
        arrays=len(kept),
        elements=elements,
        cancelled=int(known.sum()) - elements,
    )


def _finest(rejected: Callable[[float], int], tried: int, dtype: str) -> int:
    """The largest k for which changes of 2^-k in either direction are rejected as often as they have to be."""
    low, high = 0, max(each.significand for each in TypeClaim.named(dtype).stored)
    while low < high:
        k = (low + high + 1) // 2
        if rejected(2.0**-k) + rejected(-(2.0**-k)) >= 2 * SHARE * tried:
            low = k
        else:
            high = k - 1
    return low


def to_markdown(table: list[Power]) -> str:
    """The table of layers by quantity and type, and how much was left out of it."""
    quantities: tuple[Quantity, ...] = ("loss", "gradient")
    claims = list(dict.fromkeys(power.dtype for power in table))
    columns = [(quantity, claim) for claim in claims for quantity in quantities]
    rows = {(power.layer, power.quantity, power.dtype): power for power in table}
    head = [
        "layer",
        *(f"{claim} {name}" for claim in claims for name in ("loss", "gradient, all", "gradient, one element")),
    ]
    lines = [head, ["---"] * len(head)]
    for layer in dict.fromkeys(power.layer for power in table):
        cells = [layer]
        for quantity, claim in columns:
            power = rows[layer, quantity, claim]
            cells += [f"2^-{power.single}"] if quantity == "loss" else [f"2^-{power.uniform}", f"2^-{power.single}"]
        lines.append(cells)
    elements, cancelled = sum(p.elements for p in table), sum(p.cancelled for p in table)
    page = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    arrays = sum(power.arrays for power in table)
    return f"{page}\n\n{elements} elements of {arrays} arrays; {cancelled} cancelled elements left out.\n"
