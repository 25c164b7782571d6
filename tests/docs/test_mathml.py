"""Every formula of the pages becomes MathML, and what would not be one is refused; run where latex2mathml is."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

pytest.importorskip("latex2mathml", reason="latex2mathml is an extra: tox -e docs runs this")

from docs.mathml import FormulaError, mathml
from tests.layer_pages import LAYERS

FORMULAS = [
    pytest.param(formula, id=f"{path.stem}-{number}")
    for path in sorted(LAYERS.glob("*.md"))
    for number, formula in enumerate(re.findall(r"^```math\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.M))
]


@pytest.mark.parametrize("latex", FORMULAS)
def test_a_formula_of_a_page_becomes_mathml_line_by_line(latex: str) -> None:
    tree = ElementTree.fromstring(mathml(latex))
    assert tree.get("display") == "block"
    rows = sum(each.tag.endswith("mtr") for each in tree.iter())
    assert rows == latex.count(r"\\") + latex.count(r"\begin{")


def test_lines_stand_below_each_other_and_cases_behind_a_brace() -> None:
    text = mathml(
        r"\begin{aligned} a &= \sum_i x_i \\ b &= \begin{cases} 0 & x < 1 \\ 1 & \text{else} \end{cases} \end{aligned}"
    )
    assert text.count("<mtr>") == 4 and text.count("<munder>") == 1 and "else" in text


def test_names_and_signs_have_room_or_none() -> None:
    assert 'rspace="0.17em">log</mo><mi>s' in mathml(r"\log s")
    assert 'rspace="0em">log</mo><mo stretchy="false">' in mathml(r"\log(s)")
    assert mathml("a = -b, -c - d").count('<mo form="prefix">') == 2
    assert "<mo>+=</mo>" in mathml("a += b")


WRONG = [r"\sotfmax x", r"\frac{a", "a }", r"\frac{a}", "x^", r"\left( a", "a & b", r"a \\ b", r"\text{FLT\_MIN}"]
WRONG += [r"x \mathrel{+}= y", r"\begin{aligned} a", r"\begin{gather} a \end{gather}"]


@pytest.mark.parametrize("latex", WRONG)
def test_what_cannot_be_converted_is_refused(latex: str) -> None:
    with pytest.raises(FormulaError):
        mathml(latex)
