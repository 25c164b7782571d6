"""One file per way to plug an implementation in."""
