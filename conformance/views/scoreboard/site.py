"""Site: a scoreboard as pages that a browser opens from a disk; they fetch nothing and run no script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from conformance.contract.paths import failed, put, refuse_same
from conformance.record.conclusion import Musts
from conformance.views.html.environment import environment, source_hash
from conformance.views.scoreboard.entry import Bug, Entry, name_of_file
from conformance.views.scoreboard.scoreboard import SCHEMA, Scoreboard, schema
from conformance.views.text import printable

__all__ = ["pages_of", "write_site"]

_LONGEST = 80


def pages_of(board: Scoreboard) -> dict[str, str]:
    """The text of every file of the site, by its path: the table, a page for each implementation, loss and known bug,
    the numbers and their schema. Nothing of an implementation's is more than text."""
    places = dict(_places(board))
    css = "".join(
        (files("conformance.views") / place).read_text("utf-8") for place in ("html/page.css", "scoreboard/site.css")
    )
    templates = environment("conformance.views.scoreboard")
    templates.filters["printable"] = printable
    titles = [entry.title for entry in board.entries]
    templates.globals.update(
        board=board,
        css=css,
        hash=source_hash(css),
        schema=SCHEMA,
        page=lambda what: places[_key(what)],
        label=lambda entry: f"{entry.title} ({entry.device})" if titles.count(entry.title) > 1 else entry.title,
        of_bug=lambda bug: [each for entry in board.entries for each in entry.failing if each.bug == bug],
        link=lambda text: text.startswith(("https://", "http://")),
        state=_state,
        up="../",
    )

    def made(template: str, **told: object) -> str:
        return templates.get_template(f"{template}.html.j2").render(**told)

    pages = {"index.html": made("index", up="")}
    pages |= {places[_key(entry)]: made("implementation", entry=entry) for entry in board.entries}
    for layer in board.layers:
        dtypes = [dtype for stem, dtype in board.places if stem == layer]
        pages[places[layer]] = made("loss", layer=layer, dtypes=dtypes)
    pages |= {places[_key(bug)]: made("bug", bug=bug) for bug in board.bugs}
    pages["scoreboard.json"] = board.text()
    pages["scoreboard.schema.json"] = json.dumps(schema(), indent=2) + "\n"
    return pages


def write_site(board: Scoreboard, folder: Path, *read: Path) -> int:
    """Write the site into a folder; how many files it has. Raises `UsageError` where it cannot be written, or would
    take the place of a file that was ``read``."""
    pages = pages_of(board)
    for place in pages:
        refuse_same(folder / place, *read)
    for place, text in pages.items():
        path = folder / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise failed(f"cannot write the site {folder}", error) from None
        put(path, text)
    return len(pages)


def _key(what: Entry | Bug | str) -> object:
    return id(what) if isinstance(what, Entry) else what


def _places(board: Scoreboard) -> Iterator[tuple[object, str]]:
    """The path of every page, by what it is about; no two alike."""
    taken: set[str] = set()

    def free(folder: str, name: str) -> str:
        place, number = f"{folder}/{name}.html", 2
        while place in taken:
            place, number = f"{folder}/{name}-{number}.html", number + 1
        taken.add(place)
        return place

    for entry in board.entries:
        yield id(entry), free("implementations", name_of_file(entry.title, _LONGEST))
    for layer in board.layers:
        yield layer, free("losses", name_of_file(layer, _LONGEST))
    for bug in board.bugs:
        yield bug, free("bugs", bug.id)


def _state(musts: Musts) -> str:
    return "failed" if musts.failed else "undecided" if musts.undecided else "passed"
