"""An audit as text for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.audit.audit import Audit
from conformance.audit.findings import Level
from conformance.contract.errors import one_line

__all__ = ["lines", "markdown", "table"]

_MANY = 6


def lines(audit: Audit) -> Iterator[str]:
    """What an audit says: the equation, its terms, who is trained, what was found."""
    document = audit.document
    of = f" (solver {document.solver})" if document.solver else ""
    yield f"{document.path}{of}, phase {audit.phase}"
    yield f"  {audit.equation}"
    for term in audit.terms:
        yield f"    {one_line(term.layer)} ({one_line(term.type)}): weight {term.weight:.7g}, {term.origin}"
        if term.divisor:
            yield f"      divided by {term.divisor}"
        for weight in sorted({weight for _, weight in term.rules}, reverse=True):
            yield f"      unasked it weighs {weight:g} by {_names([who for who, each in term.rules if each == weight])}"
        if term.forms:
            yield f"      forks mean different things by the type: {', '.join(term.forms)}"
    yield f"  trained: {_names(audit.learning)}"
    reasons: dict[str, list[str]] = {}
    for name, why in audit.still:
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        yield f"  not trained, {why}: {_names(names)}"
    for finding in audit.findings:
        where = f" line {finding.line}," if finding.line else ""
        layer = f" {one_line(finding.layer)}:" if finding.layer else ""
        yield f"  {finding.level.value}:{where}{layer} {one_line(finding.sentence, 400)} [{finding.page}]"


def _names(names: Sequence[str]) -> str:
    if not names:
        return "nothing"
    shown = ", ".join(map(one_line, names[:_MANY]))
    return f"{shown} and {len(names) - _MANY} more" if len(names) > _MANY else shown


def table(audits: Sequence[Audit]) -> Iterator[str]:
    """One line a net."""
    for audit in audits:
        counts = [
            f"{count} {level.value}{'s' if count > 1 else ''}"
            for level in Level
            if (count := sum(finding.level is level for finding in audit.findings))
        ]
        yield f"{audit.document.path}: {audit.equation}" + (f"  ({', '.join(counts)})" if counts else "")


def markdown(audit: Audit) -> str:
    """The same as a page."""
    page = [
        f"# {one_line(audit.document.path)}",
        "",
        f"`{one_line(audit.equation, 4000)}`",
        "",
        "| term | weight | divided by |",
        "|---|---|---|",
    ]
    page += [_row(f"{t.layer} ({t.type})", f"{t.weight:.7g}, {t.origin}", t.divisor) for t in audit.terms]
    page += ["", f"Trained: {_names(audit.learning)}.", ""]
    page += [f"- not trained: {one_line(name)}, {why}" for name, why in audit.still]
    page += ["", "| level | line | layer | finding |", "|---|---:|---|---|"] if audit.findings else []
    page += [
        _row(f.level.value, str(f.line or ""), f.layer, f"{f.sentence} ([{f.id}]({f.page}))") for f in audit.findings
    ]
    return "\n".join(page) + "\n"


def _row(*cells: str) -> str:
    """A table's row, whatever the cells hold."""
    return f"| {' | '.join(one_line(cell, 1000).replace('|', chr(92) + '|') for cell in cells)} |"
