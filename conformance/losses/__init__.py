"""What the suite knows of each loss beside its formula: one module per loss, found by being here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from conformance.losses.loss import Loss
from conformance.losses.variant import Variant
from refimpl.layer import Layer
from refimpl.messages import NetParameter

__all__ = [
    "KNOWN",
    "LOSSES",
    "PROFILES",
    "Loss",
    "Variant",
    "add",
    "files_named",
    "loss_of_layer",
    "loss_of_type",
    "profile_of",
    "variants",
]


def _found() -> Iterator[Loss]:
    for found in iter_modules(__path__):
        loss = getattr(import_module(f"{__name__}.{found.name}"), "LOSS", None)
        if loss is not None:
            yield loss


KNOWN: dict[str, Loss] = {loss.stem: loss for loss in _found()}
"""Every loss by its stem, in the order of the alphabet."""

PROFILES: dict[str, dict[str, Loss]] = {"bvlc": {}}
"""The same by their profiles, BVLC Caffe's first."""
for _stem, _loss in KNOWN.items():
    PROFILES.setdefault(_loss.profile, {})[_stem] = _loss

LOSSES = PROFILES["bvlc"]
"""The losses of a run that asks for no others."""


def profile_of(stem: str) -> str:
    """The profile of a loss; that of BVLC Caffe for the net."""
    return KNOWN[stem].profile if stem in KNOWN else "bvlc"


@cache
def _by_type() -> dict[str, Loss]:
    """By type, where the type by itself means the loss, else by TYPE:FORM."""
    named = {loss.type: loss for loss in KNOWN.values() if not loss.forms}
    return named | {form: loss for loss in KNOWN.values() for form in loss.forms}


def loss_of_type(layer_type: str, forms: Iterable[str] = ()) -> Loss | None:
    """The loss that a layer type names, in the first of the ``forms`` (of a case) that is one of it; None for a layer
    that is no loss."""
    known = _by_type()
    mine = (form for form in forms if form in known and form.partition(":")[0] == layer_type)
    return known.get(next(mine, layer_type))


def loss_of_layer(layer: Layer) -> Loss | None:
    """The loss whose reference a layer is an instance of, be it in part; else the one that its type names."""
    for kind in type(layer).__mro__:
        for loss in KNOWN.values():
            if loss.layer is kind and loss.type == layer.type:
                return loss
    return loss_of_type(layer.type)


def add(loss: Loss) -> None:
    """Make a loss known that is not in this package."""
    KNOWN[loss.stem] = loss
    _by_type.cache_clear()


def files_named(net: NetParameter) -> set[str]:
    """The files that losses of a net read in a bottom's stead."""
    options = [bottom.file.split(".") for loss in KNOWN.values() for bottom in loss.bottoms if bottom.file]
    return {getattr(getattr(layer, message), field) for layer in net.layer for message, field in options} - {""}


def variants(losses: Iterable[Loss] | None = None) -> Iterator[Variant]:
    """Every published variant of every loss."""
    for loss in LOSSES.values() if losses is None else losses:
        yield from loss.variants
