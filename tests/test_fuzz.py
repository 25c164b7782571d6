"""What fuzzing has found, and what it begins with, decoded again: see `tests.fuzz`."""

from __future__ import annotations

import pytest

from tests.fuzz import CORPUS, DECODERS, decode, seeds

FINDS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", FINDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_is_refused_or_decoded(path: object) -> None:
    decode(path.parent.name, path.read_bytes())  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_takes_what_fuzzing_begins_with(name: str) -> None:
    taken = [decode(name, content) for content in seeds(name)]
    assert any(each is not None for each in taken)


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_says_no_to_a_document_with_a_part_cut_out(name: str) -> None:
    content = next(seeds(name))
    for at in range(0, len(content), max(1, len(content) // 40)):
        decode(name, content[:at])
        decode(name, content[:at] + content[at + 7 :])
