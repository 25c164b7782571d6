"""Sizes: every loss layer on thousands of items, entries and positions, judged element by element.

Kernels go wrong where a small case does not reach: past the first block of threads, in a last block that is not full,
past 65535 blocks, which is all that a CUDA grid has in its second dimension. No size but the two that are multiples of
many numbers is one of a block or of a vector register.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.losses import LOSSES, Loss
from conformance.losses.kinds import beside
from conformance.losses.roles import Matrix, Scores
from conformance.suite.judged import bundle
from conformance.suite.sums import sum_checks

__all__ = ["SIZES", "case_of", "checks"]

FAMILY = "sizes"
WEIGHT = 2.5

SIZES: dict[str, tuple[int, ...]] = {
    "items": (1031, 3),
    "entries": (3, 1031),
    "positions": (3, 5, 37, 41),
    "blocks": (65599, 2),
    "both": (263, 131),
    "maps": (3, 71, 13, 17),
    "multiples": (10080, 2),
    "multiples-of-positions": (3, 2, 40, 42),
}
"""The first bottom's shapes: over 1024 items, entries of an item, positions; over 65535 items; so many items, or
positions, of so many entries that neither one is worked on whole. And counts that are multiples of nearly every small
number: where the last block is full, what is done for one that is not may go wrong."""

_NARROWER = {"entries": (3, 131)}
"""Where a thousand classes would need a matrix of a million entries."""


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    """One check for each layer, and one or two of its sum."""
    for stem, loss in losses.items():
        sizes = SIZES | (_NARROWER if loss.bottom(Matrix) else {})
        cases = [(partial(case_of, loss, name, shape), (f"{stem}.large-shapes",)) for name, shape in sizes.items()]
        yield bundle(f"{FAMILY}/{stem}", stem, cases, core=False, layer_types=(loss.type,))
        if loss.feeds is None:
            yield from sum_checks(loss)


def case_of(loss: Loss, name: str, shape: tuple[int, ...]) -> Case:
    """On answers such as the plainest variant's: those that are drawn may make a loss of so many items NaN. No margin
    hides the last item, which is what gets lost: what it is held against is near."""
    variant = replace(loss.sized(shape), fill=loss.plain.fill)
    values, rng = variant.values(), np.random.default_rng(len(name))
    for bottom in loss.bottoms:
        if isinstance(bottom.role, Scores) and bottom.role.of and "margin" in loss.traits:
            values[bottom.name][-1] = beside("apart-by-little", rng, values[bottom.role.of][-1])
    return variant.case(f"{FAMILY}/{loss.stem}/{name}", weights=(WEIGHT,), values=values)
