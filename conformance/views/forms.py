"""Forms: what a report says of which fork's meaning of a layer type an implementation has."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.record.report import Report

__all__ = ["forms_told"]


def forms_told(report: Report) -> Iterator[str]:
    """A sentence for each layer type of several forms: the one that explains every answer, those that do, or none."""
    counts: dict[str, int] = {}
    left: dict[str, set[str]] = {}
    known: dict[str, set[str]] = {}
    for judged in report.judged:
        for kind, found in judged.verdict.detail.get("forms", {}).items():
            counts[kind] = counts.get(kind, 0) + 1
            known.setdefault(kind, set()).update(found)
            left[kind] = left.get(kind, set(found)) & set(found)
    for kind, forms in left.items():
        cases = f"{counts[kind]} cases"
        if len(forms) == 1:
            yield f"{kind}: the form {forms.pop()}, which explains all of {cases}"
        elif forms:
            yield f"{kind}: {' or '.join(sorted(forms))}; each explains all of {cases}"
        else:
            some = f"; some are explained by {', '.join(sorted(known[kind]))}" if known[kind] else ""
            yield f"{kind}: none of the forms that are known explains all of {cases}{some}"
