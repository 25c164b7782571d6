"""One file per way to plug an implementation in, and `open_implementation`, which reads how each is spelled."""

from conformance.adapters.opening import SPELLINGS, Spelling, open_implementation

__all__ = ["SPELLINGS", "Spelling", "open_implementation"]
