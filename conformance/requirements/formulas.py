"""Requirements on the formula of each loss layer: what is summed, over what it is divided, and where its edges are."""

from __future__ import annotations

from conformance.contract.requirement import LOSS_TUTORIAL, MUST, PROTO, Requirement
from conformance.judge.serving import STEMS
from conformance.requirements.losses import sources_of

__all__ = ["FORMULA_REQUIREMENTS"]

_S, _I, _C = "softmax_with_loss", "infogain_loss", "sigmoid_cross_entropy_loss"
_H, _M, _E, _K = "hinge_loss", "multinomial_logistic_loss", "euclidean_loss", "contrastive_loss"

_VALUES: dict[str, tuple[str, str]] = {
    _S: (
        "The first top of SoftmaxWithLoss is the sum of -log p over the counted positions, p the label's softmax "
        "probability, over the "
        "normaliser.",
        "SoftmaxWithLoss's gradient at a counted position is (p - 1 at the label, p elsewhere) times the top's diff "
        "over the normaliser.",
    ),
    _I: (
        "The first top of InfogainLoss is the sum of -H[label] . log p over the counted positions, p the softmax of "
        "the scores, over the "
        "normaliser.",
        "InfogainLoss's gradient at a counted position is p times the sum of row H[label], minus that row, times "
        "the top's diff over the "
        "normaliser.",
    ),
    _C: (
        "The top of SigmoidCrossEntropyLoss is the sum over the counted entries of -t log s - (1 - t) log(1 - s), s "
        "the sigmoid of the "
        "score and t the target, over the normaliser.",
        "SigmoidCrossEntropyLoss's gradient at a counted entry is (s - t) times the top's diff over the normaliser.",
    ),
    _H: (
        "The top of HingeLoss is the sum of the margins max(0, 1 - x) at the label and max(0, 1 + x) elsewhere over "
        "the batch size.",
        "HingeLoss's gradient is -1 at the label and 1 elsewhere, times the top's diff over the batch size, where "
        "the margin is positive.",
    ),
    _M: (
        "The top of MultinomialLogisticLoss is the sum of -log p over the batch size, p the label's entry.",
        "MultinomialLogisticLoss's gradient is -1 / p at the label, times the top's diff over the batch size, and 0 "
        "elsewhere.",
    ),
    _E: (
        "The top of EuclideanLoss is the squared distance of its bottoms over twice the batch size.",
        "EuclideanLoss's gradient is the difference of its bottoms, times the top's diff over the batch size, with "
        "opposite sign in the "
        "second.",
    ),
    _K: (
        "The top of ContrastiveLoss is the sum of d^2 over similar pairs and of max(margin - d, 0)^2 over the "
        "others, over twice the "
        "batch size.",
        "ContrastiveLoss's gradient is Caffe's, which divides by d + 1e-4 for a dissimilar pair, or the derivative.",
    ),
}
"""What the top is, and what the first bottom's gradient is."""

