"""What can be wrong in which layers a net holds, and in their shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conformance.mutants.mutant import Mutant
from conformance.mutants.net.bookkeeping import built_from
from conformance.mutants.slips import loss
from conformance.record.cause import Cause
from refimpl.backward_plan import Node
from refimpl.layers import REGISTRY
from refimpl.messages import LayerParameter
from refimpl.net import Net

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"


def _with_rules(change: Any) -> type[Net]:
    return built_from(lambda net, phase: replace(net, layer=tuple(change(layer) for layer in net.layer)))


def _without_phase(layer: LayerParameter) -> LayerParameter:
    return replace(layer, include=tuple(rule for rule in layer.include if not rule.has("phase")))


def _last_include_only(layer: LayerParameter) -> LayerParameter:
    return replace(layer, include=layer.include[-1:])


def _first_stage_only(layer: LayerParameter) -> LayerParameter:
    return replace(layer, include=tuple(replace(rule, stage=rule.stage[:1]) for rule in layer.include))


def _level_off_by_one(layer: LayerParameter) -> LayerParameter:
    raised = tuple(
        replace(rule, min_level=rule.min_level + 1) if rule.has("min_level") else rule for rule in layer.include
    )
    return replace(layer, include=raised)


class _ShapesOfConstruction(Net):
    """Layers take their shapes when the net is built, and no more."""

    def forward_layer(self, node: Node) -> Any | None:
        node.layer.reshape = lambda bottom, top: None  # type: ignore[method-assign]
        return super().forward_layer(node)


MUTANTS = (
    Mutant(
        "net/inputs-scaled",
        "Inputs are scaled by 1/256 before the first layer sees them.",
        "pixel values that other frameworks expect in [0, 1]",
        Cause.INPUT_CHANGED,
        {"Input": loss(lambda x, at: x / 256)(REGISTRY["Input"])},
    ),
    Mutant(
        "net/phase-not-read",
        "Rules on the phase admit every layer.",
        CLASSIC,
        Cause.WRONG_LAYERS,
        net=_with_rules(_without_phase),
    ),
    Mutant(
        "net/exclude-not-read",
        "exclude rules have no effect.",
        CLASSIC,
        Cause.WRONG_LAYERS,
        net=_with_rules(lambda layer: replace(layer, exclude=())),
    ),
    Mutant(
        "net/last-include-only",
        "Of several include rules only the last is read.",
        CLASSIC,
        Cause.WRONG_LAYERS,
        net=_with_rules(_last_include_only),
    ),
    Mutant(
        "net/first-stage-only",
        "Of several stages of a rule only the first has to hold.",
        CLASSIC,
        Cause.WRONG_LAYERS,
        net=_with_rules(_first_stage_only),
    ),
    Mutant(
        "net/min-level-exclusive",
        "min_level excludes the level itself.",
        CLASSIC,
        Cause.WRONG_LAYERS,
        net=_with_rules(_level_off_by_one),
    ),
    Mutant(
        "net/shapes-of-construction",
        "Layers do not reshape after the net is built.",
        "buffers sized in LayerSetUp",
        Cause.STALE_BUFFER,
        net=_ShapesOfConstruction,
    ),
)
