"""Cases: a problem as a net of one layer, for whatever takes nets."""

from __future__ import annotations

from conformance.contract.case import Case
from conformance.contract.outcome import Outcome
from conformance.timing.problem import Array, Problem

__all__ = ["case_of", "gradients_in"]


def case_of(problem: Problem) -> Case:
    """The problem as a case, with its own arrays."""
    return problem.variant.case(f"bench/{problem}", values=problem.arrays())


def gradients_in(problem: Problem, outcome: Outcome) -> tuple[Array, ...]:
    """The gradients in an outcome of the problem's case, in the order of the bottoms that take one."""
    learned = problem.loss.learned
    if problem.variant.forced:
        return tuple(outcome.diff[name] for name in learned)
    return tuple(outcome.param_diff[name][0] for name in learned)
