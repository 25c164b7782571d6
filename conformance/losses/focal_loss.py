"""FocalLoss over softmax probabilities: what the suite knows of it (`refimpl.layers.focal_loss`)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conformance.contract.requirement import MUST, Requirement
from conformance.losses.examples import LABEL_COUNTS, Extreme, FormNet, LargeCount, Misreading, Refused
from conformance.losses.expression import NoExpression, batch_before, cross_entropy, number, over, own
from conformance.losses.loss import Bottom, Loss, Published, by_normalisation
from conformance.losses.roles import Labels, Scores
from conformance.losses.values import FORMULA, HUGE_WEIGHT, exact, halves
from refimpl.layers.focal_loss import FocalLoss
from refimpl.layers.normalisation import Normalisation
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_CPP = "troyliu0105/caffe@63708b33 src/caffe/layers/focal_loss_layer.cpp"
_ALPHA, _GAMMA, _IGNORE = "focal_loss_param.alpha", "focal_loss_param.gamma", "loss_param.ignore_label"
_IMAGE = (2, 3, 2, 2)


def _form_nets() -> Iterator[FormNet]:
    """Labels of softmax probabilities and targets of sigmoids; every option that only some forms read."""
    rng = np.random.default_rng(11)
    scores = {"x": rng.integers(-16, 17, (4, 3)) / 8.0, "y": np.array([0.0, 2.0, 1.0, 2.0])}
    certain = {"x": np.array([[90.0, 0.0, 1.0], [1.0, 0.5, 0.0]]), "y": np.array([0.0, 1.0])}
    x = rng.integers(-16, 17, (3, 4)) / 8.0
    entries = {"x": x, "t": rng.integers(0, 2, x.shape) * 1.0}
    some = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 7.0, 1.0, 0.0], [1.0, 1.0, 7.0, 0.0]])
    for name, bottoms in (("softmax", scores), ("sigmoid", entries)):
        yield FormNet(name, bottoms, "x")
        for options in ("gamma: 1.5", "alpha: 0.75", "alpha: 0.75 gamma: 1.5", "gamma: 0"):
            word = options.replace(": ", "-").replace(" ", "-").replace(".", "")
            yield FormNet(f"{name}-{word}", bottoms, "x", f"focal_loss_param {{ {options} }}")
        yield FormNet(f"{name}-none", bottoms, "x", "loss_param { normalization: NONE }")
    yield FormNet("certain", certain, "x", "focal_loss_param { gamma: 0.5 alpha: 1 }")
    yield FormNet("one-add-p", scores, "x", "focal_loss_param { type: ONEADDP alpha: 1 }")
    yield FormNet("linear", scores, "x", "focal_loss_param { type: LINEAR alpha: 0.5 }")
    balanced = "focal_loss_param { alpha_balance: true alpha: 0.5 alpha: 2 alpha: 0.25 }"
    yield FormNet("alpha-balance", scores, "x", balanced)
    yield FormNet("sigmoid-ignoring", {"x": x, "t": some}, "x", "loss_param { ignore_label: 7 }")


_EQUIVALENTS = {
    "torch": """
def loss(x, y, ignored):
    losses = F.cross_entropy(x, y, reduction="none", ignore_index=-100 if ignored is None else ignored)
    counted = y.numel() if ignored is None else (y != ignored).sum()
    return (0.25 * (1 - torch.exp(-losses)) ** 2 * losses).sum() / counted
""",
}


_TORCH_LAYER = """\
# cross_entropy of each position, times alpha (1 - p)^gamma.
def tops(bottom, param):
    mode, given = normalisation(param), own(param, "focal_loss_param")
    axis = param.softmax_param.axis % bottom[0].ndim
    logits = bottom[0].movedim(axis, -1).reshape(-1, bottom[0].shape[axis])
    labels = integers(bottom[1]).reshape(-1)
    ignored = -100 if mode.ignored is None else mode.ignored
    if mode.ignored is None and bool((labels < 0).any()):
        raise ValueError(f"label {int(labels.min())} is no class")
    each = F.cross_entropy(logits, labels, ignore_index=ignored, reduction="none")
    focal = given.alpha * (1 - torch.exp(-each)) ** given.gamma * each
    sizes = {"VALID": max(1, int((labels != ignored).sum()))}
    loss = focal.sum() / sizes.get(mode.mode, divisor(mode, bottom[0].shape, axis))
    return [loss, F.softmax(bottom[0], dim=axis)]
