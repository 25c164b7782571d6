"""Check: one item of the suite, executed once per implementation and dtype, giving any number of verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from conformance.contract.dtypes import DEFAULT, FLOAT, TypeClaim
from conformance.contract.session import Session
from conformance.contract.verdict import Verdict

__all__ = ["Check"]


@dataclass(frozen=True)
class Check:
    """``family`` is the suite module's name, ``layer`` a layer's stem or "net". ``core`` checks have sums of at most
    64 terms.

    ``run`` judges a session's implementation; it may raise `ImplementationError`, which costs each of
    ``requirements`` its verdict. ``needs_net`` checks are not applicable to implementations that compute single layers;
    checks by ``differences`` of the loss also run in the dtypes that an implementation takes for their sake. What is
    ``undefined`` in Caffe runs last, on an implementation opened for it alone, and is only reported. ``since`` is the
    version of the suite that first had the check. ``forms`` are the forks' meanings of its layer types that it is
    about, as TYPE:FORM. A check of layer types ``together`` is about what is between them: who has not all of them has
    no part in it. ``dtypes`` are those of Caffe's types in which it says anything; what runs in all of them runs in any
    other claim of types, too, and what runs in C's float alone, being about many terms, in any that adds up in as much.
    """

    id: str
    family: str
    layer: str
    requirements: tuple[str, ...]
    run: Callable[[Session], Iterable[Verdict]]
    dtypes: tuple[str, ...] = DEFAULT
    core: bool = True
    needs_net: bool = False
    differences: bool = False
    layer_types: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    together: bool = False
    undefined: bool = False
    since: str = "1"

    def runs_in(self, claim: str) -> bool:
        """Whether the check says anything in a claim of types."""
        if claim in DEFAULT:
            return claim in self.dtypes
        if set(DEFAULT) <= set(self.dtypes):
            return True
        return FLOAT.name in self.dtypes and TypeClaim.named(claim).accumulated.significand >= FLOAT.significand

    def among(self, wanted: Iterable[str], differences: Iterable[str] = ()) -> Iterator[str]:
        """The claims of types that it runs in: of those ``wanted``, and of those that are there for the sake of
        ``differences``; Caffe's in its own order, the others behind them."""
        several = dict.fromkeys((*wanted, *(differences if self.differences else ())))
        yield from (claim for claim in self.dtypes if claim in several)
        yield from (claim for claim in several if claim not in self.dtypes and self.runs_in(claim))
