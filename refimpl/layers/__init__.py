"""The layers, one module per type; `REGISTRY` finds a class by the type a prototxt gives."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from refimpl.layer import Layer, LossLayer

__all__ = ["BVLC", "CLASSES", "FORMS", "REGISTRY", "class_of", "every_form", "forms_of"]

BVLC = "BVLC"
"""The form of a layer type that BVLC Caffe has, where forks mean something else by it."""


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

FORMS: dict[str, list[type[Layer]]] = {}
"""Layer type to every class that computes it, the default first: the one without forms, where there is one."""
for _found in sorted(CLASSES, key=lambda found: bool(found.forms)):
    if _found.type:
        FORMS.setdefault(_found.type, []).append(_found)

REGISTRY: dict[str, type[Layer]] = {kind: found[0] for kind, found in FORMS.items()}
"""Layer type to its default class."""


def class_of(kind: str, form: str) -> type[Layer]:
    """The class that computes a form of a layer type, `BVLC` among them. Raises `ValueError` where there is none."""
    for found in FORMS.get(kind, ()):
        if form == BVLC and not found.forms:
            return found
        if form in (each.name for each in found.forms):
            return found
    known = [each.name for found in FORMS.get(kind, ()) for each in found.forms]
    raise ValueError(f"{kind} has no form {form!r}: it has {', '.join(known) or 'none'}")


def forms_of(kind: str) -> list[str]:
    """What forks mean by a layer type that BVLC Caffe does not have; none for one that it has."""
    classes = FORMS.get(kind, [])
    return [form.name for found in classes for form in found.forms] if all(found.forms for found in classes) else []


def every_form(kind: str) -> list[str]:
    """What is meant by a layer type, be it by BVLC Caffe or by forks."""
    return [name for found in FORMS.get(kind, ()) for name in [form.name for form in found.forms] or [BVLC]]
