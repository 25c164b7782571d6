"""Every number of tolerance, on one page.

Bounds are not chosen: they are the first-order running error of a plain evaluation (`refimpl.running_error`) of each
layer at the inputs the implementation had. What is chosen is how many roundings an operation is charged; what a
function is charged was stated or measured (`refimpl.charges`).
"""

from __future__ import annotations

import numpy as np

from conformance.contract.dtypes import DOUBLE, FLOAT, Dtype, TypeClaim
from refimpl.charges import charges_of
from refimpl.running_error import Rounding

__all__ = [
    "BIAS_ELEMENTS",
    "BIAS_SHARE",
    "CHECK_COORDINATES",
    "CHECK_JUMP",
    "CHECK_LINES",
    "CHECK_POINTS",
    "CHECK_SHARE",
    "CHECK_SPREAD",
    "DIFFERENCE_COORDINATES",
    "DIFFERENCE_LEVELS",
    "DIFFERENCE_POWER",
    "DIFFERENCE_ROUNDINGS",
    "DIFFERENCE_SAFETY",
    "DIFFERENCE_STEP",
    "FACTOR",
    "FREE_ALLOWANCE",
    "FREE_COORDINATES",
    "FREE_DIRECTIONS",
    "FREE_ENOUGH",
    "FREE_LEVELS",
    "FREE_POWER",
    "FREE_STEP",
    "NOISE_ORDER",
    "NOISE_POINTS",
    "gradient_allowance",
    "noise_step",
    "rounding_of",
]

FACTOR = 2.0
"""Roundings charged per operation: correctly rounded ones need 1, those of a fast division or a fused one 2."""

REFERENCE_UNIT = DOUBLE.unit_roundoff
"""The reference's own roundings, added to the implementation's: they matter only where that is float64 too."""


def rounding_of(
    dtype: str, *, subgradient: bool = False, sharp: bool = False, unlimited: bool = False, walking: bool = False
) -> Rounding:
    """The arithmetic of a claim of types, by its name.

    With ``subgradient``, any value between the one-sided limits is right at a kink; with ``sharp``, none but Caffe's.
    With ``unlimited``, intermediate results do not overflow: an implementation may carry more range than it stores.
    With ``walking``, sums of many unlike terms are charged `SUM_WALK` roundings times the root of their count.
    """
    claim = TypeClaim.named(dtype)
    computed, added = claim.computed, claim.accumulated
    narrow = computed.significand < FLOAT.significand or added.significand < FLOAT.significand
    return Rounding(
        unit=computed.unit_roundoff + REFERENCE_UNIT,
        tiny=computed.smallest_normal,
        huge=np.inf if unlimited else computed.largest,
        factor=FACTOR,
        subgradient=subgradient,
        sharp=sharp,
        charges=charges_of(computed),
        walk=SUM_WALK if walking else np.inf,
        underflow=min(FACTOR * computed.underflow, computed.smallest_normal),
        added=None if added == computed else added.unit_roundoff + REFERENCE_UNIT,
        longest=SUM_SHARE / added.unit_roundoff,
        narrow=computed if narrow else None,
        claim=None if claim.is_of_one_type and not narrow else claim,
    )


DIFFERENCE_STEP = 2.0**-5
"""The largest step of the finite differences; steps are powers of two, so that changing an input is exact."""

DIFFERENCE_LEVELS = 6
"""Halvings of the step: the sixth extrapolation has a truncation error of order step^12."""

DIFFERENCE_SAFETY = 4.0
"""An extrapolation's last change bounds its error for a smooth function; this many times over for the constants
nobody knows."""

DIFFERENCE_ROUNDINGS = 64.0
"""Unit roundoffs of the loss that two evaluations of it may differ by: a loss of up to 64 terms, each off by one."""

DIFFERENCE_POWER = 1e-6
"""A derivative known no better than this, relative to the array's largest, cannot tell right from wrong:
inconclusive."""

DIFFERENCE_COORDINATES = 24
"""Coordinates of one case that are differenced."""

CHECK_COORDINATES = 16
"""Entries of each bottom at which a described loss is held against its own forward."""

CHECK_SHARE = 1e-9
"""How far, relative to the largest gradient, backward may be from the derivative of forward, beside its error."""

CHECK_LINES = 2
"""Lines through the values on which kinks are looked for."""

CHECK_POINTS = 96
"""Losses on either half of such a line."""

CHECK_SPREAD = 1.0
"""How far such a line goes from the values, in every entry."""

