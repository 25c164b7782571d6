"""The glossary, made of the words that reports explain: ``python -m docs.glossary`` writes glossary.md anew."""

from __future__ import annotations

from pathlib import Path

from conformance.views.words import FAMILIES, WORDS

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parent / "glossary.md"

_INTRODUCTION = """\
# Glossary

The words of reports, from `conformance/views/words.py`; `lossconf list words` prints them, every HTML page holds
them, and `python -m docs.glossary` writes this page.
"""


def page() -> str:
    """The whole page: words, then families of checks."""
    words = [f"- **{word}**: {meaning}" for word, meaning in WORDS.items()]
    families = [f"- **{name.replace('_', ' ')}**: {what}" for name, what in FAMILIES.items()]
    return "\n".join([_INTRODUCTION, *words, "", "## Families of checks", "", *families, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
