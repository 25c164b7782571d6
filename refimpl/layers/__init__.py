"""The layers, one module per type; `REGISTRY` finds a class by the type a prototxt gives."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from refimpl.layer import Layer, LossLayer

__all__ = ["CLASSES", "REGISTRY"]


def _classes_of(name: str) -> list[type[Layer]]:
    """The layer classes that a module of this package defines."""
    module = import_module(f"{__name__}.{name}")
    return [
        found
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, Layer) and found.__module__ == module.__name__
    ]


CLASSES: tuple[type[Layer], ...] = (
    Layer,
    LossLayer,
    *(found for module in iter_modules(__path__) for found in _classes_of(module.name)),
)
"""Every class, those without a type of their own included."""

REGISTRY: dict[str, type[Layer]] = {found.type: found for found in CLASSES if found.type}
