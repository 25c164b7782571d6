"""The drawing: well-formed, complete and no wider than can be read, with graphviz's layout and with our own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conformance.audit.audit import audit
from conformance.audit.layout import WIDTH, Layout, laid_out
from conformance.audit.regions import regions_of
from conformance.audit.svg import drawing
from tests.audit.nets import LOGITS, LOSS, PAIRS

GOOGLENET = Path(__file__).parent / "googlenet_like.prototxt"
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<&\"'>]]>\\001\\377\U0001f600" + "x" * 300


@pytest.fixture(params=["dot", "own"], autouse=True)
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "own":
        monkeypatch.setattr(shutil, "which", lambda _: None)
    elif shutil.which("dot") is None:
        pytest.skip("graphviz is not installed")
    return str(request.param)


def drawn(folder: Path, text: str) -> ElementTree.Element:
    path = folder / "net.prototxt"
    path.write_text(text, "utf-8")
    return ElementTree.fromstring(drawing(audit(path)))


def words(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_layers_are_drawn_by_the_losses_that_they_lead_to(tmp_path: Path) -> None:
    root = drawn(tmp_path, GOOGLENET.read_text("utf-8"))
    said = words(root)
    assert "conv1 … relu1" in said
    assert [said.count(f"{weight}·Σ SoftmaxWithLoss") for weight in ("0.3", "1")] == [2, 1]
    assert len(list(root.iter(f"{SVG}g"))) == 10
    assert root.get("width") is not None and float(root.get("width", "")) <= WIDTH + 40


@pytest.mark.parametrize("name", PAIRS)
def test_whatever_is_found_can_be_drawn(name: str, tmp_path: Path) -> None:
    for text in PAIRS[name]:
        drawn(tmp_path, text)


def test_names_are_escaped_and_cut(tmp_path: Path) -> None:
    root = drawn(tmp_path, LOGITS + LOSS.replace('name: "loss"', "name: '" + HOSTILE.replace("'", "\\'") + "'") % "")
    assert any(word.startswith("<&\"'>]]>") for word in words(root))
    assert max(map(len, words(root))) < 130
    assert float(root.get("width", "")) <= WIDTH + 40


def test_edges_make_no_circle_and_a_gradient_flows_where_backward_runs() -> None:
    regions, edges = regions_of(audit(GOOGLENET))
    assert all(edge.source != edge.target for edge in edges)
    data = next(i for i, region in enumerate(regions) if region.kind == "data")
    assert not any(edge.gradient for edge in edges if edge.source == data)
    assert sum(edge.gradient for edge in edges) == 7


def overlapping(layout: Layout) -> int:
    boxes = layout.boxes
    return sum(
        abs(a.x - b.x) < (a.width + b.width) / 2 - 1 and abs(a.y - b.y) < (a.height + b.height) / 2 - 1
        for i, a in enumerate(boxes)
        for b in boxes[:i]
    )


def test_boxes_lie_apart_within_the_width_and_below_what_leads_to_them() -> None:
    sizes = [(200.0, 40.0)] * 40
    edges = [(i // 3, i) for i in range(1, 39)] + [(i, 39) for i in range(13, 39)]
    layout = laid_out(sizes, edges)
    assert layout.width <= WIDTH
    assert not overlapping(layout)
    assert all(layout.boxes[a].y < layout.boxes[b].y for a, b in edges)
    assert len(layout.curves) == len(edges)


def test_where_dot_breaks_the_rows_are_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("dot", 10)

    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/dot")
    monkeypatch.setattr(subprocess, "run", broken)
    assert len(laid_out([(10, 10), (10, 10)], [(0, 1)]).boxes) == 2
