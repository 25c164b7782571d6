"""Formulas as MathML: an extension of Sphinx that converts the ``math`` blocks of the pages as it builds.

A browser typesets MathML by itself: no script, no font and no picture is fetched. What latex2mathml passes through
without converting it, an unknown command or a stray brace, is an error of the build (``sphinx-build -W``).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

from latex2mathml.converter import convert

from conformance.contract.version import VERSION

__all__ = ["FormulaError", "mathml", "setup"]

_ENVIRONMENTS = {"aligned": "align*", "cases": "cases"}
"""Those that pages may use, under the name that latex2mathml knows them by."""

_PARTS = {"mo": 0, "mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
"""How many elements each has within."""

_SPACE = "{http://www.w3.org/1998/Math/MathML}"


_NAMED = re.compile(r'<(m[io])>([a-z]{2,})</\1>(?=(<mo stretchy="false">&#x00028;)?)')
"""log, exp, max and their like, and whether a bracket follows."""

_SIGN = re.compile(r'(<mo(?: \w+="\w+")*>&#x000(?:28|2C|3D|5B);</mo>)<mo>(&#x02212;|&#x02213;)')
"""A minus that is no difference: behind a bracket, a comma or an equals sign."""


class FormulaError(ValueError):
    """LaTeX that cannot be shown, and why."""


def mathml(latex: str, display: str = "block") -> str:
    """A formula as one ``math`` element.

    Raises:
        FormulaError: a brace without its other half, an environment, command or ``&`` where there is none, a command
            without its arguments.
    """
    bare = re.sub(r"\\[\\{}]", "", latex)
    if bare.count("{") != bare.count("}"):
        raise FormulaError("a brace has no other half")
    unknown = set(re.findall(r"\\begin\{(.*?)\}", latex)) - _ENVIRONMENTS.keys()
    if unknown:
        raise FormulaError(f"no environment {', '.join(sorted(unknown))}: {' and '.join(_ENVIRONMENTS)} are known")
    known = re.sub(r"(\\(?:begin|end))\{(\w+)\}", lambda found: f"{found[1]}{{{_ENVIRONMENTS[found[2]]}}}", latex)
    try:
        text = convert(known, display=display)
        tree = ElementTree.fromstring(text.replace("<mi>&</mi>", "<mi>&amp;</mi>"))
    except Exception as error:  # latex2mathml's have no class in common
        raise FormulaError(f"{type(error).__name__} {error}".strip()) from error
    for each in tree.iter():
        name, said = each.tag.removeprefix(_SPACE), each.text or ""
        if "\\" in said or said == "&":
            raise FormulaError(f"{said!r} is no command or does not belong there")
        if len(each) != _PARTS.get(name, len(each)):
            raise FormulaError(f"a command has {len(each)} arguments, not {_PARTS[name]}: {name}")
        if each.get("linebreak"):
            raise FormulaError(r"\\ outside of an environment")
    return _spaced(text)


def _spaced(text: str) -> str:
    """With the room around names and signs that TeX gives them."""
    text = _NAMED.sub(
        lambda found: f'<mo lspace="0.17em" rspace="{0 if found[3] else 0.17}em">{found[2]}</mo>',
        text,
    )
    text = text.replace("<mo>&#x0002B;</mo><mo>&#x0003D;</mo>", "<mo>+=</mo>")
    return _SIGN.sub(r'\1<mo form="prefix">\2', text)


def _write(self: Any, node: Any, display: str, tag: str) -> None:
    from docutils.nodes import SkipNode
    from sphinx.util.logging import getLogger

    try:
        text = mathml(node.astext(), display)
    except FormulaError as error:
        getLogger(__name__).error("%s, in the formula\n%s", error, node.astext(), location=node)
        raise SkipNode from None
    keys = ' tabindex="0"' if tag == "div" else ""  # what scrolls is reached by keys
    self.body.append(f'<{tag} class="math"{keys}>{text}</{tag}>\n')
    raise SkipNode


def _inline(self: Any, node: Any) -> None:
    _write(self, node, "inline", "span")


def _block(self: Any, node: Any) -> None:
    _write(self, node, "block", "div")


def setup(app: Any) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"version": VERSION, "parallel_read_safe": True, "parallel_write_safe": True}
