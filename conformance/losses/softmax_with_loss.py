"""SoftmaxWithLoss: what the suite knows of it beside its formula (`refimpl.layers.softmax_with_loss`)."""

from __future__ import annotations

import numpy as np

from conformance.contract.requirement import LOSS_TUTORIAL, MUST, QUIRK, Requirement
from conformance.losses.examples import LABEL_COUNTS, Extreme, LargeCount, QuirkNet, Refused
from conformance.losses.expression import batch_before, cross_entropy, over
from conformance.losses.loss import Bottom, Loss, Published, by_normalisation
from conformance.losses.nets import layer, source
from conformance.losses.roles import Labels, Scores
from conformance.losses.values import HUGE_WEIGHT, exact, extreme_logits, halves
from refimpl.layers.normalisation import Normalisation
from refimpl.layers.softmax_with_loss import SoftmaxWithLoss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_CPP = "src/caffe/layers/softmax_loss_layer.cpp"
_IMAGE = (2, 3, 2, 2)

_TWO_TOPS = "force_backward: true\n" + source("x", (2, 3)) + source("y", (2,))
_FED = {"inputs": {"x": np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]]), "y": np.array([2.0, 0.0])}}


def _two_tops(*weights: float) -> str:
    return _TWO_TOPS + layer("loss", SoftmaxWithLoss.type, ["x", "y"], ("loss", "probability"), weights)


_EQUIVALENTS = {
    "torch": """
def loss(x, y, ignored):
    return F.cross_entropy(x, y, ignore_index=-100 if ignored is None else ignored)
""",
    "jax": """
def loss(x, y, ignored):
    counted = y != (-1 if ignored is None else ignored)
    labels = jnp.expand_dims(jnp.where(counted, y, 0), 1)
    losses = -jnp.squeeze(jnp.take_along_axis(jax.nn.log_softmax(x, axis=1), labels, axis=1), 1)
    return jnp.where(counted, losses, 0).sum() / counted.sum()
""",
}


_TORCH_LAYER = """\
# cross_entropy; VALID is its own mean, NaN where every label is ignored. Probabilities have no floor.
def tops(bottom, param):
    mode = normalisation(param)
    axis = param.softmax_param.axis % bottom[0].ndim
    logits = bottom[0].movedim(axis, -1).reshape(-1, bottom[0].shape[axis])
    labels = integers(bottom[1]).reshape(-1)
    ignored = -100 if mode.ignored is None else mode.ignored  # torch's own default, refused below
    if mode.ignored is None and bool((labels < 0).any()):
        raise ValueError(f"label {int(labels.min())} is no class")
    reduction = "mean" if mode.mode == "VALID" else "sum"
    loss = F.cross_entropy(logits, labels, ignore_index=ignored, reduction=reduction)
    return [loss / divisor(mode, bottom[0].shape, axis), F.softmax(bottom[0], dim=axis)]
"""


def _expression(param: LayerParameter) -> str:
    axis, norm = param.softmax_param.axis, Normalisation.of(param.loss_param, "VALID")
    if norm.ignored is None and norm.mode in ("VALID", "FULL"):
        return cross_entropy(axis, None, "mean")
    return cross_entropy(axis, norm.ignored, "sum") + over(param.loss_param, "VALID", "y", batch_before(axis))


LOSS = Loss(
    layer=SoftmaxWithLoss,
    source="softmax_loss",
    forward="The first top of SoftmaxWithLoss is the sum of -log p over the counted positions, p the label's softmax "
    "probability, over the normaliser.",
    backward="SoftmaxWithLoss's gradient at a counted position is (p - 1 at the label, p elsewhere) times the top's "
    "diff over the normaliser.",
    bottoms=(Bottom("x", Scores(axis="softmax_param.axis"), learns=True), Bottom("y", Labels(of="x"))),
    options={
        "softmax_param.axis": (1, -1, 2),
        "loss_param.normalization": ("VALID", "FULL", "BATCH_SIZE", "NONE"),
        "loss_param.ignore_label": (None, 255, -1),
        "loss_param.normalize": (None, True, False),
    },
    traits=frozenset({"batch-mean", "shift-invariant", "saturates"}),
    requirements=(
        Requirement(
            "softmax_with_loss.log-floor",
            "SoftmaxWithLoss takes no probability below FLT_MIN into the logarithm, in float64 too.",
            MUST,
            f"{_CPP} Forward_cpu",
        ),
        Requirement(
            "refusal.second-softmax-top",
            "SoftmaxWithLoss with two tops is refused, as by Caffe, or gives its loss and its softmax.",
            QUIRK,
            f"{LOSS_TUTORIAL}; include/caffe/layers/softmax_loss_layer.hpp MaxTopBlobs; {_CPP} LayerSetUp",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("spatial", _IMAGE, shapes={"y": (2, 1, 2, 2)}),
        Published("axis-last", (2, 2, 4), {"softmax_param.axis": -1}),
        Published("axis-2", (2, 3, 4, 2), {"softmax_param.axis": 2}),
        Published("one-sample", (1, 3)),
        Published("one-class", (3, 1)),
        Published("ignore-first-last", (5, 3), {"loss_param.ignore_label": 255}, (0, -1)),
        Published("ignore-class", _IMAGE, {"loss_param.ignore_label": -1}, (0, 3, -1)),
        *by_normalisation(_IMAGE, (0, -1)),
        Published(
            "normalize-true", _IMAGE, {"loss_param.ignore_label": 255, "loss_param.normalize": True}, ignored=(1,)
        ),
        Published(
            "normalize-false", _IMAGE, {"loss_param.ignore_label": 255, "loss_param.normalize": False}, ignored=(1,)
        ),
    ),
    extremes=(
        *(Extreme(name, facets, (x, y), options) for name, facets, x, y, options in extreme_logits(floor=87.3365)),
        Extreme("huge-weight", ("loss-weight",), (exact([[0.75] * 5]), exact([2])), weight=HUGE_WEIGHT),
    ),
    large_count=lambda terms: LargeCount(halves(terms), float(np.log(2.0))),
    refused=(
        *LABEL_COUNTS,
        Refused("scores-as-labels", "label-count", bottoms=("x", "x")),
    ),
    quirk_nets=(
        QuirkNet("implicit-weight-once", _two_tops(), fields=_FED),
        QuirkNet("softmax-inner-loss-weights", _two_tops(1.0, 0.5), fields=_FED),
    ),
    operations=(1, 4, 1),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    expression=_expression,
)
