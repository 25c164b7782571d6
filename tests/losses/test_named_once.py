"""What is known of a loss stands in its own files: no other product file names one."""

from __future__ import annotations

import re
from pathlib import Path

from conformance.losses import KNOWN

ROOT = Path(__file__).parents[2]
PRODUCT = ("refimpl", "conformance", "fixtures/tools")
OF_LOSSES = (
    "refimpl/layers/",
    "refimpl/fast/",
    "refimpl/messages.py",
    "conformance/losses/",
    "conformance/mutants/",
    "fixtures/tools/oracle/",
)
ALLOWED: dict[str, str] = {}
"""File to the reason why it may name a loss; five at most."""


def test_no_other_product_file_names_a_loss() -> None:
    named = re.compile("|".join(word for loss in KNOWN.values() for word in (loss.type, loss.stem)))
    files = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")]
    found = {
        f"{path.relative_to(ROOT).as_posix()}:{number}: {line.strip()}"
        for path in files
        if not path.relative_to(ROOT).as_posix().startswith((*OF_LOSSES, *ALLOWED))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if named.search(line)
    }
    assert not found


def test_exceptions_are_few_and_have_reasons() -> None:
    assert len(ALLOWED) <= 5
    assert all(ALLOWED.values())
