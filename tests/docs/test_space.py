"""The page about the declared space is what the arrays make of it."""

from __future__ import annotations

from docs.space import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "python -m docs.space writes it anew"
