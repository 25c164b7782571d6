"""Outside: a loss that somebody describes in a file of their own, registered beside ours for this process."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from conformance import losses
from conformance.contract.errors import UsageError, one_line
from conformance.losses import KNOWN, PROFILES
from conformance.losses.loss import Loss
from conformance.requirements import CATALOGUE
from conformance.requirements.losses import requirements_of
from refimpl.dialect import DEPARTURES, QUIRKS
from refimpl.layers import FORMS, REGISTRY

__all__ = ["GROUP", "PROFILE", "digest_of", "installed", "load_loss", "loaded", "register"]

GROUP = "lossconf.losses"
"""The group of entry points that name modules, each with a ``LOSS``."""

PROFILE = "outside"
"""The profile of a loss from outside that names none of its own."""

OURS = tuple(PROFILES)
"""The profiles of the losses that come with the suite."""

_FROM: dict[str, str] = {}
"""Stem to the file that a loss was loaded from."""


def load_loss(name: str) -> Loss:
    """The ``LOSS`` of a file, registered with its reference layer.

    A file that is loaded already is what it was. Raises `UsageError` for a file that cannot be imported, has no
    ``LOSS``, or whose type or name is taken.
    """
    path = Path(name).resolve()
    stem = path.stem
    if _FROM.get(stem) == str(path):
        return KNOWN[stem]
    if not path.is_file():
        raise UsageError(f"there is no file {name}")
    if not stem.isidentifier():
        raise UsageError(f"{name}: the file's name is the loss's in ids, so that it is to be a word with underscores")
    if stem in KNOWN:
        raise UsageError(f"{name}: a loss is called {stem} already; give the file another name")
    loss = register(_loss_of(_imported(stem, path), name), name)
    _FROM[stem] = str(path)
    return loss


def loaded() -> tuple[str, ...]:
    """The files that losses of this process were loaded from."""
    return tuple(place for place in _FROM.values() if place.endswith(".py"))


def installed() -> Iterator[Loss]:
    """The losses that installed packages bring, registered. Raises `UsageError` for one that cannot be loaded."""
    for entry in entry_points(group=GROUP):
        place = f"entry point {entry.name} ({entry.value})"
        try:
            found = entry.load()
        except Exception as error:
            raise UsageError(f"{place}: {one_line(f'{type(error).__name__}: {error}')}") from None
        loss = found if isinstance(found, Loss) else _loss_of(found, place)
        if _FROM.get(loss.stem) != place:
            loss = register(loss, place)
            _FROM[loss.stem] = place
        yield KNOWN[loss.stem]


def register(loss: Loss, place: str) -> Loss:
    """Make a loss and its layer known to this process, in a profile apart from ours unless it names one of its own.

    ``place`` is where it comes from, for a person. Raises `UsageError` where its type or name is taken.
    """
    loss = replace(loss, profile=PROFILE) if loss.profile in OURS else loss
    kind = loss.type
    if not kind:
        raise UsageError(f"{place}: the layer has no type")
    if loss.stem in KNOWN:
        raise UsageError(f"{place}: a loss is called {loss.stem} already")
    if kind in REGISTRY:
        raise UsageError(f"{place}: the layer type {kind} is known already; give the layer another type")
    FORMS[kind] = [loss.layer]
    REGISTRY[kind] = loss.layer
    for departure in vars(loss.layer).get("departures", ()):
        DEPARTURES[departure.name] = departure
    for quirk in vars(loss.layer).get("quirks", ()):
        QUIRKS[quirk.name] = quirk
    for requirement in (*requirements_of(loss), *loss.requirements):
        cited = re.sub(r"(src|include)/caffe/layers/\w+_layer\.[ch]pp", Path(place).name, requirement.citation)
        CATALOGUE[requirement.id] = replace(requirement, citation=cited)
    losses.add(loss)
    PROFILES.setdefault(loss.profile, {})[loss.stem] = loss
    return loss


def digest_of(names: Sequence[str]) -> list[dict[str, str]]:
    """What a report says of the files that losses came from: file, type and SHA-256."""
    return [
        {"file": name, "type": load_loss(name).type, "sha256": hashlib.sha256(Path(name).read_bytes()).hexdigest()}
        for name in names
    ]


def _imported(stem: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"lossconf_outside.{stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        at = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = f", line {at[-1].lineno}" if at else ""
        told = f"{type(error).__name__}: {error}"
        raise UsageError(f"cannot import {path}{line}: {one_line(told)}") from None
    return module


def _loss_of(module: object, place: str) -> Loss:
    loss = getattr(module, "LOSS", None)
    if not isinstance(loss, Loss):
        what = "has no LOSS" if loss is None else f"has a LOSS that is a {type(loss).__name__}"
        raise UsageError(f"{place} {what}: a conformance.losses.loss.Loss is needed; `lossconf losses new` writes one")
    return loss
