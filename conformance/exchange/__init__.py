"""Exchange: cases out as files, answers in as files, for an implementation that cannot be run here."""

from conformance.exchange.answers import Answers
from conformance.exchange.export import export
from conformance.exchange.index import Index, Item

__all__ = ["Answers", "Index", "Item", "export"]
