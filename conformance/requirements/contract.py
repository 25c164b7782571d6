"""Requirements on a layer of any type, known or not: ``layer-contract.<facet>``."""

from __future__ import annotations

from conformance.contract.requirement import LAYER, LOSS_TUTORIAL, MUST, NET, PROTO, Requirement

__all__ = ["CONTRACT_REQUIREMENTS"]

_FACETS: tuple[tuple[str, str, str], ...] = (
    (
        "gradient",
        "The gradients that a layer of any type gives its bottoms and parameters are the derivative of the net's "
        "reported loss.",
        f"{LOSS_TUTORIAL}; {LAYER} Backward",
    ),
    (
        "loss-weight",
        "A layer of any type contributes loss_weight times the sum of its top, and its gradients carry its tops' diffs "
        "as a factor.",
        f"{LOSS_TUTORIAL}; {LAYER} Forward, SetLossWeights",
    ),
    (
        "propagate-down",
        "A layer of any type gives the gradients that propagate_down asks for, whichever these are, and no other.",
        f"{LAYER} Backward; {PROTO} LayerParameter.propagate_down",
    ),
    (
        "overwrite",
        "The backward pass of a layer of any type overwrites its bottoms' diffs.",
        f"{LAYER} Backward",
    ),
    (
        "inputs-unchanged",
        "A layer of any type changes its bottoms' data in neither pass, and its tops' data in forward alone.",
        f"{LAYER} Forward, Backward",
    ),
    (
        "repeat-forward",
        "A layer of any type gives the same tops and gradients after a second forward pass.",
        f"{LAYER} Forward",
    ),
    (
        "repeat-backward",
        "A second backward pass of a layer of any type gives the same bottom gradients and adds to its parameters' "
        "diffs what the first one did.",
        f"{LAYER} Backward; {NET} ClearParamDiffs",
    ),
    (
        "batch-change",
        "A layer of any type computes for the batch it is fed what it computes where that batch is declared.",
        f"{LAYER} Reshape; {NET} Reshape",
    ),
    (
        "top-shape",
        "A layer of any type leaves its tops in the shapes that its reshape gave them.",
        f"{LAYER} Reshape",
    ),
)

CONTRACT_REQUIREMENTS = tuple(
    Requirement(f"layer-contract.{facet}", statement, MUST, citation) for facet, statement, citation in _FACETS
)
