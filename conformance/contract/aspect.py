"""Aspect: what of an answer is compared, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

__all__ = ["WORDS", "Aspect"]

Aspect = Literal["forward", "backward", "parameter", "total", "weight", "unasked", "input", "slope"]
"""A top's data, a bottom's gradient, a parameter's gradient, the net's loss, a weight held in a top's diff, a diff that
nobody asked for, the data of an input, or a gradient that is held against the slope of the reported loss."""

WORDS: Mapping[Aspect, str] = {
    "forward": "top data",
    "backward": "bottom gradient",
    "parameter": "parameter gradient",
    "total": "net loss",
    "weight": "weight in the top's diff",
    "unasked": "diff that nobody asked for",
    "input": "input data",
    "slope": "gradient, beside the slope of the reported loss, of",
}