_FACETS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "normalization",
        (_S, _I, _C),
        "{type} divides by the count that loss_param.normalization names: FULL, VALID, BATCH_SIZE or NONE, at least 1.",
        f"{PROTO} LossParameter.normalization; src/caffe/layers/loss_layer.cpp GetNormalizer",
    ),
    (
        "default-normalization",
        (_S, _I),
        "{type} without a normalization divides by the number of positions that are not ignored.",
        f"{PROTO} LossParameter.normalization",
    ),
    (
        "default-normalization",
        (_C,),
        "{type} without a normalization divides by the batch size.",
        "{cpp} LayerSetUp",
    ),
    (
        "deprecated-normalize",
        (_S, _C),
        "{type} reads normalize: true as VALID and normalize: false as BATCH_SIZE where normalization is not set.",
        f"{PROTO} LossParameter.normalize",
    ),
    (
        "ignore-label",
        (_S, _I, _C),
        "What {type} finds labelled with ignore_label adds nothing to the loss, has gradient 0 and is not counted "
        "as VALID.",
        f"{PROTO} LossParameter.ignore_label",
    ),
    (
        "all-ignored",
        (_S, _I, _C),
        "{type}'s loss and gradients are 0 where everything is ignored.",
        "src/caffe/layers/loss_layer.cpp GetNormalizer",
    ),
    (
        "axis",
        (_S,),
        "{type}'s classes lie along softmax_param.axis, negative counted from the end.",
        f"{PROTO} SoftmaxParameter.axis",
    ),
    (
        "axis",
        (_I,),
        "{type}'s classes lie along infogain_loss_param.axis, negative counted from the end.",
        f"{PROTO} InfogainLossParameter.axis",
    ),
    ("spatial", (_S, _I), "{type} classifies every position beside the class axis on its own.", "{cpp} Forward_cpu"),
    (
        "spatial",
        (_H, _M),
        "{type} takes all entries of an item as its classes, in row-major order.",
        "{hpp} class comment",
    ),
    ("spatial", (_C, _E), "{type} sums over all axes after the first.", "{hpp} class comment"),
    ("single-class", (_S, _I), "{type}'s loss and gradients are 0 where there is a single class.", "{cpp} Forward_cpu"),
    ("single-class", (_H, _M), "{type} computes its formula for a single class.", "{cpp} Forward_cpu"),
    (
        "label-shape",
        (_S, _I, _C, _E),
        "{type} compares the counts of its bottoms and not their axes after the first.",
        "{cpp} Reshape",
    ),
    (
        "label-truncation",
        (_S, _I, _H, _M),
        "{type} truncates labels toward zero before it uses or compares them.",
        "{cpp} Forward_cpu",
    ),
    (
        "fractional-targets",
        (_C,),
        "{type} takes a target between 0 and 1 as the probability that it is.",
        "{hpp} class comment",
    ),
    (
        "log-floor",
        (_S,),
        "{type} takes no probability below FLT_MIN into the logarithm, in float64 too.",
        "{cpp} Forward_cpu",
    ),
    (
        "log-floor",
        (_I, _M),
        "{type} takes no probability below float32's 1e-20 into the logarithm, in float64 too.",
        "include/caffe/layers/loss_layer.hpp kLOG_THRESHOLD; {cpp} Forward_cpu",
    ),
    (
        "saturation",
        (_S, _I, _C),
        "{type} gives finite losses and gradients for scores of any finite size that its formula gives a finite "
        "loss for.",
        "{cpp} Forward_cpu",
    ),
    (
        "matrix-bottom",
        (_I,),
        "{type} with three bottoms takes its matrix from the third, whatever source says.",
        "{hpp} class comment",
    ),
    (
        "matrix-file",
        (_I,),
        "{type} with two bottoms takes its matrix from the BlobProto file that infogain_loss_param.source names.",
        f"{PROTO} InfogainLossParameter.source",
    ),
    (
        "softmax-top",
        (_S, _I),
        "The second top of {type} is the softmax of its scores.",
        f"{LOSS_TUTORIAL}; {{cpp}} Forward_cpu",
    ),
    (
        "norm",
        (_H,),
        "{type} sums margins with norm L1, the default, and their squares with L2.",
        f"{PROTO} HingeLossParameter.norm",
    ),
    (
        "kink",
        (_H,),
        "Where a margin of {type} is exactly 0 its L1 gradient is one of its subgradients.",
        "{cpp} Backward_cpu",
    ),
    (
        "ignores-loss-param",
        (_H, _M, _E, _K),
        "{type} computes the same with and without a loss_param.",
        f"{PROTO} LossParameter.normalization; {{cpp}}",
    ),
    (
        "margin",
        (_K,),
        "{type}'s margin is contrastive_loss_param.margin, 1 where unset, and dissimilar pairs beyond it add nothing.",
        f"{PROTO} ContrastiveLossParameter.margin",
    ),
    (
        "legacy",
        (_K,),
        "{type} with legacy_version adds max(margin - d^2, 0) for a dissimilar pair.",
        f"{PROTO} ContrastiveLossParameter.legacy_version",
    ),
    (
        "zero-distance",
        (_K,),
        "A dissimilar pair of {type} at distance 0 adds margin^2 to the sum and has gradient 0.",
        "{cpp} Backward_cpu",
    ),
    (
        "similarity-truncation",
        (_K,),
        "{type} truncates the similarity toward zero and takes all but 0 as similar.",
        "{cpp} Forward_cpu",
    ),
    ("equal-bottoms", (_E,), "{type}'s loss and gradients are 0 where its bottoms are equal.", "{cpp} Forward_cpu"),
)


def _requirement(stem: str, facet: str, statement: str, citation: str) -> Requirement:
    return Requirement(f"{stem}.{facet}", statement.format(type=STEMS[stem]), MUST, citation.format(**sources_of(stem)))


FORMULA_REQUIREMENTS = tuple(
    requirement
    for stem in STEMS
    for requirement in (
        _requirement(stem, "forward", _VALUES[stem][0], "{hpp} class comment; {cpp} Forward_cpu"),
        _requirement(stem, "backward", _VALUES[stem][1], "{hpp} Backward_cpu comment; {cpp} Backward_cpu"),
        *(
            _requirement(stem, facet, statement, citation)
            for facet, stems, statement, citation in _FACETS
            if stem in stems
        ),
    )
)
