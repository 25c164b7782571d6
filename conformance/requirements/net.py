"""Requirements on the net around the layers: ``net.<facet>``."""

from __future__ import annotations

from conformance.contract.requirement import LAYER, LOSS_TUTORIAL, MUST, NET, PROTO, QUIRK, SHOULD, Requirement
from conformance.contract.verdict import Level

__all__ = ["NET_REQUIREMENTS"]

_SPLITS = "src/caffe/util/insert_splits.cpp"
_UPGRADE = "src/caffe/util/upgrade_proto.cpp"

_FACETS: tuple[tuple[str, Level, str, str], ...] = (
    (
        "total-loss",
        MUST,
        "The net's loss is the sum over layers and tops of the top's weight times the sum of its entries.",
        LOSS_TUTORIAL,
    ),
    (
        "implicit-loss-weight",
        MUST,
        "Where no loss_weight is given, the first top of a layer whose type ends in Loss weighs 1 and all other "
        "tops weigh 0.",
        LOSS_TUTORIAL,
    ),
    (
        "explicit-loss-weight",
        MUST,
        "A top weighs its loss_weight, which is a float32, of either sign and any size.",
        f"{LOSS_TUTORIAL}; {PROTO} LayerParameter.loss_weight",
    ),
    (
        "zero-loss-weight",
        MUST,
        "A top of loss_weight 0, or of a weight that float32 rounds to 0, adds nothing to the net's loss or to any "
        "gradient.",
        f"{LOSS_TUTORIAL}; {NET} Init",
    ),
    (
        "non-loss-weight",
        MUST,
        "A layer of any type that can run backward is a loss where it has a loss_weight: the weighted sum of all "
        "entries of its top counts.",
        LOSS_TUTORIAL,
    ),
    (
        "multi-top",
        MUST,
        "Each top of a layer with several tops counts with the weight at its own place in the list.",
        f"{LOSS_TUTORIAL}; {PROTO} LayerParameter.loss_weight",
    ),
    (
        "automatic-top",
        MUST,
        "A loss layer that names no top counts in the net's loss and sends gradients as if it named one.",
        "include/caffe/layers/loss_layer.hpp AutoTopBlobs",
    ),
    (
        "split",
        MUST,
        "The gradient of a blob that several layers read is the sum of the gradients they send.",
        f"{_SPLITS} InsertSplits; src/caffe/layers/split_layer.cpp Backward_cpu",
    ),
    (
        "in-place",
        MUST,
        "A layer that names one blob as bottom and top computes what it computes from one blob into another.",
        f"{NET} AppendTop",
    ),
    (
        "consumed-loss-top",
        MUST,
        "A loss top that other layers read counts once with its weight and passes on the sum of all gradients, or "
        "counts as in Caffe.",
        f"{LOSS_TUTORIAL}; {_SPLITS} InsertSplits",
    ),
    (
        "sibling-weights",
        QUIRK,
        "Where one weighted top of a layer is read by another layer, its other tops keep their weights or, as in "
        "Caffe, lose them.",
        f"{LOSS_TUTORIAL}; {_SPLITS} InsertSplits",
    ),
    (
        "who-runs-backward",
        MUST,
        "Gradients reach every blob and parameter between a parameter that learns and a weighted top.",
        f"{NET} Init; {PROTO} NetParameter.force_backward",
    ),
    (
        "force-backward",
        MUST,
        "With force_backward, gradients reach every blob that leads to a weighted top and can take one.",
        f"{PROTO} NetParameter.force_backward; {NET} Init",
    ),
    (
        "propagate-down",
        MUST,
        "A layer's propagate_down decides which of its bottoms take a gradient.",
        f"{PROTO} LayerParameter.propagate_down; {NET} Init",
    ),
    (
        "learning-rate-zero",
        MUST,
        "A parameter with lr_mult 0 asks for no gradient, of its own or of the layers below.",
        f"{PROTO} ParamSpec.lr_mult; {NET} Init",
    ),
    (
        "parameter-gradient",
        MUST,
        "A parameter's diff is the derivative of the net's loss, added to what it held before.",
        f"{LOSS_TUTORIAL}; {NET} ClearParamDiffs",
    ),
    (
        "shared-parameters",
        MUST,
        "Parameters of one name are one array, whose diff is the sum of its layers' gradients.",
        f"{PROTO} ParamSpec.name; {NET} AppendParam",
    ),
    (
        "phase",
        MUST,
        "The phase chooses which layers are in the net and changes neither the loss nor the gradients of those that "
        "are.",
        f"{PROTO} NetStateRule.phase; {NET} FilterNet",
    ),
    (
        "rules",
        MUST,
        "A layer is in the net where one of its include rules, or none of its exclude rules, holds for phase, level "
        "and stages.",
        f"{PROTO} NetStateRule; {NET} StateMeetsRule",
    ),
    (
        "reshape",
        MUST,
        "An input of another shape than declared gives what a net declared with that shape gives.",
        f"{LAYER} Reshape; {NET} Reshape",
    ),
    (
        "top-diff-is-the-weight",
        MUST,
        "The diff of a weighted top holds its weight in every entry, and what is written there instead scales the "
        "gradients.",
        f"{LAYER} SetLossWeights; include/caffe/layers/softmax_loss_layer.hpp Backward_cpu comment",
    ),
    (
        "bottom-diff-overwritten",
        MUST,
        "What a blob's diff held before a backward pass does not show in the gradient written to it.",
        f"{LAYER} Backward",
    ),
    (
        "repeated-passes",
        MUST,
        "Repeated passes give the same loss and the same gradients of blobs, while the diffs of parameters accumulate.",
        f"{NET} ClearParamDiffs; {LAYER} Forward, Backward",
    ),
    (
        "v1-format",
        MUST,
        "A net of V1 layers computes what its upgrade to layers of the present format computes.",
        f"{_UPGRADE} UpgradeV1Net",
    ),
    (
        "inputs",
        MUST,
        "A net with input fields computes what the same net with an Input layer computes.",
        f"{PROTO} NetParameter.input; {_UPGRADE} UpgradeNetInput",
    ),
    (
        "inputs-unchanged",
        MUST,
        "The passes leave the data of the net's inputs as they were fed.",
        f"{LAYER} Forward, Backward",
    ),
    (
        "structure",
        SHOULD,
        "Where an answer lists layers and outputs, they are those of Caffe's net after its Splits are inserted.",
        f"{NET} Init; {_SPLITS} InsertSplits",
    ),
    (
        "unasked-diff",
        SHOULD,
        "The diff of a blob that takes no gradient holds zeros or what it held before.",
        f"{LAYER} Backward",
    ),
    (
        "top-shape",
        SHOULD,
        "Every reported array has the shape that its blob has in Caffe, not the count alone.",
        f"{LAYER} Reshape",
    ),
)

NET_REQUIREMENTS = (
    *(Requirement(f"net.{facet}", statement, level, citation) for facet, level, statement, citation in _FACETS),
    Requirement(
        "net.passes",
        "A net that lives on computes each pass from the inputs, parameters and weights that it has then: losses, "
        "gradients, and the parameters' diffs, which are added to unless they are cleared.",
        MUST,
        f"{NET} ForwardFromTo, BackwardFromTo, ClearParamDiffs",
        since="2",
    ),
)
