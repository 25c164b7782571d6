"""Page: the catalogue as Markdown.

``python -m conformance.requirements.page > docs/requirements.md`` writes the copy in the docs.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.losses import KNOWN
from conformance.requirements.catalogue import CATALOGUE, Requirement

__all__ = ["page"]

_INTRODUCTION = """\
# Requirements

What is required of an implementation, each in one sentence that can be false. A `must` that fails makes a run
non-conforming. A `should` is reported and never does. A `quirk` names a place where BVLC Caffe departs from its own
documentation: an implementation takes one of the two sides, and fails where it takes neither.

Citations are to files, functions and fields of BVLC Caffe 9b89154. *Since* is the version of the suite that first asked
for it.

This page is generated from `conformance/requirements`. `lossconf list requirements` shows how many checks serve each.
"""

_TITLES = {stem: loss.title for stem, loss in KNOWN.items()} | {
    "net": "The net",
    "layer": "Layers around a loss",
    "layer-contract": "Layers of any type",
    "refusal": "Refusals",
    "determinism": "Determinism",
    "properties": "Relations between runs",
    "quirk": "Quirks",
}
"""Subject of an id to its heading, in the page's order."""


def page() -> str:
    """The whole page, one table for each subject."""
    return "\n".join([_INTRODUCTION, *_tables()])


def _tables() -> Iterator[str]:
    for subject, title in _TITLES.items():
        mine = [r for r in CATALOGUE.values() if r.id.startswith(f"{subject}.")]
        head = ["| id | level | requirement | source | since |", "|---|---|---|---|---|"]
        yield "\n".join([f"## {title}", "", *head, *map(_row, mine), ""])


def _row(of: Requirement) -> str:
    return f"| `{of.id}` | {of.level.value} | {_cell(of.statement)} | {_cell(of.citation)} | {of.since} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
