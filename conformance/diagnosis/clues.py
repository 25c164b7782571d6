"""Clues: what one rejected answer points to, each cause with how well it explains the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from conformance.case import Case
from conformance.diagnosis.alterations import alteration_clues
from conformance.diagnosis.bookkeeping import told_weight_clues, total_clues, weight_clues
from conformance.diagnosis.cause import Cause
from conformance.diagnosis.difference import Difference
from conformance.diagnosis.passes import pass_clues
from conformance.diagnosis.places import place_clues
from conformance.diagnosis.ratios import ratio_clues
from conformance.diagnosis.scene import Scene, compared
from conformance.judge import Judgement
from conformance.outcome import Outcome, Refusal
from refimpl.errors import NetError
from refimpl.layer import LossLayer
from refimpl.prototxt import dump_net, parse_net

__all__ = ["SAME_FACTOR", "Clues", "clues_of"]

Clue = tuple[Cause, float]
Thorough = Callable[[], bool]

SAME_FACTOR = 1e-4
"""How far, relatively, two estimates of one factor may be apart."""

_SETTLED = 0.95
"""A cause that explains everything this well needs no other to be looked for."""


@dataclass(frozen=True)
class Clues:
    """What would explain a rejected answer, the likeliest first, and the one factor by which it is off, if it is."""

    causes: Mapping[Cause, float]
    factor: float | None = None


def _common_factor(scene: Scene) -> float | None:
    """The factor by which all that is wrong is off; None where there is none, or several."""
    factors = [difference.ratio() for difference in scene.differences]
    first = factors[0] if factors else None
    if first is None or any(factor is None or abs(factor / first - 1) > SAME_FACTOR for factor in factors):
        return None
    return first


def clues_of(
    case: Case, answer: Outcome | Refusal, dtype: str, judgement: Judgement, thorough: Thorough = lambda: True
) -> Clues:
    """What a rejected answer points to.

    Where its numbers alone do not tell, ``thorough`` is asked whether to run the case as others would have read it.
    """
    kinds = {finding.kind for finding in judgement.failures}
    if isinstance(answer, Refusal) or "refusal" in kinds:
        other = Cause.REFUSES if isinstance(answer, Refusal) else Cause.ACCEPTS
        return Clues(_ranked([(Cause.WRONG_LAYERS, 1.1) if _has_rules(case) else (other, 1.0)]))
    try:
        scene = Scene.of(case, answer, dtype, judgement)
    except NetError:
        return Clues(_ranked([]))
    return Clues(_ranked(_clues(scene, kinds, thorough)), _common_factor(scene))


def _ranked(clues: Iterable[Clue]) -> dict[Cause, float]:
    """The best weight of every cause, the best cause first; there is always another formula."""
    found: dict[Cause, float] = {Cause.UNNAMEABLE: 0.3}
    for cause, weight in clues:
        found[cause] = max(found.get(cause, 0.0), weight)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _clues(scene: Scene, kinds: set[str], thorough: Thorough) -> Iterator[Clue]:
    yield from _structure(scene)
    yield from told_weight_clues(scene)
    yield from _mixed_up(scene)
    if kinds == {"shape"}:
        yield Cause.SHAPE, 1.0
    together = _together([_of_difference(scene, difference) for difference in _to_explain(scene)])
    yield from together.items()
    if scene.differences and max(together.values(), default=0.0) < _SETTLED and thorough():
        yield from alteration_clues(scene)


def _together(each: list[dict[Cause, float]]) -> dict[Cause, float]:
    """The mean over several differences, so that what explains all of them is ahead of what explains one."""
    causes = {cause for clues in each for cause in clues}
    return {cause: sum(clues.get(cause, 0.0) for clues in each) / len(each) for cause in causes}


def _has_rules(case: Case) -> bool:
    try:
        net = parse_net(case.net)
    except NetError:
        return False
    return bool(case.stages) or any(layer.include or layer.exclude for layer in net.layer)


def _structure(scene: Scene) -> Iterator[Clue]:
    """Whether the answer is that of another net."""
    known = {node.name for node in scene.net.layers}
    told = {layer.name for layer in scene.outcome.layers or () if layer.type != "Split"}
    strange = [name for name in scene.outcome.data if name not in scene.net.blobs and "_split_" not in name]
    if told - known or strange:
        yield Cause.WRONG_LAYERS, 1.2


def _to_explain(scene: Scene) -> list[Difference]:
    """The differences to be explained: where weights are wrong, losses and gradients are bound to be."""
    weights = [d for d in scene.differences if d.aspect == "weight" or _is_weight_unasked(d)]
    return weights or list(scene.differences)


def _is_weight_unasked(difference: Difference) -> bool:
    """Whether a top that has no weight holds one."""
    node = difference.node
    own = difference.aspect == "unasked" and node is not None and difference.blob in node.tops
    return own and node is not None and node.type not in ("Input", "Split") and bool((difference.got == 1).all())


def _mixed_up(scene: Scene) -> Iterator[Clue]:
    """Whether one bottom of a layer has the gradient that another one is owed."""
    gone = [d for d in scene.differences if d.aspect == "backward" and not np.any(d.got) and d.node is not None]
    unasked = {d.blob for d in scene.differences if d.aspect == "unasked"}
    if any(unasked & set(d.node.bottoms) for d in gone if d.node is not None):
        yield Cause.ONE_BOTTOM, 1.05


def _of_difference(scene: Scene, difference: Difference) -> dict[Cause, float]:
    found: dict[Cause, float] = {}
    for cause, weight in _each(scene, difference):
        found[cause] = max(weight, found.get(cause, 0.0))
    return found


def _each(scene: Scene, difference: Difference) -> Iterator[Clue]:
    if difference.aspect == "input":
        yield Cause.INPUT_CHANGED, 1.0
        return
    if difference.aspect == "weight":
        yield from weight_clues(scene, difference)
        return
    if difference.aspect == "unasked":
        yield from _unasked(scene, difference)
        return
    yield from ratio_clues(scene, difference)
    if difference.aspect == "total":
        yield from total_clues(scene, difference)
        return
    yield from pass_clues(scene, difference)
    yield from place_clues(scene, difference)
    if difference.layer_type == "Split" and difference.aspect == "backward":
        yield Cause.FAN_OUT, 0.88
    if difference.aspect == "parameter" and len(scene.net.params) > 1 and _shares(scene):
        yield Cause.FAN_OUT, 0.9
    yield from _bottoms(scene, difference)
    yield from _tops(scene, difference)
    yield from _options_without_use(difference)


def _unasked(scene: Scene, difference: Difference) -> Iterator[Clue]:
    if _is_weight_unasked(difference):
        yield Cause.IMPLICIT_WEIGHT, 1.0
        return
    held = scene.case.prefill_diff.get(difference.blob, 0.0)
    if held and bool((difference.got[difference.rejected] == held).all()):
        yield Cause.STALE_BUFFER, 0.6
        return
    if _is_gradient(scene, difference):
        yield Cause.GRADIENT_UNASKED, 1.0
        return
    yield Cause.GRADIENT_UNASKED, 0.7
    yield Cause.STALE_BUFFER, 0.9


def _is_gradient(scene: Scene, difference: Difference) -> bool:
    """Whether what nobody asked for is the gradient, as it would be if somebody did."""
    net = parse_net(scene.case.net)
    layers = tuple(replace(layer, propagate_down=()) for layer in net.layer)
    asked = dump_net(replace(net, layer=layers, force_backward=True))
    case = replace(scene.case, net=asked, steps=("forward", "backward"))
    try:
        _, comparisons = compared(case, scene.outcome, scene.dtype, scene.dialect)
    except NetError:
        return False
    same = [c for c in comparisons if c.blob == difference.blob and c.aspect == "backward"]
    return bool(same) and difference.is_explained_by(np.asarray(same[0].want.value).reshape(difference.got.shape))


def _shares(scene: Scene) -> bool:
    names = [spec.name for node in scene.net.layers for spec in node.layer.param.param if spec.name]
    return len(names) > len(set(names))


def _bottoms(scene: Scene, difference: Difference) -> Iterator[Clue]:
    """Whether another bottom of the same layer is right, and its gradient not by being nothing."""
    node = difference.node
    if node is None or difference.aspect != "backward":
        return
    others = [c for c in scene.right if c.aspect == "backward" and c.node is node and np.any(c.want.value)]
    backward = [c for c in scene.differences if c.aspect == "backward" and c.node is node]
    wrong = len(backward) == 1
    if others and wrong:
        yield Cause.ONE_BOTTOM, 1.05
    gone = not np.any(difference.got)
    needed = node.bottom_need_backward
    if wrong and gone and sum(needed) == 1 and not needed[0]:
        yield Cause.ONE_BOTTOM, 1.05


def _tops(scene: Scene, difference: Difference) -> Iterator[Clue]:
    """Whether a second top of the layer is in play."""
    node = difference.node
    if node is None or len(node.tops) < 2 or not isinstance(node.layer, LossLayer):
        return
    if difference.blob in node.tops[1:]:
        yield Cause.SECOND_TOP, 1.0
    elif difference.aspect == "backward" and np.any(scene.net.tops_of(node)[1].diff.value):
        yield Cause.SECOND_TOP, 0.7
    elif difference.aspect == "backward":
        yield Cause.SECOND_TOP, 0.4


def _options_without_use(difference: Difference) -> Iterator[Clue]:
    """Whether the layer is given a ``loss_param`` that it has no use for."""
    node = difference.node
    useless = node is not None and isinstance(node.layer, LossLayer) and not hasattr(node.layer, "normalisation")
    if node is not None and useless and node.layer.param.loss_param.present:
        yield Cause.OPTION_IGNORED, 0.8
