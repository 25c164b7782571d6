"""Fingerprint: which of the forms of a layer type explain an answer, where forks mean several things by one name.

A form's own formula counts before the true derivative of its loss, where the two differ: forms differ by that alone.
Every case is held against the forms that explained all cases before it, so that what is left at the end explains every
answer; nothing is left where an implementation is none of them, or follows one here and another there.
"""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

from conformance.contract.case import Case
from conformance.contract.implementation import Implementation
from conformance.contract.outcome import Outcome, Refusal
from conformance.judge.judgement import explained_by
from conformance.judge.side import sides_of
from refimpl.layers import forms_of

__all__ = ["Fingerprint", "fingerprint_of"]


class Fingerprint:
    """By layer type, the forms that explain every answer so far."""

    def __init__(self) -> None:
        self.left: dict[str, tuple[str, ...]] = {}

    def told_by(
        self, case: Case, answer: Outcome | Refusal, dtype: str, dialect: str | None = None
    ) -> Mapping[str, tuple[str, ...]]:
        """The forms of each type of the case's net that explain this answer, of those that were left; and leave these.

        Empty where no type has several forms, or the case names those that it is about.
        """
        case = case.rounded(dtype)
        tried: set[str] = set()
        exactly: dict[str, set[str]] = {}
        loosely: dict[str, set[str]] = {}
        for side in sides_of(case, dialect):
            named = [form.partition(":")[::2] for form in side.forms]
            if not named or any(len(forms_of(kind)) < 2 for kind, _ in named):
                continue
            tried.update(kind for kind, _ in named)
            if any(form not in self.left.get(kind, (form,)) for kind, form in named):
                continue
            if all(form in exactly.get(kind, ()) for kind, form in named):
                continue
            for found, departing in ((loosely, True), (exactly, False)):
                if not explained_by(case, answer, dtype, side, dialect, departing=departing):
                    break
                for kind, form in named:
                    found.setdefault(kind, set()).add(form)
        told = {kind: tuple(sorted(exactly.get(kind) or loosely.get(kind) or ())) for kind in sorted(tried)}
        self.left.update(told)
        return told


_OF: WeakKeyDictionary[Implementation, dict[str, Fingerprint]] = WeakKeyDictionary()


def fingerprint_of(implementation: Implementation, dtype: str) -> Fingerprint:
    """What is known of the forms of an implementation in one type."""
    return _OF.setdefault(implementation, {}).setdefault(dtype, Fingerprint())
