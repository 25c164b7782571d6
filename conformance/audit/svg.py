"""An audit as a drawing: which layers lead to which loss, and where gradients go."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from conformance.audit.audit import Audit
from conformance.audit.layout import Box, Point, laid_out
from conformance.audit.regions import Region, regions_of
from conformance.contract.errors import one_line

__all__ = ["drawing"]

_LETTER, _LINE, _PAD = 7.3, 16.0, 10.0
_LONGEST = 44
_MARGIN = 20.0
_TITLE_LETTERS, _TITLE_LINES = 125, 3
_LEGEND = "solid: a gradient comes back; dashed: none does; green: has layers that are trained"
_FILLS = {"data": "#dbe9f6", "layers": "#e3f1df", "still": "#eeeeee", "aside": "#ffffff", "loss": "#fbe3cc"}
_NONE = ' class="none"'
_STYLE = """text{font:12px "DejaVu Sans Mono",Consolas,monospace;fill:#111}.head{font-weight:bold}
rect{stroke:#444}path{fill:none;stroke:#444;marker-end:url(#arrow)}.none{stroke-dasharray:5 4;stroke:#888}"""


@dataclass(frozen=True)
class Shown:
    """A box's lines, the first of which is its head, what it says in full, and its colour."""

    lines: tuple[str, ...]
    title: str
    fill: str

    @property
    def size(self) -> tuple[float, float]:
        return max(map(len, self.lines)) * _LETTER + 2 * _PAD, len(self.lines) * _LINE + 2 * _PAD


def drawing(audit: Audit) -> str:
    """The SVG: a box for the layers that lead to the same losses, and one for each loss."""
    regions, edges = regions_of(audit)
    reasons = dict(audit.still)
    boxes = [_shown(audit, region, reasons) for region in regions]
    layout = laid_out([box.size for box in boxes], [(edge.source, edge.target) for edge in edges])
    head = textwrap.wrap(one_line(audit.equation, 10_000), _TITLE_LETTERS) or [""]
    if len(head) > _TITLE_LINES:
        head = [*head[: _TITLE_LINES - 1], _cut(head[_TITLE_LINES - 1], _TITLE_LETTERS - 2) + " …"]
    down = _MARGIN + _LINE * (len(head) + 1)
    width = max(layout.width, *(len(line) * _LETTER for line in (*head, _LEGEND))) + 2 * _MARGIN
    height = down + layout.height + _MARGIN + 2 * _LINE
    shift = (width - layout.width) / 2
    placed = [Box(box.x + shift, box.y + down, box.width, box.height) for box in layout.boxes]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:100%">',
        f"<title>{_text(audit.document.path)}</title><style>{_STYLE}</style>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:#444;stroke:none;marker-end:none"/></marker></defs>',
        '<rect width="100%" height="100%" style="fill:#fff;stroke:none"/>',
    ]
    parts += [_line(line, _MARGIN, _MARGIN + _LINE * i, "head") for i, line in enumerate(head, 1)]
    curves = [[(x + shift, y + down) for x, y in curve] for curve in layout.curves]
    parts += [_arrow(curve, edge.gradient) for curve, edge in zip(curves, edges, strict=True)]
    parts += [part for box, shown in zip(placed, boxes, strict=True) for part in _box(box, shown)]
    parts.append(_line(_LEGEND, _MARGIN, height - _LINE / 2))
    return "\n".join((*parts, "</svg>", ""))


def _shown(audit: Audit, region: Region, reasons: dict[str, str]) -> Shown:
    graph = audit.graph
    layers = [graph.layers[at] for at in region.layers]
    names = [one_line(layer.name or layer.type) for layer in layers]
    title = one_line(", ".join(names), 4000)
    if region.kind == "loss":
        term = region.terms[0]
        weights = " + ".join(f"{each.weight:.7g}" for each in region.terms)
        words = [f"over {term.divisor.partition(':')[0]}"] if term.divisor else []
        return _lines([names[0], f"{weights}·Σ {layers[0].type}", *words], f"{title}: {term.formula}", "loss")
    if region.kind == "data":
        return _lines([_span(names), *Counter(layer.type for layer in layers)][:4], title, "data")
    learning = set(audit.learning)
    trained = sum(layer.name in learning for layer in layers)
    still = Counter(reasons[layer.name] for layer in layers if layer.name in reasons)
    said = [f"{len(layers)} layers, {trained} trained" if len(layers) > 1 else layers[0].type]
    said += [f"{count} not trained: {why}" for why, count in still.items()]
    if region.kind == "aside":
        said = ["leads to no loss" if len(layers) == 1 else f"{len(layers)} layers that lead to no loss"]
    return _lines([_span(names), *said], title, "still" if region.kind == "layers" and not trained else region.kind)


def _lines(lines: Sequence[str], title: str, fill: str) -> Shown:
    return Shown(tuple(_cut(one_line(line), _LONGEST) for line in lines), title, _FILLS[fill])


def _span(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    half = (_LONGEST - 3) // 2
    return f"{_cut(names[0], half)} … {_cut(names[-1], half)}"


def _cut(text: str, longest: int) -> str:
    """The text, its middle left out where it is longer."""
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def _text(text: str) -> str:
    """Escaped; what XML cannot hold, and what is not printable, is a space."""
    return escape(one_line(text, 4000), {'"': "&quot;"})


def _line(text: str, x: float, y: float, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind and f" class={chr(34)}{kind}{chr(34)}"}>{_text(text)}</text>'


def _arrow(curve: Sequence[Point], flows: bool) -> str:
    first, *others = (f"{x:.1f} {y:.1f}" for x, y in curve)
    return f'<path d="M{first}C{" ".join(others)}"{"" if flows else _NONE}/>'


def _box(box: Box, shown: Shown) -> Iterator[str]:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    yield f"<g><title>{_text(shown.title)}</title>"
    yield (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="4" '
        f'style="fill:{shown.fill}"/>'
    )
    for i, line in enumerate(shown.lines):
        yield _line(line, left + _PAD, top + _PAD + _LINE * i + 11, "" if i else "head")
    yield "</g>"
