"""Sides: which settings of the quirks a case touches, and what the reference does under each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

from conformance.contract.case import Case, forms_by_type
from conformance.judge.reference import build, run_steps
from refimpl.dialect import QUIRKS, Dialect
from refimpl.errors import NetError, PrototxtError
from refimpl.layers import forms_of
from refimpl.prototxt import parse_net

__all__ = ["LARGEST_TOUCH", "Side", "plain_side", "sides_of", "touched_by"]

LARGEST_TOUCH = 3
"""Cases that touch more quirks than this are not published: they would have too many right answers."""


@dataclass(frozen=True)
class Side:
    """One setting of the quirks a case touches: those taken as BVLC Caffe does; and one form of each layer type that
    has several, as TYPE:FORM."""

    taken: frozenset[str]
    touched: frozenset[str]
    forms: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """ "documented", "bvlc", or the quirks that are taken; behind it the forms."""
        quirks = "documented"
        if self.taken:
            quirks = "bvlc" if self.taken == self.touched else "+".join(sorted(self.taken))
        return " ".join((quirks, *self.forms))

    def dialect(self, true_derivatives: frozenset[str] = frozenset()) -> Dialect:
        return Dialect(self.name, self.taken, true_derivatives, forms_by_type(self.forms))


def touched_by(case: Case, forms: tuple[str, ...] = (), untouched: bool = False) -> frozenset[str]:
    """The quirks whose situation arises in the case, on either side of any of them; of any case found out once, for
    it is asked in every type. ``untouched`` where it is known that the documented side touches none."""
    asked = (case.net, case.digest(), forms)
    if asked not in _FOUND:
        _FOUND[asked] = _touches(case, forms, untouched)
    return _FOUND[asked]


_FOUND: dict[tuple[str, str, tuple[str, ...]], frozenset[str]] = {}
"""By net, digest and forms of a case: what has been found out in this process; no case is kept."""


def _touches(case: Case, forms: tuple[str, ...], untouched: bool) -> frozenset[str]:
    touched: frozenset[str] = frozenset()
    if not untouched:
        documented = Dialect("probe", forms=forms_by_type(forms))
        touched = _touched(case, documented)
        if not documented.asked:
            return touched
    return touched | _touched(case, Dialect("probe", QUIRKS, forms=forms_by_type(forms)))


def _touched(case: Case, dialect: Dialect) -> frozenset[str]:
    touched: set[str] = set()  # what a later pass takes a layer out of again counts
    try:
        net = build(case, dialect=dialect)
        run_steps(net, case, after=lambda index, trace: touched.update(net.met.touched))
    except NetError:
        touched.update(dialect.touched)  # a refusal is an answer; what was touched on the way to it counts
    return frozenset(touched)


def plain_side(case: Case, asked: str | None, told: bool = False) -> Side:
    """The first side to try for a case that touches no quirk: there is no other then."""
    return Side(frozenset(), frozenset(), next(_forms_of(case, asked, told)))


def sides_of(case: Case, asked: str | None, told: bool = False) -> Iterator[Side]:
    """The sides to try: the one asked for, or all of them, documented and bvlc first; each under every form, or under
    the one alone that is meant for who is ``told`` the case's forms."""
    for forms in _forms_of(case, asked, told):
        yield from _quirks_of(case, asked, forms)


def _forms_of(case: Case, asked: str | None, told: bool) -> Iterator[tuple[str, ...]]:
    """Every choice of forms: those that the case names, and after them all of a type that BVLC Caffe does not have; of
    these the one that is ``asked`` for, where a type has it, or the first for who is ``told``."""
    try:
        kinds = dict.fromkeys(layer.type for layer in parse_net(case.net).layer)
    except PrototxtError:
        kinds = {}
    choices = []
    for kind in kinds:
        named = [form for form in case.forms if form.startswith(f"{kind}:")]
        if found := list(dict.fromkeys((*named, *(f"{kind}:{name}" for name in forms_of(kind))))):
            choices.append(found[:1] if told else [form for form in found if form == f"{kind}:{asked}"] or found)
    yield from product(*choices)


def _quirks_of(case: Case, asked: str | None, forms: tuple[str, ...]) -> Iterator[Side]:
    touched = touched_by(case, forms)
    if asked is not None:
        yield Side(touched if asked == "bvlc" else frozenset(), touched, forms)
        return
    yield Side(frozenset(), touched, forms)
    if touched:
        yield Side(touched, touched, forms)
    if len(touched) <= LARGEST_TOUCH:
        for size in range(1, len(touched)):
            yield from (Side(frozenset(some), touched, forms) for some in combinations(sorted(touched), size))
