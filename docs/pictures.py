"""Pictures of the losses for the layer pages: an extension of Sphinx that draws them from the reference as it builds.

One score of a small batch is moved, everything else stays: above the net's loss, below its gradient in that score, with
the default options and with others that make a difference. The drawing is part of the page and takes its colours.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.version import VERSION
from conformance.losses import KNOWN, Loss, Variant
from conformance.losses.options import options_text
from conformance.losses.roles import Probabilities

__all__ = ["Curve", "curves", "drawn", "setup"]

LINES = 4
ROUGH, POINTS = 9, 121
REACH = 4.0
"""How far a score is moved to either side of 0."""

_FOLDER = "layers/"
_INK = "#010203"
"""What the drawing has instead of the page's own colour."""

_STROKES = ("#2a78d6", "#d9622b", "#2b9a66", "#9b59b6")
_DASHES = ("solid", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)))


@dataclass(frozen=True)
class Curve:
    """``loss`` and its ``slope`` for every ``at`` that one entry of the first bottom takes."""

    label: str
    at: NDArray[np.float64]
    loss: NDArray[np.float64]
    slope: NDArray[np.float64]

    def differs(self, other: Curve) -> bool:
        return not (np.allclose(self.loss, other.loss) and np.allclose(self.slope, other.slope))


def curves(loss: Loss) -> list[Curve]:
    """With the options of the plainest variant, and with one of them set otherwise where that makes a difference."""
    found: list[tuple[Curve, Variant]] = []
    for label, variant in _variants(loss):
        rough = _curve(label, variant, ROUGH)
        if rough is not None and all(rough.differs(other) for other, _ in found):
            found.append((rough, variant))
        if len(found) == LINES:
            break
    fine = (_curve(rough.label, variant, POINTS) for rough, variant in found)
    return [curve for curve in fine if curve is not None]


def _variants(loss: Loss) -> Iterator[tuple[str, Variant]]:
    plain = loss.plain
    yield "by default", plain
    for path, options in loss.options.items():
        for value in options:
            if value is not None and value != plain.options.get(path, options[0]) and path != loss.axis_option:
                yield options_text({path: value}), plain.given({path: value})


def _curve(label: str, variant: Variant, points: int) -> Curve | None:
    """None where the net refuses what is drawn for the plainest variant."""
    values = variant.loss.plain.values()
    first = variant.first
    ends = (0.02, 1.0) if isinstance(variant.loss.bottoms[0].role, Probabilities) else (-REACH, REACH)
    at = np.linspace(*ends, points)
    entry = _steepest(variant.loss)
    losses, slopes = [], []
    for score in at:
        moved = values[first].copy()
        moved.reshape(-1)[entry] = score
        answer = ReferenceImplementation().run(variant.case("picture", values={**values, first: moved}), "float64")
        if isinstance(answer, Refusal):
            return None
        losses.append(answer.loss)
        slopes.append(_gradient(variant, answer).reshape(-1)[entry])
    return Curve(label, at, np.array(losses), np.array(slopes))


@cache
def _steepest(loss: Loss) -> int:
    """The entry of the first bottom whose gradient is the largest."""
    answer = ReferenceImplementation().run(loss.plain.case("picture"), "float64")
    assert isinstance(answer, Outcome)
    return int(np.argmax(np.abs(_gradient(loss.plain, answer))))


def _gradient(variant: Variant, outcome: Outcome) -> NDArray[np.float64]:
    """That of the first bottom."""
    name = variant.first
    return outcome.diff[name] if variant.forced else outcome.param_diff[name][0]


def drawn(loss: Loss) -> str:
    """The picture as SVG that stands in a page, `_INK` being the page's."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": loss.stem, "font.family": "sans-serif"}):
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        above, below = figure.subplots(1, 2)
        for curve, colour, dash in zip(curves(loss), _STROKES, _DASHES, strict=False):
            above.plot(curve.at, curve.loss, color=colour, linestyle=dash, label=curve.label)
            below.plot(curve.at, curve.slope, color=colour, linestyle=dash)
        name = loss.bottoms[0].name
        for axes, title in ((above, "loss"), (below, f"gradient in that {name}")):
            axes.set(title=title, xlabel=f"one entry of {name}")
            axes.patch.set_alpha(0)
            axes.grid(color=_INK, alpha=0.15)
            for spine in axes.spines.values():
                spine.set_color(_INK)
            axes.tick_params(colors=_INK)
            for text in (axes.title, axes.xaxis.label):
                text.set_color(_INK)
        if len(above.lines) > 1:
            figure.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor=_INK, fontsize="small")
        figure.patch.set_alpha(0)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    words = f"Loss and gradient of {loss.type} as one entry of {loss.bottoms[0].name} is moved."
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{words}" class="loss" ', 1)


def _add(app: Any, page: str, source: list[str]) -> None:
    """Before the first heading of a loss's page."""
    loss = KNOWN.get(page.removeprefix(_FOLDER)) if page.startswith(_FOLDER) else None
    if loss is not None and app.builder.format == "html":
        figure = "\n".join(line for line in drawn(loss).splitlines() if line.strip())
        source[0] = source[0].replace("\n## ", f'\n<figure class="loss">\n{figure}\n</figure>\n\n## ', 1)


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", _add)
    return {"version": VERSION, "parallel_read_safe": True}
