"""Requirements on the net around the layers: ``net.<facet>``."""

from __future__ import annotations

from conformance.requirements.requirement import LOSS_TUTORIAL, PROTO, Requirement
from conformance.verdict import Level

__all__ = ["NET_REQUIREMENTS"]

_NET = "src/caffe/net.cpp"
_MUST, _SHOULD, _QUIRK = Level.MUST, Level.SHOULD, Level.QUIRK

_ROWS = (
    ("total-loss", _MUST, "The net's loss is the sum over layers and tops of the loss weight times the sum of the top.", LOSS_TUTORIAL),
    ("implicit-loss-weight", _MUST, "Without a loss_weight, the first top of a loss layer weighs 1 and every other top of the net 0.", LOSS_TUTORIAL),
    ("explicit-loss-weight", _MUST, "A top with a loss_weight counts with that weight, rounded to float32.", f"{PROTO} LayerParameter.loss_weight"),
    ("zero-loss-weight", _MUST, "A top with loss_weight 0 adds nothing to loss and gradients.", f"{LOSS_TUTORIAL}; {_NET} Init"),
    ("non-loss-weight", _MUST, "A loss_weight makes any layer that can run backward a loss: its weighted sum counts and is differentiated.", LOSS_TUTORIAL),
    ("multi-top", _MUST, "Every top of a layer with several tops counts with its own weight.", f"{LOSS_TUTORIAL}; {PROTO} LayerParameter.loss_weight"),
    ("automatic-top", _MUST, "A loss layer without a top counts in the net's loss as if it had one.", "include/caffe/layers/loss_layer.hpp AutoTopBlobs"),
    ("split", _MUST, "The gradient of a blob read by several layers is the sum of their gradients.", "src/caffe/util/insert_splits.cpp; src/caffe/layers/split_layer.cpp Backward_cpu"),
    ("in-place", _MUST, "A layer whose top is its bottom computes what it computes with separate blobs.", f"{_NET} AppendTop"),
    ("consumed-loss-top", _MUST, "A loss top that another layer reads follows the documented weight or Caffe's.", f"{LOSS_TUTORIAL}; src/caffe/util/insert_splits.cpp"),
    ("sibling-weights", _QUIRK, "The weights of a layer whose other top is read follow the documentation or Caffe.", "src/caffe/util/insert_splits.cpp"),
    ("who-runs-backward", _MUST, "Gradients reach every blob between a learnable parameter and a nonzero weight.", f"{_NET} Init"),
    ("force-backward", _MUST, "force_backward makes every layer that can run backward do so.", f"{PROTO} NetParameter.force_backward"),
    ("propagate-down", _MUST, "propagate_down decides which bottoms of a layer take a gradient.", f"{PROTO} LayerParameter.propagate_down"),
    ("learning-rate-zero", _MUST, "A parameter with lr_mult 0 asks for no gradient.", f"{_NET} Init; {PROTO} ParamSpec.lr_mult"),
    ("parameter-gradient", _MUST, "A parameter's diff is the derivative of the net's loss.", f"{LOSS_TUTORIAL}; {_NET} Backward"),
    ("shared-parameters", _MUST, "Parameters of one name are one array, whose diff sums the gradients of its owners.", f"{PROTO} ParamSpec.name; {_NET} AppendParam"),
    ("phase", _MUST, "The phase selects layers and does not gate the loss.", f"{PROTO} NetStateRule.phase; {_NET} FilterNet"),
    ("rules", _MUST, "A layer is in the net exactly where its include and exclude rules say so.", f"{PROTO} NetStateRule; {_NET} StateMeetsRule"),
    ("reshape", _MUST, "Inputs of another shape are followed by every layer.", f"{_NET} Reshape"),
    ("top-diff-is-the-weight", _MUST, "The diff of a loss top holds its weight, and changing it changes loss and gradient.", "include/caffe/layer.hpp SetLossWeights, Forward"),
    ("bottom-diff-overwritten", _MUST, "What a bottom's diff held before does not show in its gradient.", "include/caffe/layer.hpp Backward"),
    ("repeated-passes", _MUST, "Passes repeated on the same inputs give the same loss and bottom gradients, and parameter diffs accumulate.", f"{_NET} ClearParamDiffs"),
    ("v1-format", _MUST, "A net in the V1 format computes what its upgrade computes.", "src/caffe/util/upgrade_proto.cpp"),
    ("inputs", _MUST, "Nets with input fields compute what they compute with Input layers.", "src/caffe/util/upgrade_proto.cpp UpgradeNetInput"),
    ("inputs-unchanged", _MUST, "The passes leave the data of the net's inputs as they were.", "include/caffe/layer.hpp Forward"),
    ("structure", _SHOULD, "The layers, their order and the net's outputs are those of Caffe.", f"{_NET} Init"),
    ("unasked-diff", _SHOULD, "A diff that nobody asked for is left as it was or is zero.", "include/caffe/layer.hpp Backward"),
    ("top-shape", _SHOULD, "Every blob has the shape that Caffe gives it.", "include/caffe/layer.hpp Reshape"),
)

NET_REQUIREMENTS = tuple(Requirement(f"net.{facet}", statement, level, citation) for facet, level, statement, citation in _ROWS)
