"""Agreement: whether two runs that should give the same numbers do.

Bit for bit, unless the implementation claims no determinism, or claims nothing and gives other bits when one case is
run twice: then each run may be off by its own bound, and two of them differ by no more than the sum of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.outcome import Outcome
from conformance.contract.session import Session
from conformance.judge.bounds import bounds_of
from conformance.suite.trial import Fault, differ

__all__ = ["allowed_by", "arrays_of", "differing", "keeps_bits"]


def keeps_bits(session: Session, case: Case) -> bool:
    """Whether its answers are to be the same bits: what it claims, else what two runs of the case show."""
    claim = session.description.determinism
    if claim is not None:
        return claim != "none"
    first, second = session.run(case), session.run(case)
    if not (isinstance(first, Outcome) and isinstance(second, Outcome)):
        return True
    mine, theirs = arrays_of(first), arrays_of(second)
    return mine.keys() == theirs.keys() and not any(differing(mine, theirs))


def arrays_of(outcome: Outcome) -> Mapping[str, Array]:
    """Everything that an outcome holds, each array under a name of its own."""
    return {
        "net loss": np.array([outcome.loss]),
        **{f"data of {name}": array for name, array in outcome.data.items()},
        **{f"diff of {name}": array for name, array in outcome.diff.items()},
        **{f"gradient {name}[{i}]": a for name, arrays in outcome.param_diff.items() for i, a in enumerate(arrays)},
    }


def allowed_by(session: Session, *shares: tuple[Case, float]) -> Mapping[str, Array]:
    """How far what is made of runs may be off, by the names of `arrays_of`: each case's bounds times its share."""
    allowed: dict[str, Array] = {}
    for case, share in shares:
        bounds = bounds_of(case, session.dtype, session.dialect)
        own = {
            "net loss": np.array([bounds.loss]),
            **{f"data of {name}": error for name, error in bounds.data.items()},
            **{f"diff of {name}": error for name, error in bounds.diff.items()},
            **{f"gradient {name}[{i}]": e for name, errors in bounds.param_diff.items() for i, e in enumerate(errors)},
        }
        for name, error in own.items():
            allowed[name] = allowed.get(name, 0.0) + abs(share) * error
    return allowed


def differing(
    got: Mapping[str, Array], want: Mapping[str, Array], allowed: Mapping[str, Array] | None = None
) -> Iterator[Fault]:
    """Where arrays of one name are not the same, bit for bit or within what is ``allowed``."""
    for name in (name for name in got if name in want):
        if allowed is None or name not in allowed or np.shape(got[name]) != np.shape(want[name]):
            yield from differ(name, got[name], want[name])
        else:
            mine, theirs = (np.ravel(np.asarray(array, np.float64)) for array in (got[name], want[name]))
            yield from _apart(name, mine, theirs, np.ravel(allowed[name]))


def _apart(name: str, got: Array, want: Array, allowed: Array) -> Iterator[Fault]:
    bound = np.broadcast_to(allowed, got.shape)
    with np.errstate(invalid="ignore"):
        off = np.where((got == want) | (np.isnan(got) & np.isnan(want)), 0.0, np.absolute(got - want))
    wrong = np.flatnonzero(~(off <= bound))
    if wrong.size:
        at = wrong[0]
        yield Fault(
            f"{name}: {wrong.size} of {got.size} element(s) are further apart than both bounds allow, "
            f"the first is {got[at]:.9g} beside {want[at]:.9g}, within {bound[at]:.2g}"
        )
