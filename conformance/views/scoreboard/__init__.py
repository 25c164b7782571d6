"""The scoreboard: what several reports come to, side by side, as a static site and as one JSON document."""

from conformance.views.scoreboard.entry import Bug, Entry, Failing, added, entry_of
from conformance.views.scoreboard.scoreboard import SCHEMA, Scoreboard, read_scoreboard, schema
from conformance.views.scoreboard.site import pages_of, write_site

__all__ = [
    "SCHEMA",
    "Bug",
    "Entry",
    "Failing",
    "Scoreboard",
    "added",
    "entry_of",
    "pages_of",
    "read_scoreboard",
    "schema",
    "write_site",
]
