"""Cases: a problem as a net of one layer, for whatever takes nets."""

from __future__ import annotations

from conformance.contract.case import Case
from conformance.contract.outcome import Outcome
from conformance.losses.nets import layer, source
from conformance.timing.problem import Array, Problem

__all__ = ["case_of", "gradients_in", "net_of"]

PARAM = {"softmax_with_loss": "loss_param", "infogain_loss": "loss_param", "sigmoid_cross_entropy_loss": "loss_param"}


def net_of(problem: Problem, shapes: dict[str, tuple[int, ...]]) -> str:
    """The prototxt, for bottoms of the given shapes.

    force_backward is fatal with an infogain matrix as a bottom: there, what takes a gradient is a Parameter.
    """
    forced = problem.layer != "infogain_loss"
    text = "force_backward: true\n" if forced else ""
    for name, shape in shapes.items():
        text += source(name, shape, learnt=not forced and name in problem.spec.learned)
    ignored = problem.ignore_label
    options = "" if ignored is None else f"{PARAM[problem.layer]} {{ ignore_label: {ignored} }}"
    return text + layer("loss", problem.spec.type, list(shapes), ["loss"], (), options)


def case_of(problem: Problem) -> Case:
    """The problem as a case, with its own arrays."""
    arrays = problem.arrays()
    learned = problem.spec.learned if problem.layer == "infogain_loss" else ()
    return Case(
        f"bench/{problem}",
        net_of(problem, problem.shapes()),
        inputs={name: array for name, array in arrays.items() if name not in learned},
        params={name: (arrays[name],) for name in learned},
    )


def gradients_in(problem: Problem, outcome: Outcome) -> tuple[Array, ...]:
    """The gradients in an outcome of the problem's case, in the order of the bottoms that take one."""
    if problem.layer == "infogain_loss":
        return tuple(outcome.param_diff[name][0] for name in problem.spec.learned)
    return tuple(outcome.diff[name] for name in problem.spec.learned)
