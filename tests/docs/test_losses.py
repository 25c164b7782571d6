"""The page about the losses is what their descriptions make of it."""

from __future__ import annotations

from docs.losses import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "python -m docs.losses writes it anew"
