"""Requirements on each of the seven loss layers: ``<stem>.<facet>``."""

from __future__ import annotations

from conformance.requirements.requirement import LOSS_TUTORIAL, PROTO, Requirement
from conformance.verdict import Level

__all__ = ["LOSS_REQUIREMENTS"]

_S, _I, _C = "softmax_with_loss", "infogain_loss", "sigmoid_cross_entropy_loss"
_H, _M, _E, _K = "hinge_loss", "multinomial_logistic_loss", "euclidean_loss", "contrastive_loss"
_ALL = (_K, _E, _H, _I, _M, _C, _S)
_NORMALISED = (_C, _I, _S)
_CLASSES = (_H, _I, _M, _S)

_TYPES = {
    _K: "ContrastiveLoss",
    _E: "EuclideanLoss",
    _H: "HingeLoss",
    _I: "InfogainLoss",
    _M: "MultinomialLogisticLoss",
    _C: "SigmoidCrossEntropyLoss",
    _S: "SoftmaxWithLoss",
}
_SOURCES = {
    stem: f"{name}_layer"
    for stem, name in {
        **{stem: stem for stem in _ALL},
        _S: "softmax_loss",
    }.items()
}
_LAYER_HPP = "include/caffe/layer.hpp"

_Row = tuple[str, tuple[str, ...], Level, str, str]

