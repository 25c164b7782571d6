"""Audit: everything that is to be said of one net, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.audit.document import Document, read_document
from conformance.audit.findings import Finding, Level, findings_of
from conformance.audit.graph import Graph, graph_of
from conformance.audit.terms import Term, equation, terms_of, trained
from conformance.contract.errors import UsageError

__all__ = ["SCHEMA", "Audit", "audit"]

SCHEMA = 1
"""The version of schema.json."""


@dataclass(frozen=True)
class Audit:
    """``learning`` are the layers that are trained, ``still`` those with learnable blobs that are not, and why."""

    document: Document
    graph: Graph
    phase: str
    terms: tuple[Term, ...]
    learning: tuple[str, ...]
    still: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]

    @property
    def equation(self) -> str:
        return equation(list(self.terms))

    def worst(self) -> Level | None:
        """The worst level of a finding."""
        return self.findings[0].level if self.findings else None

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.document.path,
            "solver": self.document.solver or None,
            "phase": self.phase,
            "iter_size": self.document.iter_size,
            "equation": self.equation,
            "terms": [term.to_json() for term in self.terms],
            "trained": list(self.learning),
            "not_trained": [{"layer": name, "why": why} for name, why in self.still],
            "findings": [finding.to_json() for finding in self.findings],
        }


def audit(
    path: Path, phase: str = "TRAIN", level: int | None = None, stages: Sequence[str] = (), ignored: Sequence[str] = ()
) -> Audit:
    """The audit of a net's or solver's file; ``ignored`` are ids of findings. Raises `UsageError`."""
    document = read_document(path, phase)
    if not document.net.layer:
        raise UsageError(f"{path} holds no layer: is it the prototxt of a net?")
    graph = graph_of(document, phase, level, stages)
    each = list(trained(graph))
    return Audit(
        document,
        graph,
        phase,
        tuple(terms_of(document, graph)),
        tuple(graph.layers[at].name for at, why in each if not why),
        tuple((graph.layers[at].name, why) for at, why in each if why),
        tuple(finding for finding in findings_of(document, graph) if finding.id not in ignored),
    )
