"""Forms: what a report says of which fork's meaning of a layer type an implementation has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from conformance.record.report import Report

__all__ = ["forms_told"]


@dataclass
class _Known:
    """What cases tell of one layer type: how often each form explains one or is silent, and how many it computes."""

    cases: int = 0
    computed: int = 0
    explaining: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)
    left: set[str] | None = None

    def add(self, explaining: list[str], silent: list[str], refused: bool) -> None:
        self.cases += 1
        self.computed += not refused
        self.explaining.update(explaining)
        self.silent.update(silent)
        left = {*explaining, *silent}
        self.left = left if self.left is None else self.left & left


def forms_told(report: Report) -> Iterator[str]:
    """A sentence for each layer type of several forms: the one that explains every answer, those that do, or none.

    Where none does, the nearest is named that no number speaks against: it refuses some of what the implementation
    computes, or the other way about, or a top weighs something else unasked.
    """
    known: dict[str, _Known] = {}
    for judged in report.judged:
        detail = judged.verdict.detail
        for kind, found in detail.get("forms", {}).items():
            silent = detail.get("silent", {}).get(kind, [])
            known.setdefault(kind, _Known()).add(found, silent, bool(detail.get("refused")))
    for kind, told in known.items():
        yield f"{kind}: {_sentence(told)}"


def _sentence(told: _Known) -> str:
    cases = f"{told.cases} cases"
    if not told.computed:
        return f"refuses all of {cases}, so that nothing tells which form it has"
    forms = sorted(form for form, count in told.explaining.items() if count == told.cases)
    if len(forms) == 1:
        return f"the form {forms[0]}, which explains all of {cases}"
    if forms:
        return f"{' or '.join(forms)}; each explains all of {cases}"
    near = [form for form in told.left or () if told.explaining[form]]
    if near:
        fewest = min(told.silent[form] for form in near)
        nearest = " or ".join(sorted(form for form in near if told.silent[form] == fewest))
        return (
            f"the form {nearest}, from which no number of {cases} differs; {fewest} differ in what is refused, "
            "overflows, weighs unasked, or is the loss's true derivative"
        )
    some = f"; some are explained by {', '.join(sorted(told.explaining))}" if told.explaining else ""
    return f"none of the forms that are known explains all of {cases}{some}"