# Facet, stems, level, statement ({type}), citation ({cpp}, {hpp}: the layer's files).
_ROWS: tuple[_Row, ...] = (
    ("forward", _ALL, Level.MUST, "The top of {type} is the loss of its bottoms.", "{hpp} class comment; {cpp} Forward_cpu"),
    ("backward", _ALL, Level.MUST, "The bottom gradient of {type} is Caffe's, or the derivative where the two differ.", "{hpp} Backward_cpu comment; {cpp} Backward_cpu"),
    ("loss-weight", _ALL, Level.MUST, "The loss and the gradient of {type} scale with the layer's loss_weight.", f"{LOSS_TUTORIAL}; {PROTO} LayerParameter.loss_weight"),
    ("gradient", _ALL, Level.MUST, "The bottom gradient of {type} is the derivative of the net's reported loss.", f"{LOSS_TUTORIAL}; {{cpp}} Backward_cpu"),
    ("bias", _ALL, Level.MUST, "The errors of {type} over a whole array do not lean to one side.", "{cpp} Forward_cpu, Backward_cpu"),
    ("nonfinite", _ALL, Level.MUST, "{type} answers NaN and infinite inputs with the NaN, infinite and finite values of its formula.", "{cpp} Forward_cpu, Backward_cpu"),
    ("single-item", _ALL, Level.MUST, "{type} takes a batch of one.", "{hpp} class comment"),
    ("weight-scaling", _ALL, Level.MUST, "Multiplying the loss_weight of {type} multiplies the net's loss and the gradient and leaves the top alone.", f"{LOSS_TUTORIAL}; {_LAYER_HPP} SetLossWeights"),
    ("zero-weight-removed", _ALL, Level.MUST, "{type} with loss_weight 0 leaves loss and gradients as if the layer were not there.", f"{LOSS_TUTORIAL}; src/caffe/net.cpp Init"),
    ("propagate-down", _ALL, Level.MUST, "{type} sends a gradient to the bottoms that propagate_down names and to no other.", f"{PROTO} LayerParameter.propagate_down"),
    ("contract-overwrite", _ALL, Level.MUST, "The backward pass of {type} overwrites the bottom's diff.", f"{_LAYER_HPP} Backward; {{cpp}} Backward_cpu"),
    ("contract-inputs-unchanged", _ALL, Level.MUST, "{type} leaves the data of its bottoms as they were.", f"{_LAYER_HPP} Forward"),
    ("contract-repeat-forward", _ALL, Level.MUST, "A second forward pass of {type} on the same data gives the same top.", f"{_LAYER_HPP} Forward"),
    ("contract-repeat-backward", _ALL, Level.MUST, "A second backward pass of {type} on the same data gives the same gradient.", f"{_LAYER_HPP} Backward"),
    ("contract-batch-change", _ALL, Level.MUST, "{type} follows a batch that grows or shrinks between passes.", f"{_LAYER_HPP} Reshape"),
    ("label-shapes", _ALL, Level.MUST, "{type} accepts every label shape that its checks allow, with the same result.", "{cpp} Reshape"),
    ("top-shape", _ALL, Level.SHOULD, "The loss top of {type} has no axes.", "src/caffe/layers/loss_layer.cpp Reshape"),
    ("large-count-accuracy", _ALL, Level.SHOULD, "The loss of {type} over millions of elements stays within a few roundings of the exact sum.", "{cpp} Forward_cpu"),
    ("normalization", _NORMALISED, Level.MUST, "{type} divides by the count that loss_param.normalization names.", f"{PROTO} LossParameter.normalization"),
    ("default-normalization", _NORMALISED, Level.MUST, "{type} without a normalization divides by its default count.", f"{PROTO} LossParameter.normalization; {{cpp}} LayerSetUp"),
    ("deprecated-normalize", (_C, _S), Level.MUST, "{type} takes normalize: true as VALID and false as BATCH_SIZE unless normalization is set.", f"{PROTO} LossParameter.normalize"),
    ("ignore-label", _NORMALISED, Level.MUST, "Positions of {type} that carry the ignore_label add nothing to loss and gradient.", f"{PROTO} LossParameter.ignore_label"),
    ("all-ignored", _NORMALISED, Level.MUST, "The loss and gradient of {type} are 0 where every label is ignored.", "{cpp} get_normalizer"),
    ("axis", (_I,), Level.MUST, "The classes of {type} lie along infogain_loss_param.axis.", f"{PROTO} InfogainLossParameter.axis"),
    ("axis", (_S,), Level.MUST, "The classes of {type} lie along softmax_param.axis.", f"{PROTO} SoftmaxParameter.axis"),
    ("spatial", (_S, _I, _C, _H, _M, _E), Level.MUST, "{type} takes bottoms with more than one axis after the first.", "{hpp} class comment; {cpp} Reshape"),
    ("single-class", _CLASSES, Level.MUST, "{type} takes bottoms of a single class.", "{cpp} Forward_cpu"),
    ("label-shape", (_S, _I, _C, _E), Level.MUST, "{type} compares counts, so a label bottom of another shape and the same count is right.", "{cpp} Reshape"),
    ("label-truncation", _CLASSES, Level.MUST, "{type} truncates labels toward zero.", "{cpp} Forward_cpu"),
    ("fractional-targets", (_C,), Level.MUST, "{type} takes targets between 0 and 1 as probabilities.", "{hpp} class comment"),
    ("log-floor", (_S,), Level.MUST, "{type} holds the label's probability at FLT_MIN or above before its logarithm.", "{cpp} Forward_cpu"),
    ("log-floor", (_I, _M), Level.MUST, "{type} holds probabilities at 1e-20 or above before their logarithms.", "{cpp} Forward_cpu"),
    ("saturation", (_S, _I, _C), Level.MUST, "{type} stays accurate where its probabilities saturate.", "{cpp} Forward_cpu"),
    ("matrix-bottom", (_I,), Level.MUST, "{type} takes its matrix from the third bottom where there is one.", "{hpp} class comment"),
    ("matrix-file", (_I,), Level.MUST, "{type} with two bottoms takes its matrix from infogain_loss_param.source.", f"{PROTO} InfogainLossParameter.source"),
    ("softmax-top", (_I, _S), Level.MUST, "The second top of {type} is the softmax of its scores.", "{hpp} class comment"),
    ("norm", (_H,), Level.MUST, "{type} sums margins for L1 and their squares for L2.", f"{PROTO} HingeLossParameter.norm"),
    ("kink", (_H,), Level.MUST, "Where a margin of {type} is exactly 0 its gradient is a subgradient.", "{cpp} Backward_cpu"),
    ("ignores-loss-param", (_H, _M, _E, _K), Level.MUST, "{type} pays no heed to loss_param.", "{cpp}"),
    ("margin", (_K,), Level.MUST, "{type} takes its margin from contrastive_loss_param.margin, 1 where unset.", f"{PROTO} ContrastiveLossParameter.margin"),
    ("legacy", (_K,), Level.MUST, "{type} with legacy_version counts max(margin - d^2, 0) for dissimilar pairs.", f"{PROTO} ContrastiveLossParameter.legacy_version"),
    ("zero-distance", (_K,), Level.MUST, "A dissimilar pair of {type} at distance 0 counts in the loss and has gradient 0.", "{cpp} Backward_cpu"),
    ("similarity-truncation", (_K,), Level.MUST, "{type} truncates the similarity toward zero and takes every nonzero result as similar.", "{cpp} Forward_cpu"),
    ("equal-bottoms", (_E,), Level.MUST, "{type} of two equal bottoms is exactly 0, gradient included.", "{cpp} Forward_cpu"),
)


def _requirement(stem: str, row: _Row) -> Requirement:
    facet, _, level, statement, citation = row
    files = {"cpp": f"src/caffe/layers/{_SOURCES[stem]}.cpp", "hpp": f"include/caffe/layers/{_SOURCES[stem]}.hpp"}
    return Requirement(f"{stem}.{facet}", statement.format(type=_TYPES[stem]), level, citation.format(**files))


LOSS_REQUIREMENTS = tuple(_requirement(stem, row) for stem in _ALL for row in _ROWS if stem in row[1])
