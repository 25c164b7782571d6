"""Quirks and departures: gathered from where they stand, which is where they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

import refimpl
from refimpl.dialect import DEPARTURES, QUIRKS, Dialect
from refimpl.layers import CLASSES, FORMS, REGISTRY
from refimpl.quirk import Quirk

ROOT = Path(refimpl.__file__).parent
SOURCES = {path: path.read_text("utf-8") for path in ROOT.rglob("*.py") if "fast" not in path.relative_to(ROOT).parts}


@pytest.mark.parametrize("name", [*QUIRKS, *DEPARTURES])
def test_a_switch_stands_in_the_one_file_that_asks_for_it(name: str) -> None:
    (source,) = (text for text in SOURCES.values() if f'"{name}"' in text)
    assert ".takes(" in source or ".derivative(" in source


def test_the_numbers_are_the_places_in_the_list() -> None:
    numbers = [quirk.number for quirk in QUIRKS.values() if quirk.number != Quirk.number]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_layer_file_has_its_type_in_the_registry() -> None:
    typed = {path.stem for path, text in SOURCES.items() if path.parent.name == "layers" and "    type = " in text}
    assert typed <= {layer.__module__.rpartition(".")[2] for found in FORMS.values() for layer in found}
    assert len({layer.type for layer in CLASSES if layer.type}) == len(REGISTRY)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no such quirk or departure: hinge-scrath; known: implicit-weight-once"):
        Dialect("mine", ["hinge-scrath"])
    with pytest.raises(ValueError, match="no dialect named 'caffe'"):
        Dialect.named("caffe")


def test_nothing_about_a_loss_stands_outside_its_file() -> None:
    losses = [layer for layer in REGISTRY.values() if layer.implicit_weight]
    names = [name for layer in losses for name in (layer.type, f'"{layer.__module__.rpartition(".")[2]}')]
    elsewhere = [path for path in SOURCES if path.parent.name != "layers" and path.name != "messages.py"]
    assert not [(path.name, name) for path in elsewhere for name in names if name in SOURCES[path]]
