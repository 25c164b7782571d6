"""Scoreboard: the entries of several reports, as the JSON that is kept beside the site and read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from conformance.contract.errors import UsageError
from conformance.contract.intake import Malformed, decoding, json_of
from conformance.contract.paths import content_of
from conformance.record.report import net_last
from conformance.views.scoreboard.entry import Bug, Entry, Place

__all__ = ["SCHEMA", "Scoreboard", "read_scoreboard", "schema"]

SCHEMA = 1
"""The version of the document; ``schema.json`` says what is in it."""


@dataclass(frozen=True)
class Scoreboard:
    """Entries in the order in which they are shown."""

    entries: Sequence[Entry]

    @property
    def places(self) -> list[Place]:
        """Losses and types of which somebody claims a must, the net last."""
        found = {place for entry in self.entries for place, musts in entry.cells.items() if musts.claimed}
        return sorted(found, key=lambda place: (net_last(place[0]), place))

    @property
    def layers(self) -> list[str]:
        return list(dict.fromkeys(layer for layer, _ in self.places))

    @property
    def bugs(self) -> list[Bug]:
        """The known bugs, that of most failures first."""
        counts: dict[Bug, int] = {}
        for each in (each for entry in self.entries for each in entry.failing):
            if each.bug:
                counts[each.bug] = counts.get(each.bug, 0) + each.count
        return sorted(counts, key=lambda bug: -counts[bug])

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "scoreboard",
            "schema": SCHEMA,
            "bugs": [{"id": bug.id, "reason": bug.reason, "issue": bug.issue} for bug in self.bugs],
            "implementations": [entry.to_json() for entry in self.entries],
        }

    def text(self) -> str:
        """The document, a cell or a group of failures to a line, so that two of them can be compared."""
        return _lines(self.to_json()) + "\n"


def schema() -> dict[str, Any]:
    """The JSON schema of the document."""
    found: dict[str, Any] = json.loads((files("conformance.views.scoreboard") / "schema.json").read_text("utf-8"))
    return found


def read_scoreboard(path: Path) -> Scoreboard:
    """The scoreboard in a file. Raises `UsageError` for what is none, or has numbers that do not add up."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    try:
        document = json_of(content_of(path, "the scoreboard"))
        error = best_match(Draft202012Validator(schema()).iter_errors(document))
        if error is not None:
            place = ".".join(map(str, error.absolute_path))
            raise Malformed(f"{place}: {error.message}" if place else error.message)
        with decoding():
            bugs = {bug["id"]: Bug(bug["reason"], bug["issue"]) for bug in document["bugs"]}
            return Scoreboard([Entry.from_json(value, bugs) for value in document["implementations"]])
    except Malformed as error:
        raise UsageError(f"{path} is no scoreboard: {error}") from None


def _lines(value: Any, depth: int = 0) -> str:
    if not value or not isinstance(value, (dict, list)) or depth > (3 if isinstance(value, list) else 2):
        return json.dumps(value)
    if isinstance(value, dict):
        told = [f"{json.dumps(name)}: {_lines(each, depth + 1)}" for name, each in value.items()]
    else:
        told = [_lines(each, depth + 1) for each in value]
    start, end = "{}" if isinstance(value, dict) else "[]"
    return f"{start}\n" + ",\n".join(" " * (depth + 1) + each for each in told) + f"\n{' ' * depth}{end}"
