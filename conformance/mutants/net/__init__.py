"""What can be wrong in a net's bookkeeping: its total, its weights, its backward pass, the layers it holds."""

from __future__ import annotations

from conformance.mutants.net import backward, layers, totals, weights

__all__ = ["MUTANTS"]

MUTANTS = (*totals.MUTANTS, *weights.MUTANTS, *backward.MUTANTS, *layers.MUTANTS)