CHECK_JUMP = 1e-3
"""What a slope has to jump by, relative to the largest one on the line, to be a kink."""

BIAS_SHARE = 1 / FACTOR
"""The share of the elements' bounds that an error common to all of them may have: where every operation is rounded
correctly, a common factor stays within it."""

BIAS_ELEMENTS = 12
"""With fewer elements a mean of rounding errors says nothing."""

NOISE_STEP = 2.0**-20
"""The step between evaluations that differ, for all a smooth loss can do, by noise alone."""

NOISE_DIGITS = 0.6
"""In a narrow type the step is larger: 2 to minus this share of its digits, so that the loss goes through many of its
own roundings while its third differences stay below one."""


def noise_step(dtype: Dtype) -> float:
    """The step between evaluations of a loss in ``dtype``; a power of two."""
    return max(NOISE_STEP, 2.0 ** -round(NOISE_DIGITS * dtype.significand))


NOISE_POINTS = 9
"""Evaluations that the noise is estimated from."""

FREE_STEP = 2.0**-3
"""The largest step where nothing is known of the loss; where it is too large the extrapolation shows it."""

FREE_LEVELS = 13
"""Halvings of that step: the last is a quarter of what a snippet's scores keep from where kinks like to be."""

FREE_POWER = 0.04
"""A gradient passes where its entries are known this well, relative to the array's largest, so that an error of 5 % is
never passed over."""

FREE_ENOUGH = {True: 1e-7, False: 2e-3}
"""How well a slope is known, relative to the largest gradient, before a smaller step is tried no more: in a type that
differences decide in by themselves, and in a narrower one."""

FREE_ALLOWANCE = 0.01
"""What a gradient's own roundings may make of it at most, relative to the array's largest, in types of few digits."""


def gradient_allowance(dtype: Dtype) -> float:
    """How far, relative to an array's largest, the roundings of a gradient's formula may take an entry in ``dtype``."""
    return min(DIFFERENCE_ROUNDINGS * dtype.unit_roundoff, FREE_ALLOWANCE)


FREE_COORDINATES = 64
"""Entries of an array that are differenced one by one; larger ones get as many, and directions through all of them."""

FREE_DIRECTIONS = 3
"""Directions of random signs that an array is differenced along, beside that of its gradient's own signs."""

NOISE_ORDER = 3
"""The lowest differences that count as noise: of a smooth loss they are smaller than its float64 roundings."""

SUM_WALK = 8.0
"""Standard deviations, at most, that the roundings of a sum of unlike terms add up to: of independent ones with mean 0
they exceed ``walk * sqrt(n) * unit`` with a probability of 2 exp(-walk^2 / 2), 3e-14, for any order of addition
(N. J. Higham and T. Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5), 2019,
theorem 2.4). A running float32 sum of 65,789 losses was seen to use a fifteenth of it."""

SUM_SHARE = 1 / 16
"""Of a sum whose roundings may add up to more of its terms' magnitudes than this nothing is wanted: of more than 16
terms with 8 binary digits, 128 with 11, 2^20 in C's float. Up to this share the bound of first order, ``n u``, is short
of the whole one, ``n u / (1 - n u)``, by no more than a fifteenth."""

LARGE_COUNT_ADDITIONS = 2.0
"""A sum of n terms in sqrt(n) blocks of sqrt(n) puts each term through 2 sqrt(n) additions; pairwise and wider sums
through fewer. One running float32 sum puts it through n, and loses 0.6 % of 2^20 equal terms and 5 % of 2^22."""

LARGE_COUNT_ROUNDINGS = 16.0
"""Roundings of one term and of the division by the normaliser: what is left of the error where the sum is exact."""


def large_count_bound(terms: int, dtype: str) -> float:
    """The relative error that a sum of ``terms`` numbers of one sign may have where it is blocked or accumulated wider.

    ``unit * (additions + roundings)``, the bound of N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd
    ed., section 4.2, for a chain of that many additions; it grows like the square root of the count. The additions are
    of the type that is added up in, the roundings of that computed in; the result is rounded once to a narrower one.
    """
    claim = TypeClaim.named(dtype)
    added = claim.accumulated.unit_roundoff * LARGE_COUNT_ADDITIONS * float(np.sqrt(terms))
    stored = claim.loss.unit_roundoff if claim.loss != claim.computed else 0.0
    return added + claim.computed.unit_roundoff * LARGE_COUNT_ROUNDINGS + stored
