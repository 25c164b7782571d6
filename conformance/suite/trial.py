"""Trial: a layer of any type in an implementation's hands, on bottoms that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.implementation import DoesNotStart, Implementation, ImplementationError, Unsupported
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status
from conformance.suite.snippet import Setting, Snippet

__all__ = ["Fault", "Subject", "Trial", "Undecided", "differ"]

ROUND = ("forward", "backward")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    reason: str
    level: Level = Level.MUST


class Undecided(Exception):
    """There is no saying whether a requirement holds: the status that its verdict gets, and why."""

    def __init__(self, reason: str, status: Status = Status.INCONCLUSIVE) -> None:
        super().__init__(reason, status)
        self.reason, self.status = reason, status


@dataclass(frozen=True)
class _Settled:
    """What an implementation takes, whether it repeats itself, and the bottoms that it gives no gradient for."""

    setting: Setting
    params: tuple[Array, ...]
    steady: bool
    silent: tuple[str, ...]


class Subject:
    """A snippet, and for each implementation the setting that was found for it."""

    def __init__(self, snippet: Snippet) -> None:
        self.snippet = snippet
        self._settled: WeakKeyDictionary[Implementation, _Settled] = WeakKeyDictionary()

    def trial(self, session: Session, check: str) -> Trial:
        """The layer on the first bottoms that the implementation takes. Raises `Undecided` where it takes none."""
        found = self._settled.get(session.implementation)
        if found is None:
            found = self._settled[session.implementation] = self._settle(session, check)
        return Trial(session, check, found.setting, found.params, found.steady, found.silent)

    def _settle(self, session: Session, check: str) -> _Settled:
        refusals: dict[str, list[str]] = {}
        vague = False
        for setting in self.snippet.settings():
            trial = Trial(session, check, setting)
            try:
                first = trial.run(prefill_diff=dict.fromkeys(setting.asked, np.nan))
            except (Undecided, ImplementationError) as error:
                if isinstance(error, (Unsupported, DoesNotStart)):
                    raise
                refusals.setdefault(error.reason, []).append(setting.words)
                continue
            if not np.isfinite(first.loss):
                refusals.setdefault(f"its loss is {first.loss}", []).append(setting.words)
                vague = True
                continue
            silent = () if self.snippet.layer.propagate_down else tuple(_silent(first, setting.asked[1:]))
            kept = setting.asking(*(name for name in setting.asked if name not in silent))
            params = _drawn(first.param_diff.get(trial.layer, ()))
            return _Settled(kept, params, replace(trial, setting=kept, params=params).repeats_itself(), silent)
        told = "; ".join(f"{reason}, on {' or '.join(dict.fromkeys(words))}" for reason, words in refusals.items())
        hint = "a snippet can say what its bottoms are, with DummyData fillers where they are not just any numbers"
        status = Status.INCONCLUSIVE if vague else Status.FAILED
        raise Undecided(f"none of the bottoms tried is taken: {told}; {hint}", status)


@dataclass(frozen=True)
class Trial:
    """Runs of one setting, with ``params`` in the layer's parameters.

    ``silent`` bottoms were asked for a gradient and got neither one nor a refusal.
    """

    session: Session
    check: str
    setting: Setting
    params: tuple[Array, ...] = ()
    steady: bool = True
    silent: tuple[str, ...] = ()

    @property
    def layer(self) -> str:
        """The layer's name in the net."""
        return self.setting.layer.name

    def case(self, setting: Setting | None = None, **fields: Any) -> Case:
        """A case of this check; ``fields`` are those of `Setting.case`."""
        params = {self.layer: self.params} if self.params else {}
        return (setting or self.setting).case(self.check, params=params, **fields)

    def run(self, setting: Setting | None = None, **fields: Any) -> Outcome:
        """What the implementation makes of a case. Raises `Undecided` with the status *failed* where it refuses it."""
        answer = self.session.run(self.case(setting, **fields))
        if isinstance(answer, Refusal):
            raise Undecided(f"refused at {answer.third_party_stage}: {answer.message}", Status.FAILED)
        return answer

    def whole(self) -> Outcome:
        """The plain case, a forward and a backward pass, to compare others with bit for bit.

        Raises `Undecided` where the layer does not repeat itself, or no gradient is reported.
        """
        if not self.steady:
            raise Undecided("two runs of one case differ: the layer does not repeat itself")
        answer = self.run()
        if not self.gradients(answer):
            raise Undecided("no gradient is reported")
        return answer

    def gradients(self, answer: Outcome) -> dict[str, Array]:
        """The gradients asked for, as far as they are reported: of bottoms by name, of parameters by ``layer[i]``."""
        bottoms = {name: answer.diff[name] for name in self.setting.asked if name in answer.diff}
        learnt = answer.param_diff.get(self.layer, ())
        return bottoms | {f"{self.layer}[{i}]": diff for i, diff in enumerate(learnt)}

    def unlike(self, got: Outcome, want: Outcome, scale: float = 1.0, accumulated: float = 1.0) -> Iterator[Fault]:
        """Where loss and gradients are not ``scale`` times those of another outcome, bit for bit.

        Gradients of parameters are ``accumulated`` times as large besides.
        """
        yield from differ("the net's loss", np.array(got.loss), np.array(want.loss) * scale)
        yield from self.gradients_unlike(got, want, scale, accumulated)

    def gradients_unlike(
        self, got: Outcome, want: Outcome, scale: float = 1.0, accumulated: float = 1.0
    ) -> Iterator[Fault]:
        """As `unlike`, without the loss."""
        mine, theirs = self.gradients(got), self.gradients(want)
        for name in (name for name in mine if name in theirs):
            factor = scale * (1.0 if name in self.setting.asked else accumulated)
            yield from differ(f"the gradient of {name}", mine[name], theirs[name] * factor)

    def repeats_itself(self) -> bool:
        """Whether the plain case gives the same bits twice."""
        return not list(self.unlike(self.run(), self.run()))


def differ(what: str, got: Array, want: Array) -> Iterator[Fault]:
    """A fault unless the arrays are the same."""
    if np.shape(got) != np.shape(want):
        yield Fault(f"{what} has shape {np.shape(got)}, wanted {np.shape(want)}")
    elif not np.array_equal(got, want, equal_nan=True):
        yield Fault(f"{what} is {_short(got)}, wanted exactly {_short(want)}")


def _silent(answer: Outcome, names: tuple[str, ...]) -> Iterator[str]:
    """The bottoms whose diff still holds the NaN it was filled with."""
    for name in names:
        if name in answer.diff and np.isnan(answer.diff[name]).all():
            yield name


def _drawn(like: Sequence[Array]) -> tuple[Array, ...]:
    """Parameters between 1/4 and 5/4, of the shapes of others: as good for a variance as for a weight."""
    rng = np.random.default_rng(len(like))
    return tuple(rng.integers(16, 80, array.shape) / 64 for array in like)


def _short(array: Array) -> str:
    shown = ", ".join(f"{x:.9g}" for x in np.asarray(array).ravel()[:4])
    return f"[{shown}{', …' if np.size(array) > 4 else ''}]"
