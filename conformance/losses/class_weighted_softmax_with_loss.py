"""SoftmaxWithLoss with a weight for each class: what the suite knows of it
(`refimpl.layers.class_weighted_softmax_with_loss`)."""

from __future__ import annotations

import numpy as np

from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import LABEL_COUNTS, Extreme, LargeCount, Refused
from conformance.losses.loss import Bottom, Loss, Published, by_normalisation
from conformance.losses.options import Options
from conformance.losses.roles import Labels, Scores, Shape
from conformance.losses.values import FORMULA, HUGE_WEIGHT, exact, extreme_logits, halves
from refimpl.layers.class_weighted_softmax_with_loss import ClassWeightedSoftmaxWithLoss

__all__ = ["LOSS"]

_WEIGHTED, _WEIGHTS, _IGNORE = (
    f"loss_param.{name}" for name in ("weight_by_label_freqs", "class_weighting", "ignore_label")
)
_CPP = "foss-for-synopsys-dwc-arc-processors/synopsys-caffe@977ba36a src/caffe/layers/softmax_loss_layer.cpp"
_IMAGE = (2, 3, 2, 2)


def _needs(shape: Shape) -> Options:
    """A weight for each channel, no two of four alike."""
    each = ", ".join(str((0.5, 2.0, 1.25, 0.75, 3.0)[i % 5]) for i in range(shape[1] if len(shape) > 1 else 1))
    return {_WEIGHTED: True, _WEIGHTS: f"[{each}]"}


_EQUIVALENTS = {
    "torch": """
def loss(x, y, ignored):
    weights = torch.tensor([0.5, 2.0, 1.25, 0.75, 3.0], dtype=x.dtype)
    # reduction="mean" would divide by the sum of the weights
    losses = F.cross_entropy(x, y, weights, ignore_index=-100 if ignored is None else ignored, reduction="sum")
    return losses / (y.numel() if ignored is None else (y != ignored).sum())
""",
}

LOSS = Loss(
    layer=ClassWeightedSoftmaxWithLoss,
    source="softmax_loss",
    profile="dense",
    forward="The first top of SoftmaxWithLoss with class weights is the sum of -c log p over the counted positions, p "
    "the label's softmax probability, c the weight of the label's class, over the normaliser.",
    backward="The gradient of SoftmaxWithLoss with class weights at a counted position is (p - 1 at the label, p "
    "elsewhere) times the weight of the label's class, times the top's diff over the normaliser.",
    bottoms=(Bottom("x", Scores(axis="softmax_param.axis"), learns=True), Bottom("y", Labels(of="x"))),
    options={
        "softmax_param.axis": (1,),
        _WEIGHTED: (False, True),
        "loss_param.normalization": ("VALID", "FULL", "BATCH_SIZE", "NONE"),
        _IGNORE: (None, 255, -1),
        "loss_param.normalize": (None, True, False),
    },
    needs=_needs,
    traits=frozenset({"batch-mean", "shift-invariant", "saturates", "weighted-classes"}),
    requirements=(
        Requirement(
            "class_weighted_softmax_with_loss.weight",
            "SoftmaxWithLoss with weight_by_label_freqs multiplies loss and gradient of a position by the entry of "
            "class_weighting that its label counts, and without it by 1.",
            MUST,
            f"{_CPP}:44,102-140",
        ),
        Requirement(
            "class_weighted_softmax_with_loss.count",
            "SoftmaxWithLoss with class weights divides by the number of positions, whatever they weigh.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
        Requirement(
            "class_weighted_softmax_with_loss.log-floor",
            "SoftmaxWithLoss with class weights takes no probability below FLT_MIN into the logarithm, in float64 too.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
        Requirement(
            "refusal.class-weighting",
            "SoftmaxWithLoss with weight_by_label_freqs and other than one class_weighting for each channel is "
            "refused.",
            MUST,
            f"{_CPP}:44",
            "2",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("unweighted", (4, 5), {_WEIGHTED: False}),
        Published("spatial", _IMAGE, shapes={"y": (2, 1, 2, 2)}),
        Published("one-sample", (1, 3)),
        Published("one-class", (3, 1)),
        Published("ignore-first-last", (5, 3), {_IGNORE: 255}, (0, -1)),
        Published("ignore-class", _IMAGE, {_IGNORE: -1}, (0, 3, -1)),
        *by_normalisation(_IMAGE, (0, -1)),
        Published("zero-weight", (4, 3), {_WEIGHTS: "[0, 2, 1]"}),
        Published("negative-weight", (4, 3), {_WEIGHTS: "[-0.5, 1, 2]"}),
    ),
    extremes=(
        *(
            Extreme(name, ("weight", *facets), (x, y), options)
            for name, facets, x, y, options in extreme_logits(floor=87.3365)
        ),
        Extreme("one-of-two", ("count", *FORMULA), (exact([[1, 2], [3, 1]]), exact([0, 1])), {_WEIGHTS: "[0, 8]"}),
        Extreme("huge-weight", ("loss-weight",), (exact([[0.75] * 5]), exact([2])), weight=HUGE_WEIGHT),
    ),
    large_count=lambda terms: LargeCount(halves(terms), float(np.log(2.0)) / 2),
    refused=(
        *LABEL_COUNTS,
        Refused("scores-as-labels", "label-count", bottoms=("x", "x")),
        Refused("one-weight-more", "class-weighting", options={_WEIGHTS: 1.5}),
        Refused("one-weight-less", "class-weighting", declared={"x": (2, 4)}),
    ),
    operations=(1, 5, 1),
    equivalents=_EQUIVALENTS,
)
