"""Mutant: a wrong implementation, and the implementation that it is when the suite runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conformance.adapters.reference import ran
from conformance.contract.case import Case
from conformance.contract.dtypes import DEFAULT
from conformance.contract.implementation import Crash, Description
from conformance.contract.outcome import Outcome, Refusal
from conformance.judge.reference import build
from conformance.record.cause import Cause
from refimpl.errors import NetError
from refimpl.layer import Layer
from refimpl.net import Net

__all__ = ["Mutant", "MutantImplementation"]


@dataclass(frozen=True)
class Mutant:
    """The reference with one thing wrong.

    ``id`` is "<stem>/<name>", stem a loss layer's or "net". ``wrong`` says in one sentence what it does wrong,
    ``stands_for`` which real defect it is like. ``layers`` replaces layer types, ``net`` the net around them;
    ``dialect`` is the one it is otherwise right in, ``determinism`` what it promises. ``form`` is the fork whose layer
    it is, where forks mean several things by the type: what is right in another is wrong here.

    ``equivalent`` is the reason why no `must` could tell it from a right implementation, None for a mutant that has to
    be killed. ``at_scale`` ones are wrong beyond some size only: the large checks run on them as well. Controls are
    equivalent, too, with the cause `Cause.NONE`: they rewrite a formula as the mutants beside them do, and rightly.
    """

    id: str
    wrong: str
    stands_for: str
    cause: Cause
    layers: Mapping[str, type[Layer]] = field(default_factory=dict)
    net: type[Net] = Net
    dialect: str = "documented"
    form: str = ""
    determinism: str | None = None
    equivalent: str | None = None
    at_scale: bool = False

    @property
    def stem(self) -> str:
        """The loss layer that is wrong, or "net"."""
        return self.id.partition("/")[0]


class MutantImplementation:
    """A mutant as the suite sees it: an implementation of nets in whatever types are asked for."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def describe(self) -> Description:
        return Description(
            name=f"mutant {self.mutant.id}",
            dtypes=DEFAULT,
            dialect=self.mutant.dialect,
            determinism=self.mutant.determinism,
            any_types=True,
        )

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        """Run the case. Raises `Crash` for whatever the mutant raises that is no refusal."""
        mutant = self.mutant
        try:
            net = build(case, kind=mutant.net, dialect=mutant.dialect, dtype=dtype, layers=mutant.layers)
            return ran(net, case, dtype, lambda one: one.forward())
        except NetError as error:
            return Refusal(error.stage, str(error), error.layer)
        except (ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError) as error:
            raise Crash(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Nothing is held."""
