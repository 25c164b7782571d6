"""The pictures on the layer pages show what the reference computes; run where matplotlib is (`tox -e docs`)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is an extra: tox -e docs runs this")

from conformance.losses import KNOWN
from docs.pictures import LINES, curves, drawn

SMOOTH = ("euclidean_loss", "softmax_with_loss", "sigmoid_cross_entropy_loss", "multinomial_logistic_loss")


@pytest.mark.parametrize("stem", SMOOTH)
def test_the_slope_is_that_of_the_curve(stem: str) -> None:
    for curve in curves(KNOWN[stem]):
        inner = slice(3, -3)
        differenced = np.gradient(curve.loss, curve.at, edge_order=2)
        assert np.allclose(differenced[inner], curve.slope[inner], atol=0.02 * np.abs(curve.slope).max())


def test_a_line_is_an_option_that_makes_a_difference() -> None:
    assert [curve.label for curve in curves(KNOWN["hinge_loss"])] == ["by default", "hinge_loss_param { norm: L2 }"]


def test_there_are_no_more_lines_than_can_be_told_apart() -> None:
    assert len(curves(KNOWN["focal_loss"])) == LINES


def test_a_picture_has_words_takes_the_pages_colour_and_any_width() -> None:
    svg = ElementTree.fromstring(drawn(KNOWN["l1_loss"]))
    assert svg.get("role") == "img" and "L1Loss" in svg.get("aria-label", "")
    assert svg.get("width") is None and svg.get("viewBox")
    text = drawn(KNOWN["l1_loss"])
    assert "currentColor" in text and "#010203" not in text


def test_a_picture_is_the_same_every_time() -> None:
    assert drawn(KNOWN["l1_loss"]) == drawn(KNOWN["l1_loss"])
