"""InfogainLoss: what the suite knows of it beside its formula (`refimpl.layers.infogain_loss`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.contract.requirement import MUST, PROTO, QUIRK, SHOULD, Requirement
from conformance.losses.examples import Extreme, LargeCount, QuirkNet, Refused
from conformance.losses.expression import NoExpression, batch_before, labels, over
from conformance.losses.loss import Bottom, Loss, Published, by_normalisation
from conformance.losses.nets import layer, source
from conformance.losses.roles import Labels, Matrix, Scores
from conformance.losses.values import HUGE_WEIGHT, exact, extreme_logits, halves
from refimpl.layers.infogain_loss import InfogainLoss
from refimpl.layers.normalisation import Normalisation
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_CPP, _HPP = "src/caffe/layers/infogain_loss_layer.cpp", "include/caffe/layers/infogain_loss_layer.hpp"
_SCORES, _LABELS = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25]]), np.array([2.0, 0.0])
_MATRIX = np.array([[1.0, 0.25, 0.0], [0.0, 1.0, 0.5], [0.125, 0.0, 2.0]])
_LEARNT = source("x", (2, 3), learnt=True) + source("y", (2,)) + source("H", (3, 3))
_WITH_MATRIX: dict[str, Any] = {"inputs": {"y": _LABELS, "H": _MATRIX}, "params": {"x": (_SCORES,)}}
_FORCED = "force_backward: true\n" + source("x", (2, 3)) + source("y", (2,)) + source("H", (3, 3))


def _two_tops(*weights: float) -> str:
    return _LEARNT + layer("loss", InfogainLoss.type, ["x", "y", "H"], ("loss", "probability"), weights)


def _near_identity(classes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.eye(classes) + np.eye(classes, k=1) / 4 - np.eye(classes, k=-1) / 8


_EQUIVALENTS = {
    "torch": """
def loss(x, y, H, ignored):
    logarithms, matrix = F.log_softmax(x, dim=1).movedim(1, -1), H[0, 0]
    if ignored is None:
        return -(matrix[y] * logarithms).sum() / y.numel()
    counted = y != ignored
    rows = matrix[torch.where(counted, y, 0)] * counted.unsqueeze(-1)
    return -(rows * logarithms).sum() / counted.sum()
""",
    "jax": """
def loss(x, y, H, ignored):
    counted = y != (-1 if ignored is None else ignored)
    rows = H[0, 0][jnp.where(counted, y, 0)]
    losses = -(rows * jnp.moveaxis(jax.nn.log_softmax(x, axis=1), 1, -1)).sum(-1)
    return jnp.where(counted, losses, 0).sum() / counted.sum()
""",
}


_TORCH_LAYER = """\
# log_softmax weighted by the rows of H; its matrix is the third bottom. Logarithms have no floor.
def tops(bottom, param):
    if len(bottom) < 3:
        raise NotImplementedError("the matrix is read from a third bottom only")
    mode = normalisation(param)
    axis = param.infogain_loss_param.axis % bottom[0].ndim
    classes = bottom[0].shape[axis]
    labels = integers(bottom[1]).reshape(bottom[0].shape[:axis] + bottom[0].shape[axis + 1 :])
    counts = counted(labels, mode)
    rows = F.embedding(torch.where(counts, labels, 0), bottom[2].detach().reshape(classes, classes))
    losses = -(rows * F.log_softmax(bottom[0].movedim(axis, -1), dim=-1)).sum(-1)[counts]
    loss = losses.mean() if mode.mode == "VALID" else losses.sum()
    return [loss / divisor(mode, bottom[0].shape, axis), F.softmax(bottom[0], dim=axis)]
"""


def _expression(param: LayerParameter) -> str:
    if len(param.bottom) < 3:
        raise NoExpression("its matrix is read from a file: give it as a third bottom")
    axis, norm = param.infogain_loss_param.axis, Normalisation.of(param.loss_param, "VALID")
    known, counted = "labels", ""
    if norm.ignored is not None:
        known, counted = f"torch.where(labels != {norm.ignored}, labels, 0)", f" * (labels != {norm.ignored})"
    return f"""labels = {labels(axis)}
