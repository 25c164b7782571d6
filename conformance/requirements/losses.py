"""Requirements that every loss layer has: ``<stem>.<facet>``, the same sentence for all seven."""

from __future__ import annotations

from conformance.contract.requirement import LAYER, LOSS_TUTORIAL, MUST, NET, PROTO, SHOULD, Requirement
from conformance.contract.verdict import Level
from conformance.judge.serving import STEMS

__all__ = ["LOSS_REQUIREMENTS", "sources_of"]

_FACETS: tuple[tuple[str, Level, str, str], ...] = (
    (
        "loss-weight",
        MUST,
        "{type}'s part of the net's loss and its gradients carry the layer's loss_weight as a factor.",
        f"{LOSS_TUTORIAL}; {PROTO} LayerParameter.loss_weight",
    ),
    (
        "weight-scaling",
        MUST,
        "A loss_weight that is a power of two scales {type}'s part of the loss and its gradients without a rounding "
        "error.",
        f"{LOSS_TUTORIAL}; {LAYER} SetLossWeights",
    ),
    (
        "zero-weight-removed",
        MUST,
        "{type} with loss_weight 0 leaves the net's loss and the gradients of shared blobs as they are without the "
        "layer.",
        f"{LOSS_TUTORIAL}; {NET} Init",
    ),
    (
        "gradient",
        MUST,
        "The bottom gradients of {type} are the derivative of the net's reported loss, or Caffe's formula where the "
        "two differ.",
        f"{LOSS_TUTORIAL}; {{cpp}} Backward_cpu",
    ),
    (
        "bias",
        SHOULD,
        "The rounding errors of {type} do not lean to one side over a whole array.",
        "{cpp} Forward_cpu, Backward_cpu",
    ),
    (
        "nonfinite",
        MUST,
        "A NaN or an infinity in {type}'s bottoms spreads to the tops and gradients that its formula gives, and to "
        "no other.",
        "{cpp} Forward_cpu, Backward_cpu; IEEE 754 section 6",
    ),
    ("single-item", MUST, "{type} computes its formula for a batch of one.", "{hpp} class comment"),
    (
        "large-shapes",
        MUST,
        "{type} computes its formula for thousands of items, entries and positions, whole blocks of them or not.",
        "{cpp} Forward_cpu, Backward_cpu; include/caffe/util/device_alternate.hpp CUDA_KERNEL_LOOP",
    ),
    (
        "large-count-accuracy",
        SHOULD,
        "The loss of {type} over millions of entries is as near to the exact sum as a blocked or wider accumulation "
        "brings it.",
        "{cpp} Forward_cpu",
    ),
    (
        "propagate-down",
        MUST,
        "{type} sends gradients into the bottoms that propagate_down marks true and changes no gradient of the others.",
        f"{PROTO} LayerParameter.propagate_down; {LAYER} Backward",
    ),
    (
        "contract-overwrite",
        MUST,
        "The backward pass of {type} overwrites the bottoms' diffs, whatever they held.",
        f"{{cpp}} Backward_cpu; {LAYER} Backward",
    ),
    (
        "contract-inputs-unchanged",
        MUST,
        "Neither pass of {type} changes the data of its bottoms.",
        f"{LAYER} Forward, Backward",
    ),
    (
        "contract-repeat-forward",
        MUST,
        "A second forward pass of {type} on the same bottoms gives the same top and the same gradients after it.",
        f"{LAYER} Forward",
    ),
    (
        "contract-repeat-backward",
        MUST,
        "A second backward pass of {type} on the same bottoms gives the same bottom gradients.",
        f"{LAYER} Backward",
    ),
    (
        "contract-batch-change",
        MUST,
        "{type} computes its formula for the batch it is given, larger or smaller than the one before.",
        f"{LAYER} Reshape",
    ),
    (
        "label-shapes",
        MUST,
        "{type} gives one result for all the shapes of labels or targets that Caffe accepts for the same values.",
        "{cpp} LayerSetUp, Reshape; src/caffe/layers/loss_layer.cpp Reshape",
    ),
    (
        "top-shape",
        SHOULD,
        "The first top of {type} is a scalar without axes.",
        f"{LOSS_TUTORIAL}; src/caffe/layers/loss_layer.cpp Reshape",
    ),
)


def sources_of(stem: str) -> dict[str, str]:
    """The files of a loss layer in Caffe's tree, for citations: ``cpp`` and ``hpp``."""
    name = "softmax_loss" if stem == "softmax_with_loss" else stem
    return {"cpp": f"src/caffe/layers/{name}_layer.cpp", "hpp": f"include/caffe/layers/{name}_layer.hpp"}


LOSS_REQUIREMENTS = tuple(
    Requirement(f"{stem}.{facet}", statement.format(type=kind), level, citation.format(**sources_of(stem)))
    for stem, kind in STEMS.items()
    for facet, level, statement, citation in _FACETS
)