"""


def _expression(param: LayerParameter) -> str:
    given, axis = own(param, FocalLoss, "focal_loss_param"), param.softmax_param.axis
    if given.axis != axis:
        raise NoExpression(f"its softmax runs along axis {axis}, its labels along axis {given.axis}")
    norm = Normalisation.of(param.loss_param, "VALID")
    return f"""each = {cross_entropy(axis, norm.ignored, "none")}
focal = {number(given.alpha)} * (1 - torch.exp(-each)) ** {number(given.gamma)} * each
focal.sum(){over(param.loss_param, "VALID", "y", batch_before(axis))}"""


LOSS = Loss(
    layer=FocalLoss,
    profile="detection",
    forward="The first top of FocalLoss is the sum of -alpha (1 - p)^gamma log p over the counted positions, p the "
    "label's softmax probability, over the normaliser.",
    backward="FocalLoss's gradient at a counted position is (p - 1 at the label, p elsewhere) times alpha, times what "
    "(1 - p)^gamma log p makes of it, times the top's diff over the normaliser.",
    bottoms=(Bottom("x", Scores(axis="softmax_param.axis"), learns=True), Bottom("y", Labels(of="x"))),
    options={
        "softmax_param.axis": (1,),
        _ALPHA: (0.25, 1.0, 0.75),
        _GAMMA: (2.0, 1.5, 3.0, 0.0),
        "loss_param.normalization": ("VALID", "FULL", "BATCH_SIZE", "NONE"),
        _IGNORE: (None, 255, -1),
        "loss_param.normalize": (None, True, False),
    },
    traits=frozenset({"batch-mean", "shift-invariant"}),
    requirements=(
        Requirement(
            "focal_loss.alpha",
            "FocalLoss's alpha, 0.25 unless given, multiplies loss and gradient of every class alike.",
            MUST,
            f"{_CPP}:82",
        ),
        Requirement(
            "focal_loss.gamma",
            "FocalLoss raises 1 - p to the power of gamma, 2 unless given; with gamma 0 and alpha 1 it is the softmax "
            "loss.",
            MUST,
            f"{_CPP}:82",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("spatial", _IMAGE, shapes={"y": (2, 1, 2, 2)}),
        Published("one-sample", (1, 3)),
        Published("one-class", (3, 1)),
        Published("softmax", (4, 5), {_ALPHA: 1, _GAMMA: 0}),
        Published("gamma-fraction", (4, 5), {_ALPHA: 0.75, _GAMMA: 1.5}),
        Published("gamma-3", _IMAGE, {_GAMMA: 3}),
        Published("ignore-first-last", (5, 3), {_IGNORE: 255}, (0, -1)),
        *by_normalisation(_IMAGE, (0, -1)),
    ),
    extremes=(
        Extreme("equal", FORMULA, (exact([[0.75] * 5] * 3), exact([0, 2, 4]))),
        Extreme("last-class", FORMULA, (exact([[1, 2, 3], [0.5, -1, 0.25], [3, 0, 0]]), exact([2, 2, 2]))),
        Extreme("unlikely", FORMULA, (exact([[8, 0, 0], [0, 12, 1]]), exact([1, 0]))),
        Extreme("huge-weight", ("loss-weight",), (exact([[0.75] * 5]), exact([2])), weight=HUGE_WEIGHT),
    ),
    large_count=lambda terms: LargeCount(halves(terms), float(np.log(2.0)) / 16),
    refused=(
        *LABEL_COUNTS,
        Refused("scores-as-labels", "label-count", bottoms=("x", "x")),
    ),
    form_nets=tuple(_form_nets()),
    misreadings=(
        Misreading(_ALPHA, "option-ignored", lambda alpha: (1.0,) if alpha != 1 else ()),
        Misreading(_GAMMA, "option-ignored", lambda gamma: (2.0, 0.0) if gamma not in (0, 2) else ()),
    ),
    operations=(1, 5, 2),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    expression=_expression,
)
