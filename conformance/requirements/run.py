"""Requirements on runs: determinism, and relations that need no reference."""

from __future__ import annotations

from conformance.requirements.requirement import LOSS_TUTORIAL, Requirement
from conformance.verdict import Level

__all__ = ["RUN_REQUIREMENTS"]

_LAYER = "include/caffe/layer.hpp Forward, Backward"

RUN_REQUIREMENTS = (
    Requirement("determinism.run-to-run", "The same case gives the same bits twice.", Level.MUST, _LAYER),
    Requirement("determinism.threads", "The number of threads does not change a bit of the answer.", Level.SHOULD, _LAYER),
    Requirement("determinism.declared", "The implementation is as deterministic as it declares.", Level.MUST, _LAYER),
    Requirement("properties.shift-invariance", "Adding a constant to all scores of a position leaves softmax losses as they are.", Level.MUST, "src/caffe/layers/softmax_layer.cpp Forward_cpu"),
    Requirement("properties.permutation", "Permuting the batch permutes the gradient and leaves the loss as it is.", Level.MUST, LOSS_TUTORIAL),
    Requirement("properties.batch-split", "Unnormalised losses of the parts of a batch sum to the loss of the whole.", Level.MUST, LOSS_TUTORIAL),
    Requirement("properties.weight-additivity", "Loss and gradient of a sum of weights are the sums of losses and gradients.", Level.MUST, LOSS_TUTORIAL),
    Requirement("properties.differential", "Generated nets come out as the reference computes them.", Level.MUST, LOSS_TUTORIAL),
)
