"""Clues: what one rejected answer points to, each cause with how well it explains the answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from conformance.contract.case import Case
from conformance.contract.outcome import Outcome, Refusal
from conformance.diagnosis.alterations import alteration_clues
from conformance.diagnosis.bookkeeping import reported_weight_clues, total_clues, weight_clues
from conformance.diagnosis.diagnosis import is_same_factor
from conformance.diagnosis.difference import Difference
from conformance.diagnosis.elements import element_clues, is_rearranged
from conformance.diagnosis.passes import pass_clues
from conformance.diagnosis.propagation import bottom_clues, is_weight_unasked, mixed_up_clues, unasked_clues
from conformance.diagnosis.ratios import ratio_clues
from conformance.diagnosis.refusals import refusal_clues
from conformance.diagnosis.rejection import Rejection
from conformance.judge.judgement import Judgement
from conformance.record.cause import Cause
from conformance.record.grade import Clue, Grade
from refimpl.layer import LossLayer

__all__ = ["Clues", "clues_of", "ranked"]

Thorough = Callable[[], bool]


@dataclass(frozen=True)
class Clues:
    """What would explain a rejected answer, the likeliest first; ``first``: what foretells the first array that is
    wrong; and the one factor by which the answer is off, if it is."""

    causes: Mapping[Cause, Grade]
    first: frozenset[Cause] = frozenset()
    factor: float | None = None


def _common_factor(rejection: Rejection) -> float | None:
    """The factor by which all that is wrong is off; None where there is none, or several."""
    factors = [difference.ratio() for difference in rejection.differences]
    first = factors[0] if factors else None
    if first is None or any(factor is None or not is_same_factor(factor, first) for factor in factors):
        return None
    return first


def clues_of(
    case: Case,
    answer: Outcome | Refusal,
    dtype: str,
    judgement: Judgement,
    thorough: Thorough = lambda: True,
    known: Collection[Cause] = (),
) -> Clues:
    """What a rejected answer points to.

    Where its numbers alone do not tell, ``thorough`` is asked whether to run the case as others would have read it; if
    not, it is run as those would who make the mistakes that are ``known`` already.
    """
    kinds = {finding.kind for finding in judgement.failures}
    if isinstance(answer, Refusal) or "refusal" in kinds:
        return Clues(ranked(refusal_clues(case, isinstance(answer, Refusal))))
    rejection = Rejection.of(case, answer, dtype, judgement)
    if rejection is None:
        return Clues(ranked([]))
    each = [_best_of(_each(rejection, difference)) for difference in _to_explain(rejection)]
    first = frozenset(cause for cause, grade in each[0].items() if grade >= Grade.PARTLY) if each else frozenset()
    together = _together(each)
    clues = [*_of_the_whole(rejection, kinds), *together.items()]
    if rejection.differences and Grade.EXACT not in together.values():
        clues += alteration_clues(rejection, None if thorough() else known)
    return Clues(ranked(clues), first, _common_factor(rejection))


def ranked(clues: Iterable[Clue]) -> dict[Cause, Grade]:
    """The best grade of every cause, the best cause first, of equal ones that which was found first.

    There is always another formula, which comes before what is no more than a hint.
    """
    return dict(sorted(_best_of([(Cause.UNNAMEABLE, Grade.HINT), *clues]).items(), key=lambda item: -item[1]))


def _best_of(clues: Iterable[Clue]) -> dict[Cause, Grade]:
    found: dict[Cause, Grade] = {}
    for cause, grade in clues:
        found[cause] = max(found.get(cause, grade), grade)
    return found


def _of_the_whole(rejection: Rejection, kinds: set[str]) -> Iterator[Clue]:
    yield from _structure(rejection)
    yield from reported_weight_clues(rejection)
    yield from mixed_up_clues(rejection)
    if kinds == {"shape"}:
        yield Cause.SHAPE, Grade.EXACT


def _together(each: list[dict[Cause, Grade]]) -> dict[Cause, Grade]:
    """The mean over several differences, cut off to a grade: what explains all is ahead of what explains one."""
    causes = dict.fromkeys(cause for clues in each for cause in clues)
    sums = {cause: sum(clues.get(cause, 0) for clues in each) for cause in causes}
    return {cause: Grade(max(Grade.HINT, total // len(each))) for cause, total in sums.items()}


def _structure(rejection: Rejection) -> Iterator[Clue]:
    """Whether the answer is that of another net."""
    known = {node.name for node in rejection.net.layers}
    told = {layer.name for layer in rejection.outcome.layers or () if layer.type != "Split"}
    strange = [name for name in rejection.outcome.data if name not in rejection.net.blobs and "_split_" not in name]
    if told - known or strange:
        yield Cause.WRONG_LAYERS, Grade.EXACT


def _to_explain(rejection: Rejection) -> list[Difference]:
    """The differences to be explained: where weights are wrong, losses and gradients are bound to be."""
    weights = [d for d in rejection.differences if d.aspect == "weight" or is_weight_unasked(d)]
    return weights or list(rejection.differences)


def _each(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    if difference.aspect == "input":
        if is_rearranged(difference):
            yield Cause.TRANSPOSED, Grade.EXACT
        yield Cause.INPUT_CHANGED, Grade.EXACT
        return
    if difference.aspect == "weight":
        yield from weight_clues(rejection, difference)
        return
    if difference.aspect == "unasked":
        yield from unasked_clues(rejection, difference)
        return
    yield from bottom_clues(rejection, difference)
    yield from ratio_clues(rejection, difference)
    if difference.aspect == "total":
        yield from total_clues(rejection, difference)
        return
    yield from pass_clues(rejection, difference)
    yield from element_clues(rejection, difference)
    if difference.layer_type == "Split" and difference.aspect == "backward":
        yield Cause.FAN_OUT, Grade.PATTERN
    if difference.aspect == "parameter" and len(rejection.net.params) > 1 and _shares(rejection):
        yield Cause.FAN_OUT, Grade.PATTERN
    yield from _tops(rejection, difference)
    yield from _options_without_use(difference)


def _shares(rejection: Rejection) -> bool:
    names = [spec.name for node in rejection.net.layers for spec in node.layer.param.param if spec.name]
    return len(names) > len(set(names))


def _tops(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    """Whether a second top of the layer is in play."""
    node = difference.node
    if node is None or len(node.tops) < 2 or not isinstance(node.layer, LossLayer):
        return
    backward = difference.aspect == "backward"
    read = backward and np.any(rejection.net.tops_of(node)[1].diff.value)
    if difference.blob in node.tops[1:] or read:
        yield Cause.SECOND_TOP, Grade.PATTERN
    elif backward:
        yield Cause.SECOND_TOP, Grade.HINT


def _options_without_use(difference: Difference) -> Iterator[Clue]:
    """Whether the layer is given a ``loss_param`` that it has no use for."""
    node = difference.node
    useless = node is not None and isinstance(node.layer, LossLayer) and not hasattr(node.layer, "normalisation")
    if node is not None and useless and node.layer.param.loss_param.present:
        yield Cause.OPTION_IGNORED, Grade.PATTERN
