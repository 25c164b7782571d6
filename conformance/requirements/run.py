"""Requirements on runs as a whole: determinism, and relations between runs that need no reference."""

from __future__ import annotations

from conformance.contract.requirement import LAYER, LOSS_TUTORIAL, MUST, NET, SHOULD, Requirement

__all__ = ["RUN_REQUIREMENTS"]

_NORMALISER = "src/caffe/layers/loss_layer.cpp GetNormalizer"

RUN_REQUIREMENTS = (
    Requirement(
        "determinism.run-to-run",
        "A case run twice gives the same bits twice; numbers within both runs' bounds where no determinism is claimed.",
        MUST,
        f"{LAYER} Forward, Backward",
    ),
    Requirement(
        "determinism.threads",
        "The number of threads changes no bit of an answer.",
        SHOULD,
        f"{LAYER} Forward, Backward",
    ),
    Requirement(
        "determinism.declared",
        "An implementation is at least as deterministic as it declares itself to be.",
        MUST,
        f"{LAYER} Forward, Backward",
    ),
    Requirement(
        "properties.shift-invariance",
        "A constant added to all scores of a position changes neither loss nor gradients of a softmax loss.",
        MUST,
        "src/caffe/layers/softmax_layer.cpp Forward_cpu",
    ),
    Requirement(
        "properties.permutation",
        "Permuting the items of a batch permutes the gradients and leaves the loss as it is.",
        MUST,
        f"{LOSS_TUTORIAL}; {_NORMALISER}",
    ),
    Requirement(
        "properties.batch-split",
        "The losses of the parts of a batch, each times its normaliser, add up to that of the whole times its own.",
        MUST,
        f"{LOSS_TUTORIAL}; {_NORMALISER}",
    ),
    Requirement(
        "properties.weight-additivity",
        "The loss and gradients of the sum of two weights are the sums of those of either.",
        MUST,
        LOSS_TUTORIAL,
    ),
    Requirement(
        "properties.batch-alone",
        "A batch gives after another one what it gives alone.",
        MUST,
        f"{LAYER} Forward, Backward",
        since="2",
    ),
    Requirement(
        "properties.differential",
        "A net generated from shapes, parameters and layers of any kind computes what the reference computes.",
        MUST,
        f"{LOSS_TUTORIAL}; {NET} Forward, Backward",
    ),
)
