"""Evaluation: a net as people have it, its heads cut off, its weights read, computed by the reference."""
