"""Stock: the losses that a net is built with where the check is about the net, and almost any loss would do."""

from __future__ import annotations

from conformance.losses import LOSSES
from conformance.losses.roles import Scores, Targets

__all__ = ["CLASSIFIER", "CROSS_ENTROPY", "DISTANCE", "MARGINS"]

_ALL = tuple(LOSSES.values())

CLASSIFIER = next(loss for loss in _ALL if loss.axis_option and loss.forced)
"""Scores along an axis, and a label for each position."""

DISTANCE = next(loss for loss in _ALL if len(loss.learned) == len(loss.bottoms) == 2)
"""Two blobs of one shape, both of which take a gradient."""

MARGINS = next(loss for loss in _ALL if loss.labelled and loss.unit == "sample" and loss.bottom(Scores))
"""Scores of an item, and a label for the item."""

CROSS_ENTROPY = next(loss for loss in _ALL if loss.bottom(Targets))
"""A target for each score."""
