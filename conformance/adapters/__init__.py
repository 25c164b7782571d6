"""One file per way to plug an implementation in, and `open_implementation`, which reads how each is spelled."""

from conformance.adapters.opening import Spelling, open_implementation, spellings

__all__ = ["Spelling", "open_implementation", "spellings"]