rows = H.reshape(x.shape[{axis}], -1)[{known}]
logarithms = F.log_softmax(x.movedim({axis}, -1), dim=-1)
-((rows * logarithms).sum(-1){counted}).sum(){over(param.loss_param, "VALID", "y", batch_before(axis))}"""


LOSS = Loss(
    layer=InfogainLoss,
    forward="The first top of InfogainLoss is the sum of -H[label] . log p over the counted positions, p the softmax "
    "of the scores, over the normaliser.",
    backward="InfogainLoss's gradient at a counted position is p times the sum of row H[label], minus that row, times "
    "the top's diff over the normaliser.",
    bottoms=(
        Bottom("x", Scores(axis="infogain_loss_param.axis"), learns=True),
        Bottom("y", Labels(of="x")),
        Bottom("H", Matrix(of="y"), optional=True, file="infogain_loss_param.source"),
    ),
    options={
        "infogain_loss_param.axis": (1, -1, 2),
        "loss_param.normalization": ("VALID", "FULL", "BATCH_SIZE", "NONE"),
        "loss_param.ignore_label": (None, 255, -1),
    },
    traits=frozenset({"batch-mean", "shift-invariant", "saturates"}),
    requirements=(
        Requirement(
            "infogain_loss.log-floor",
            "InfogainLoss takes no probability below float32's 1e-20 into the logarithm, in float64 too.",
            MUST,
            f"include/caffe/layers/loss_layer.hpp kLOG_THRESHOLD; {_CPP} Forward_cpu",
        ),
        Requirement(
            "refusal.matrix-gradient",
            "An infogain matrix under force_backward gets no gradient, and the backward pass is refused, as by Caffe, "
            "or runs without it.",
            QUIRK,
            f"{PROTO} NetParameter.force_backward; {_HPP} Backward_cpu comment",
        ),
        Requirement(
            "refusal.matrix-size",
            "InfogainLoss with a matrix that has not the square of the number of classes as entries is refused.",
            MUST,
            f"{_HPP} class comment",
        ),
        Requirement(
            "refusal.matrix-missing",
            "InfogainLoss with neither a third bottom nor a source that can be read is refused.",
            MUST,
            f"{_HPP} class comment; {_CPP} LayerSetUp",
        ),
        Requirement(
            "refusal.deprecated-normalize",
            "InfogainLoss with the deprecated field normalize is refused.",
            SHOULD,
            f"{_CPP} LayerSetUp",
        ),
    ),
    published=(
        Published("plain", (4, 5)),
        Published("spatial", (2, 3, 2, 2)),
        Published("axis-last", (2, 2, 4), {"infogain_loss_param.axis": -1}),
        Published("one-sample", (1, 3)),
        Published("ignore-first-last", (5, 3), {"loss_param.ignore_label": 255}, (0, -1)),
        *by_normalisation((2, 3, 2, 2), (0, -1)),
    ),
    extremes=(
        *(
            Extreme(name, facets, (x, y, _near_identity(x.shape[1])), options)
            for name, facets, x, y, options in extreme_logits(floor=46.0517)
        ),
        Extreme(
            "nan-beside-a-row-of-zeros",
            ("nonfinite",),
            (exact([[np.nan, 1, 2], [3, 0.5, 0]]), exact([1, 0]), _MATRIX * [[1], [0], [1]]),
        ),
        Extreme(
            "huge-weight",
            ("loss-weight",),
            (exact([[0.75] * 5]), exact([4]), _near_identity(5)),
            weight=HUGE_WEIGHT,
        ),
    ),
    large_count=lambda terms: LargeCount((*halves(terms), np.eye(2)), float(np.log(2.0))),
    refused=(
        *Refused.counts({"y": (2, 2)}, {"x": (2, 3, 2, 2)}),
        *(
            Refused(f"matrix-{'x'.join(map(str, shape))}", "matrix-size", declared={"H": shape})
            for shape in ((4, 4), (3,), (2, 3))
        ),
        Refused("matrix-fed-4x4", "matrix-size", "forward", fed={"H": (4, 4)}),
        Refused("no-matrix", "matrix-missing", bottoms=("x", "y")),
        Refused(
            "no-file",
            "matrix-missing",
            bottoms=("x", "y"),
            options={"infogain_loss_param.source": '"absent.binaryproto"'},
        ),
        Refused(
            "no-blob-in-the-file",
            "matrix-missing",
            bottoms=("x", "y"),
            options={"infogain_loss_param.source": '"unread.binaryproto"'},
            files={"unread.binaryproto": b"\xff\xff\xff\xff"},
        ),
        *(
            Refused(f"normalize-{word}", "deprecated-normalize", options={"loss_param.normalize": value})
            for word, value in (("true", True), ("false", False))
        ),
    ),
    quirk_nets=(
        QuirkNet("implicit-weight-once", _two_tops(), "infogain", _WITH_MATRIX),
        QuirkNet(
            "second-top-no-gradient",
            _two_tops(1.0, 0.0)
            + layer("square", "Power", ["probability"], weights=(2.0,), options="power_param { power: 2 shift: 0.5 }"),
            fields=_WITH_MATRIX,
        ),
        QuirkNet(
            "second-top-shares-softmax",
            _two_tops(1.0, 0.0)
            + layer("half", "Power", ["probability"], ["probability"], options="power_param { scale: 0.5 }"),
            fields=_WITH_MATRIX,
        ),
        QuirkNet(
            "infogain-matrix-forced",
            _FORCED + layer("loss", InfogainLoss.type, ["x", "y", "H"]),
            fields={"inputs": {"x": _SCORES, "y": _LABELS, "H": _MATRIX}},
        ),
    ),
    operations=(1, 9, 1),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    expression=_expression,
)
