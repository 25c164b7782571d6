"""Requirements on what is refused: ``refusal.<facet>``; those of one loss stand in its description.

A refusal is a ``must`` where Caffe's tutorial, a comment of `caffe.proto` or of a header announces it or gives the
shape that is violated, else a ``should``. The stage of a refusal is a requirement of its own.
"""

from __future__ import annotations

from conformance.contract.requirement import LAYER, LOSS_TUTORIAL, MUST, NET, PROTO, SHOULD, Requirement
from conformance.contract.verdict import Level
from conformance.losses import KNOWN, LOSSES

__all__ = ["REFUSAL_REQUIREMENTS"]

_LAYERS = "src/caffe/layers"
_HEADERS = "include/caffe/layers"
_READ = "src/caffe/util/upgrade_proto.cpp ReadNetParamsFromTextFileOrDie"


def _of_four_axes() -> str:
    """The losses that read the first bottom's height and width by Caffe's old accessors."""
    *most, last = (loss.type for loss in LOSSES.values() if any(refused.facet == "axes" for refused in loss.refused))
    return f"{', '.join(most)} and {last}"


_FACETS: tuple[tuple[str, Level, str, str], ...] = (
    ("parse", SHOULD, "A text that is no net of Caffe's format is refused when the net is built.", _READ),
    ("setup", SHOULD, "A net that Caffe refuses to set up is refused when it is built.", f"{NET} Init"),
    ("forward", SHOULD, "What Caffe refuses in the forward pass is refused in that pass.", f"{NET} ForwardFromTo"),
    ("backward", SHOULD, "What Caffe refuses in the backward pass is refused in that pass.", f"{NET} BackwardFromTo"),
    (
        "empty-batch",
        SHOULD,
        "A batch of 0 items is refused.",
        "src/caffe/blob.cpp mutable_cpu_data; src/caffe/syncedmem.cpp",
    ),
    ("in-place-label", SHOULD, "A loss layer that names one of its bottoms as its top is refused.", f"{NET} AppendTop"),
    (
        "bottom-count",
        MUST,
        "A loss layer with fewer or more bottoms than it takes is refused.",
        f"{LAYER} ExactNumBottomBlobs, MinBottomBlobs, MaxBottomBlobs comments",
    ),
    (
        "top-count",
        MUST,
        "A loss layer with more tops than it produces is refused.",
        f"{LAYER} ExactNumTopBlobs, MaxTopBlobs comments",
    ),
    (
        "loss-weight-count",
        MUST,
        "A layer with loss weights, but not one for each of its tops, is refused.",
        f"{LOSS_TUTORIAL}; {LAYER} SetLossWeights",
    ),
    (
        "propagate-down-count",
        MUST,
        "A layer with propagate_down entries, but not one for each of its bottoms, is refused.",
        f"{PROTO} LayerParameter.propagate_down",
    ),
    (
        "unknown-bottom",
        MUST,
        "A layer with a bottom that no layer before it produces is refused.",
        f"docs/tutorial/net_layer_blob.md; src/caffe/util/insert_splits.cpp InsertSplits; {NET} AppendBottom",
    ),
    (
        "batch-mismatch",
        MUST,
        "A loss layer whose first two bottoms have different first dimensions is refused.",
        f"{_HEADERS}/softmax_loss_layer.hpp class comment; {_LAYERS}/loss_layer.cpp Reshape",
    ),
    (
        "label-count",
        MUST,
        "A loss layer whose labels or targets do not count what its scores ask for is refused.",
        f"{_HEADERS}/softmax_loss_layer.hpp class comment; {_LAYERS}/softmax_loss_layer.cpp Reshape",
    ),
    (
        "label-gradient",
        MUST,
        "A backward pass that asks a loss layer for the gradient of its class labels is refused.",
        f"{_HEADERS}/softmax_loss_layer.hpp Backward_cpu comment",
    ),
    (
        "axis",
        MUST,
        "An axis that the bottom does not have is refused.",
        "include/caffe/blob.hpp CanonicalAxisIndex comment",
    ),
    (
        "axes",
        SHOULD,
        f"{_of_four_axes()} refuse a bottom of more than four axes.",
        "include/caffe/blob.hpp LegacyShape",
    ),
    (
        "unknown-type",
        MUST,
        "A layer of a type that does not exist is refused.",
        "include/caffe/layer_factory.hpp CreateLayer",
    ),
    (
        "layer-counts",
        MUST,
        "A layer around a loss with fewer or more bottoms or tops than it takes is refused.",
        f"{LAYER} ExactNumBottomBlobs, ExactNumTopBlobs, MinTopBlobs comments",
    ),
    ("duplicate-top", SHOULD, "A blob that is produced more than once is refused.", f"{NET} AppendTop"),
    (
        "in-place-shared",
        SHOULD,
        "A layer that would overwrite in place a blob that is weighted or that another layer reads is refused.",
        f"src/caffe/util/insert_splits.cpp InsertSplits; {NET} AppendTop",
    ),
    (
        "no-backward",
        SHOULD,
        "A backward pass through a weighted layer that has none is refused.",
        f"{_HEADERS}/accuracy_layer.hpp Backward_cpu; {_HEADERS}/argmax_layer.hpp Backward_cpu",
    ),
    (
        "top-k",
        SHOULD,
        "Accuracy and ArgMax with a top_k above the number of scores are refused.",
        f"{_LAYERS}/accuracy_layer.cpp Reshape; {_LAYERS}/argmax_layer.cpp LayerSetUp",
    ),
    (
        "parameter-sharing",
        MUST,
        "Parameters of one name are refused where their shapes differ or, with PERMISSIVE, their counts.",
        f"{PROTO} ParamSpec.share_mode; {NET} AppendParam",
    ),
    ("param-count", SHOULD, "A layer with more param entries than learnable blobs is refused.", f"{NET} Init"),
    (
        "mixed-formats",
        SHOULD,
        "A net with layers of the V1 format among those of the present one is refused.",
        "src/caffe/util/upgrade_proto.cpp UpgradeV1Net",
    ),
    ("empty-net", SHOULD, "A forward pass of a net without layers is refused.", f"{NET} ForwardFromTo"),
    ("prototxt", MUST, "A prototxt with a field or an enum value that does not exist is refused.", f"{PROTO}; {_READ}"),
    (
        "rules",
        MUST,
        "A layer with both include and exclude rules is refused.",
        f"{PROTO} LayerParameter.include, exclude",
    ),
)

REFUSAL_REQUIREMENTS = (
    *(Requirement(f"refusal.{facet}", statement, level, citation) for facet, level, statement, citation in _FACETS),
    *(own for loss in KNOWN.values() for own in loss.requirements if own.id.startswith("refusal.")),
)
