"""Requirements on what is refused: ``refusal.<facet>``. Refusals that Caffe's documentation does not announce are ``should``."""

from __future__ import annotations

from conformance.requirements.requirement import LOSS_TUTORIAL, PROTO, Requirement
from conformance.verdict import Level

__all__ = ["REFUSAL_REQUIREMENTS"]

_MUST, _SHOULD, _QUIRK = Level.MUST, Level.SHOULD, Level.QUIRK
_LAYER = "include/caffe/layer.hpp"
_LAYERS = "include/caffe/layers"

_ROWS = (
    ("parse", _MUST, "A net that is no valid prototxt is refused.", "src/caffe/util/upgrade_proto.cpp ReadNetParamsFromTextFileOrDie"),
    ("setup", _SHOULD, "A net that Caffe refuses to build is refused no later than at construction.", "src/caffe/net.cpp Init"),
    ("forward", _SHOULD, "A forward pass that Caffe refuses is refused no later than there.", "src/caffe/net.cpp Forward"),
    ("backward", _SHOULD, "A backward pass that Caffe refuses is refused no later than there.", "src/caffe/net.cpp Backward"),
    ("empty-batch", _SHOULD, "A batch of 0 is refused.", "src/caffe/blob.cpp mutable_cpu_data"),
    ("in-place-label", _SHOULD, "A loss layer whose top is its label is refused.", "src/caffe/net.cpp AppendTop"),
    ("bottom-count", _MUST, "A loss layer with a wrong number of bottoms is refused.", f"{_LAYER} ExactNumBottomBlobs, CheckBlobCounts"),
    ("top-count", _MUST, "A loss layer with more tops than it has is refused.", f"{_LAYER} ExactNumTopBlobs, CheckBlobCounts"),
    ("second-softmax-top", _QUIRK, "SoftmaxWithLoss with two tops is refused, as Caffe does, or computes both.", f"{LOSS_TUTORIAL}; {_LAYERS}/softmax_loss_layer.hpp"),
    ("loss-weight-count", _SHOULD, "A layer with another number of loss weights than tops is refused.", f"{_LAYER} SetLossWeights"),
    ("propagate-down-count", _MUST, "A layer with another number of propagate_down entries than bottoms, and not 0, is refused.", f"{PROTO} LayerParameter.propagate_down"),
    ("unknown-bottom", _MUST, "A bottom that no earlier layer produces is refused.", "src/caffe/net.cpp AppendBottom"),
    ("batch-mismatch", _MUST, "Scores and labels with different first dimensions are refused.", "src/caffe/layers/loss_layer.cpp Reshape"),
    ("label-count", _MUST, "A number of labels that does not fit the number of scores is refused.", "src/caffe/layers/softmax_loss_layer.cpp Reshape"),
    ("label-shape", _MUST, "A label blob with more than one label per item is refused where there is one per item.", "src/caffe/layers/multinomial_logistic_loss_layer.cpp Reshape"),
    ("label-gradient", _MUST, "A gradient asked for into class labels is refused.", f"{_LAYERS}/softmax_loss_layer.hpp Backward_cpu comment"),
    ("matrix-gradient", _QUIRK, "A gradient forced into an infogain matrix is refused, as Caffe does, or left out.", f"{_LAYERS}/infogain_loss_layer.hpp Backward_cpu comment"),
    ("matrix-size", _MUST, "An infogain matrix without one row and one column per class is refused.", f"{_LAYERS}/infogain_loss_layer.hpp class comment"),
    ("matrix-missing", _MUST, "InfogainLoss without a matrix is refused.", f"{_LAYERS}/infogain_loss_layer.hpp class comment"),
    ("axis", _MUST, "An axis that the blob does not have is refused.", "include/caffe/blob.hpp CanonicalAxisIndex"),
    ("axes", _SHOULD, "A blob with more than four axes is refused by the layers that use legacy dimensions.", "include/caffe/blob.hpp LegacyShape"),
    ("spatial-pairs", _MUST, "ContrastiveLoss refuses bottoms with a height or width other than 1.", f"{_LAYERS}/contrastive_loss_layer.hpp class comment"),
    ("deprecated-normalize", _SHOULD, "InfogainLoss refuses the deprecated normalize field.", "src/caffe/layers/infogain_loss_layer.cpp LayerSetUp"),
    ("unknown-type", _MUST, "A layer of an unknown type is refused.", "include/caffe/layer_factory.hpp CreateLayer"),
    ("prototxt", _MUST, "Unknown fields and unknown enum values are refused.", "src/caffe/util/upgrade_proto.cpp ReadNetParamsFromTextFileOrDie"),
    ("rules", _MUST, "A layer with both include and exclude rules is refused.", f"{PROTO} LayerParameter.include"),
)

REFUSAL_REQUIREMENTS = tuple(Requirement(f"refusal.{facet}", statement, level, citation) for facet, level, statement, citation in _ROWS)
