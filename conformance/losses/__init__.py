"""What the suite knows of each loss beside its formula: one module per loss, found by being here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from conformance.losses.loss import Loss
from conformance.losses.variant import Variant
from refimpl.messages import NetParameter

__all__ = ["LOSSES", "Loss", "Variant", "files_named", "loss_of_type", "variants"]


def _found() -> Iterator[Loss]:
    for found in iter_modules(__path__):
        loss = getattr(import_module(f"{__name__}.{found.name}"), "LOSS", None)
        if loss is not None:
            yield loss


LOSSES: dict[str, Loss] = {loss.stem: loss for loss in _found()}
"""Every loss by its stem, in the order of the alphabet."""


@cache
def _by_type() -> dict[str, Loss]:
    return {loss.type: loss for loss in LOSSES.values()}


def loss_of_type(layer_type: str) -> Loss | None:
    """The loss that a layer type names; None for a layer that is no loss."""
    return _by_type().get(layer_type)


def files_named(net: NetParameter) -> set[str]:
    """The files that losses of a net read in a bottom's stead."""
    options = [bottom.file.split(".") for loss in LOSSES.values() for bottom in loss.bottoms if bottom.file]
    return {getattr(getattr(layer, message), field) for layer in net.layer for message, field in options} - {""}


def variants(losses: Iterable[Loss] | None = None) -> Iterator[Variant]:
    """Every published variant of every loss."""
    for loss in LOSSES.values() if losses is None else losses:
        yield from loss.variants
