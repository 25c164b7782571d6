"""Fingerprint: which of the forms of a layer type explain an answer, where forks mean several things by one name.

A form's own formula counts before the true derivative of its loss, where the two differ: forms differ by that alone.
Every case is held against the forms that nothing so far spoke against, so that what explains every answer is left at
the end. Beside those stand the forms that only refuse what the implementation computes, or the other way about: a layer
with fewer checks than its fork's has that fork's form all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from conformance.contract.case import Case
from conformance.contract.implementation import Implementation
from conformance.contract.outcome import Outcome, Refusal
from conformance.judge.judgement import Explained, explained_by
from conformance.judge.side import sides_of
from refimpl.errors import PrototxtError
from refimpl.layers import every_form, forms_of
from refimpl.prototxt import parse_net

__all__ = ["Fingerprint", "Told", "fingerprint_of"]


@dataclass(frozen=True)
class Told:
    """Of one layer type, the forms that explain an answer, and those that speak for it less than one that is exactly
    so: they say nothing of its numbers, or explain them with the true derivative in the place of their own formula."""

    explaining: tuple[str, ...]
    silent: tuple[str, ...] = ()


class Fingerprint:
    """By layer type, the forms that no answer so far speaks against."""

    def __init__(self) -> None:
        self.left: dict[str, frozenset[str]] = {}

    def told_by(
        self, case: Case, answer: Outcome | Refusal, dtype: str, dialect: str | None = None
    ) -> Mapping[str, Told]:
        """What this answer tells of the forms of each type of the case's net, of those that were left.

        All forms of a type are tried, those that the case is not about as well. Empty where no type has several.
        """
        forms = tuple(f"{kind}:{form}" for kind in _kinds(case) for form in every_form(kind))
        case = replace(case.rounded(dtype), forms=forms)
        found: dict[str, dict[str, set[Explained]]] = {}
        for side in sides_of(case, dialect):
            named = [form.partition(":")[::2] for form in side.forms]
            if not named or any(len(every_form(kind)) < 2 for kind, _ in named):
                continue
            known = [found.setdefault(kind, {}).setdefault(form, set()) for kind, form in named]
            if any(form not in self.left.get(kind, (form,)) for kind, form in named):
                continue
            if all(Explained.EXACTLY in each for each in known):
                continue
            explained = explained_by(case, answer, dtype, side, dialect)
            for each in known:
                each.add(explained)
        told = {kind: _told(forms) for kind, forms in sorted(found.items())}
        self.left.update({kind: frozenset({*each.explaining, *each.silent}) for kind, each in told.items()})
        return told


def _told(forms: Mapping[str, set[Explained]]) -> Told:
    """Exact explanations before loose ones; a form is silent where it is so on every side of its quirks."""
    exactly = sorted(form for form, found in forms.items() if Explained.EXACTLY in found)
    loosely = [] if exactly else sorted(form for form, found in forms.items() if Explained.LOOSELY in found)
    silent = [form for form, found in forms.items() if found == {Explained.SILENT}]
    return Told(tuple(exactly or loosely), tuple(sorted([*silent, *loosely])))


def _kinds(case: Case) -> dict[str, None]:
    """The types that the case's forms are of, and those of its net that BVLC Caffe does not have."""
    try:
        types = [layer.type for layer in parse_net(case.net).layer]
    except PrototxtError:
        return {}
    named = {form.partition(":")[0] for form in case.forms}
    return dict.fromkeys(kind for kind in types if kind in named or forms_of(kind))


_OF: WeakKeyDictionary[Implementation, dict[str, Fingerprint]] = WeakKeyDictionary()


def fingerprint_of(implementation: Implementation, dtype: str) -> Fingerprint:
    """What is known of the forms of an implementation in one type."""
    return _OF.setdefault(implementation, {}).setdefault(dtype, Fingerprint())
