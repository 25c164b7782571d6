"""Wrong implementations, each standing for a real defect or a classic slip: what the suite's power is measured with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from conformance.losses import KNOWN
from conformance.mutants.mutant import Mutant, MutantImplementation
from conformance.record.cause import Cause

__all__ = ["Cause", "Mutant", "MutantImplementation", "all_mutants", "half_mutants", "mutants_by_id"]


def all_mutants() -> tuple[Mutant, ...]:
    """Every mutant of Caffe's types, loss by loss, then the net's and those of the layers around."""
    modules = (
        import_module(f"{__name__}.{name}")
        for name in (*KNOWN, "lasting", "sharing", "net", "around", "together", "accepting")
    )
    return tuple(mutant for module in modules for mutant in module.MUTANTS)


def half_mutants() -> tuple[Mutant, ...]:
    """Those that are wrong in half types, which only a claim of such types shows."""
    found: tuple[Mutant, ...] = import_module(f"{__name__}.half").MUTANTS
    return found


@cache
def mutants_by_id() -> Mapping[str, Mutant]:
    """All of them by their ids."""
    return {mutant.id: mutant for mutant in (*all_mutants(), *half_mutants())}
