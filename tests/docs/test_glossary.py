"""The glossary is what reports explain, and leaves out no word that a verdict or a grid has."""

from __future__ import annotations

from conformance.contract.verdict import Level, Status
from conformance.suite import FAMILIES, case_file, exploration, formula_free
from conformance.views.words import FAMILIES as TOLD
from conformance.views.words import WORDS
from docs.glossary import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "python -m docs.glossary writes it anew"


def test_every_status_level_and_family_has_its_sentence() -> None:
    assert {status.value.replace("_", " ") for status in Status} <= WORDS.keys()
    assert {level.value for level in Level} <= WORDS.keys()
    assert {*FAMILIES, case_file.FAMILY, exploration.FAMILY, formula_free.FAMILY} == TOLD.keys()


def test_words_stand_in_the_order_of_the_alphabet() -> None:
    assert list(WORDS) == sorted(WORDS)
    assert list(TOLD) == sorted(TOLD)
