"""Wrong implementations, each standing for a real defect or a classic slip: what the suite's power is measured with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from conformance.mutants.mutant import Mutant, MutantImplementation
from conformance.record.cause import Cause

__all__ = ["Cause", "Mutant", "MutantImplementation", "all_mutants", "mutants_by_id"]


def all_mutants() -> tuple[Mutant, ...]:
    """Every mutant, loss by loss, then the net's and those of the layers around."""
    from conformance.mutants import (
        accepting,
        around,
        contrastive_loss,
        euclidean_loss,
        hinge_loss,
        infogain_loss,
        multinomial_logistic_loss,
        net,
        sigmoid_cross_entropy_loss,
        softmax_with_loss,
    )

    return (
        *contrastive_loss.MUTANTS,
        *euclidean_loss.MUTANTS,
        *hinge_loss.MUTANTS,
        *infogain_loss.MUTANTS,
        *multinomial_logistic_loss.MUTANTS,
        *sigmoid_cross_entropy_loss.MUTANTS,
        *softmax_with_loss.MUTANTS,
        *net.MUTANTS,
        *around.MUTANTS,
        *accepting.MUTANTS,
    )


@cache
def mutants_by_id() -> Mapping[str, Mutant]:
    """The same by their ids."""
    return {mutant.id: mutant for mutant in all_mutants()}
