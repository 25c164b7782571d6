"""Patience: how many failing cases a run bears, of a check that runs many and of all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from conformance.contract.verdict import Verdict
from conformance.record.conclusion import is_must

__all__ = ["Patience", "failing"]


def failing(verdicts: Iterable[Verdict]) -> set[tuple[str, str]]:
    """The cases, in a type each, that a must is broken in; a bundle's cases are told apart by their verdicts' ids."""
    return {(one.check, one.dtype) for one in verdicts if is_must(one) and one.status.breaks}


@dataclass
class Patience:
    """``most`` failing cases are borne, 0: any number. What is at its end has been ``cut`` where there was more."""

    most: int = 0
    cut: bool = False
    _failed: set[tuple[str, str]] = field(default_factory=set)

    def of(self, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
        """A check's verdicts, to the last of the case that is one failing case too many to go on."""
        self.cut = False
        last = ("", "")
        for verdict in verdicts:
            place = (verdict.check, verdict.dtype)
            if 0 < self.most <= len(self._failed) and place != last:
                self.cut = True
                return
            self._failed |= failing([verdict])
            last = place
            yield verdict
