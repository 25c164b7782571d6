"""MultiBoxLoss: what the suite knows of it beside its formula (`refimpl.layers.multibox_loss`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.contract.case import Array
from conformance.contract.requirement import MUST, Requirement
from conformance.losses.boxes import (
    CLASSES,
    BoxScores,
    Certainties,
    Locations,
    Moves,
    Priors,
    Truths,
    truths_of,
)
from conformance.losses.examples import Extreme, FormNet, Misreading, QuirkNet, Refused
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.nets import layer, source
from conformance.losses.options import Option, Options, options_text
from conformance.losses.roles import Shape
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, SUBNORMAL, exact
from conformance.losses.variant import Variant
from refimpl.layers.multibox_loss import BACKGROUND, KEEPS, SHIFTED, MultiBoxLoss

__all__ = ["LOSS"]

_P = "multibox_loss_param"
_CLASSES, _BACKGROUND = f"{_P}.num_classes", f"{_P}.background_label_id"
_RATIO, _CODE, _MINING = f"{_P}.neg_pos_ratio", f"{_P}.code_type", f"{_P}.mining_type"
_CONF, _MODE, _DIFFICULT = f"{_P}.conf_loss_type", "loss_param.normalization", f"{_P}.use_difficult_gt"
_IN_TARGET, _SIZE = f"{_P}.encode_variance_in_target", f"{_P}.sample_size"
_SSD = "weiliu89/caffe@4817bf8b src/caffe/layers/multibox_loss_layer.cpp"
_BOXES = "weiliu89/caffe@4817bf8b src/caffe/util/bbox_util.cpp"
_REFINEDET = "foss-for-synopsys-dwc-arc-processors/synopsys-caffe@977ba36a src/caffe/util/bbox_util.cpp"


@dataclass(frozen=True, eq=False)
class _MultiBox(Loss):
    """Its boxes hang together, and its classes are counted by an option."""

    def classes(self, shape: Shape, options: Options) -> int:
        return int(str(self.completed(shape, options)[_CLASSES]))

    def draw(self, rng: np.random.Generator, variant: Variant) -> dict[str, Array]:
        values: dict[str, Array] = {}
        background = int(str(variant.options.get(_BACKGROUND) or 0))
        for bottom in self.bottoms:
            shape = variant.shapes.get(bottom.name)
            if shape is None:
                continue
            if isinstance(bottom.role, Truths):
                boxes = values["p"].reshape(2, -1, 4)[0]
                values[bottom.name] = truths_of(rng, shape, boxes, variant.items, variant.classes, background)
            else:
                values[bottom.name] = bottom.role.draw(rng, shape, variant.classes)
        return values

    def smallest(self, variant: Variant, seed: int) -> tuple[Variant, dict[str, Array]]:
        single = variant.batch(1)
        return single, single.values(seed)


def _needs(shape: Shape) -> Options:
    return {_CLASSES: CLASSES}


def _of(**options: Any) -> dict[str, Any]:
    return {f"{_P}.{name}": value for name, value in options.items()}


def _published() -> Iterator[Published]:
    rows = (2, 48)
    yield Published("plain", (3, 48))
    yield Published("one-image", (1, 48))
    yield Published("squares", rows, _of(loc_loss_type="L2", code_type="CENTER_SIZE", loc_weight=2.0))
    scaled = _of(code_type="CORNER_SIZE", encode_variance_in_target=True, loc_weight=0.5)
    yield Published("variances-in-target", rows, scaled)
    once = _of(match_type="BIPARTITE", neg_pos_ratio=1.0, ignore_cross_boundary_bbox=True)
    yield Published("bipartite", (3, 40), once)
    lower = _of(overlap_threshold=0.25, neg_overlap=0.25, use_difficult_gt=False)
    yield Published("lower-overlaps", rows, {**lower, _MODE: "FULL"})
    yield Published("background-1", rows, {_BACKGROUND: 1, _MODE: "BATCH_SIZE"})
    yield Published("logistic", rows, {_CONF: "LOGISTIC"})
    yield Published("no-mining", rows, {_MINING: "NONE", _MODE: "NONE"})
    yield Published("hard-examples", rows, _of(mining_type="HARD_EXAMPLE", sample_size=4, code_type="CENTER_SIZE"))
    yield Published("inside", rows, _of(bp_inside=True))
    apart = _of(share_location=False, mining_type="NONE")
    yield Published("locations-of-classes", rows, apart, shapes={"x": (2, 48 * CLASSES), "p": (1, 2, 48)})
    two = _of(num_classes=2, map_object_to_agnostic=True)
    yield Published("agnostic", rows, two, shapes={"s": (2, 24)})
    yield Published("earlier-scores", rows, _of(objectness_score=0.125), shapes={"u": (2, 24)})
    yield Published("earlier-stage", rows, {_CODE: "CENTER_SIZE"}, shapes={"u": (2, 24), "v": (2, 48)})


_GRID = [[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.75], [0.5, 0.5, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0]]
_VARIANCES = [[0.125, 0.125, 0.25, 0.25]] * 4
_PRIORS = exact([_GRID, _VARIANCES]).reshape(1, 2, 16)
_TWO = ([0, 1, 0.0, 0.0625, 0.5, 0.5], [1, 2, 0.5, 0.5, 0.9375, 1.0])
_RNG = np.random.default_rng(4)
_X, _S = _RNG.integers(-64, 65, (2, 16)) / 64.0, _RNG.permutation(np.arange(-12.0, 12)).reshape(2, 12) / 8


def _truths(*rows: Any, difficult: float = 0.0) -> Array:
    """Item, class and box of each."""
    table = [[item, label, 0, *box, difficult] for item, label, *box in rows]
    return exact([[table]])


def _extreme(name: str, facets: tuple[str, ...], x: Any = _X, s: Any = _S, rows: Any = _TWO, **fields: Any) -> Extreme:
    return Extreme(name, facets, (exact(x), exact(s), _PRIORS, _truths(*rows)), **fields)


def _with(array: Array, *places: tuple[int, int, float]) -> Array:
    changed: Array = np.array(array)
    for i, j, value in places:
        changed[i, j] = value
    return changed


def _extremes() -> Iterator[Extreme]:
    yield _extreme("nothing-in-it", ("matching",), rows=[[-1, 0, 0, 0, 0, 0]])
    yield _extreme("one-image-empty", ("matching", "mining"), rows=_TWO[:1])
    yield _extreme("none-overlap", ("matching",), rows=[[0, 1, 1.5, 1.5, 1.75, 1.75]])
    crowd = [[0, 1 + i % 2, 0.03125 * i, 0.0625, 0.5, 0.5] for i in range(4)]
    yield _extreme("more-truths-than-fit", ("matching",), rows=crowd)
    yield _extreme("each-once", ("matching",), rows=crowd, options=_of(match_type="BIPARTITE"))
    found = _of(use_prior_for_matching=False, code_type="CENTER_SIZE")
    yield _extreme("matched-by-predictions", ("matching",), x=_X / 4, options=found)
    apart = _of(share_location=False, mining_type="NONE", use_prior_for_matching=False)
    yield _extreme("classes-matched-by-predictions", ("matching",), x=np.tile(_X / 4, 3), options=apart)
    yield _extreme("few-negatives", ("mining",), options={_RATIO: 0.5})
    yield _extreme("near-misses", ("mining",), options=_of(neg_overlap=0.125))
    alike = [[0, 0, 0.0, 0.0625, 0.5, 0.5], [1, 1, 0.5, 0.5, 0.9375, 1.0]]
    agnostic = _of(num_classes=2, map_object_to_agnostic=True, mining_type="NONE")
    yield _extreme("objects-of-any-class", ("classes",), s=_S[:, :8], rows=alike, options=agnostic)
    yield _extreme("saturated", ("mining", "saturation"), s=40 * _S)
    yield _extreme("saturated-logistic", ("classes", "saturation"), s=40 * _S, options={_CONF: "LOGISTIC"})
    alone = {_CONF: "LOGISTIC", _MINING: "NONE"}
    yield _extreme("logistic-without-mining", ("classes",), rows=_TWO[:1], options=alone)
    knee = _with(0 * _X, (0, 1, 1.5), (0, 0, 1), (1, 8, -1), (1, 9, 1), (1, 10, 3.0))
    yield _extreme("knee", ("locations", *FORMULA), x=knee)
    yield _extreme("subnormal", FORMULA, x=_with(_X, (0, 0, SUBNORMAL), (1, 9, 1e-38)))
    yield _extreme("far", FORMULA, x=1e20 * _X)
    yield _extreme("nan-location", ("nonfinite",), x=_with(_X, (0, 0, NAN), (0, 4, NAN)))
    yield _extreme("infinite-location", ("nonfinite",), x=_with(_X, (1, 8, INF)))
    yield _extreme("nan-score", ("nonfinite",), s=_with(_S, (0, 1, NAN)), options={_MINING: "NONE"})
    yield _extreme("huge-weight", ("loss-weight",), weight=HUGE_WEIGHT)


def _net(options: Options, tops: str = "") -> str:
    """The layer over learnt locations and scores."""
    shapes = {"x": (2, 16), "s": (2, 12), "p": (1, 2, 16), "t": (1, 1, 2, 8)}
    text = "".join(source(name, shape, learnt=name in "xs") for name, shape in shapes.items())
    return text + layer("loss", MultiBoxLoss.type, shapes, options=options_text({_CLASSES: CLASSES, **options}))


def _fed(truths: Array) -> Mapping[str, Any]:
    return {"inputs": {"p": _PRIORS, "t": truths}, "params": {"x": (_X,), "s": (_S,)}}


def _quirk_nets() -> Iterator[QuirkNet]:
    logistic: Options = {_CONF: "LOGISTIC"}
    yield QuirkNet(SHIFTED, _net({**logistic, _MINING: "NONE"}), fields=_fed(_truths(*_TWO)))
    other = _truths([0, 2, 0.0, 0.0625, 0.5, 0.5], [1, 2, 0.5, 0.5, 0.9375, 1.0])
    yield QuirkNet(BACKGROUND, _net({**logistic, _BACKGROUND: 1}), fields=_fed(other))
    twice = {**_fed(_truths(*_TWO)), "steps": ("forward", "forward", "backward")}
    yield QuirkNet(KEEPS, _net({}), fields=twice)


def _form_nets() -> Iterator[FormNet]:
    """What RefineDet takes and SSD does not: further bottoms, an object of a class that two do not have, and the
    background among the objects."""
    bottoms = {"x": _X, "s": _S, "p": _PRIORS, "t": _truths(*_TWO)}
    certain = exact(np.resize([0.5, 0.25, 0.5, 0.001], (2, 8)))
    moves = _RNG.integers(-16, 17, (2, 16)) / 64.0

    def net(name: str, **fields: Any) -> FormNet:
        options: Options = {_CLASSES: CLASSES, **fields.pop("options", {})}
        return FormNet(name, {**bottoms, **fields}, "xs", options_text(options))

    yield net("four-bottoms")
    yield net("five-bottoms", u=certain)
    yield net("six-bottoms", u=certain, v=moves, options={_CODE: "CENTER_SIZE"})
    yield net("score-of-objects", options=_of(objectness_score=0.5))
    beyond = {"t": _truths(*(row if row[1] == 1 else [row[0], 3, *row[2:]] for row in _TWO))}
    yield net("third-of-two-classes", s=_S[:, :8], options={_CLASSES: 2}, **beyond)
    background = _truths([0, 0, *_TWO[0][2:]], _TWO[1])
    yield net("background-among-objects", t=background, options={_MINING: "NONE"})


_EQUIVALENTS = {
    "torch": """
def loss(x, s, p, t, ignored):
    boxes, variances = p.float().reshape(2, -1, 4)

    def size(b):
        return (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)

    x, s = x.reshape(len(x), -1, 4), s.reshape(len(x), len(boxes), -1)
    total, matched = 0, 0
    for image in range(len(x)):
        rows = t.float().reshape(-1, 8)
        rows = rows[rows[:, 0] == image]
        if not len(rows):
            continue
        truths, labels = rows[:, 3:7], rows[:, 1].long()
        low = torch.maximum(boxes[:, None, :2], truths[:, :2])
        high = torch.minimum(boxes[:, None, 2:], truths[:, 2:])
        shared = size(torch.cat([low, high], 2))
        overlap = shared / (size(boxes)[:, None] + size(truths) - shared)
        best, of = overlap.max(1)
        found = torch.where(best >= 0.5, of, -1)
        left = overlap.clone()
        while left.max() > 1e-6:  # the pair that overlaps most, then the one of what is left
            prior, truth = divmod(int(left.argmax()), len(rows))
            found[prior], best[prior] = truth, overlap[prior, truth]
            left[prior], left[:, truth] = 0, 0
        positive = found >= 0
        target = torch.where(positive, labels[found], 0)
        each = F.cross_entropy(s[image], target, reduction="none")
        most = int(3 * positive.sum())
        eligible = (best < 0.5) & ~positive
        hardest = torch.where(eligible, each, -1.0).argsort(descending=True)[: min(most, int(eligible.sum()))]
        goal = ((truths[found] - boxes) / variances)[positive].to(x.dtype)
        total = total + F.smooth_l1_loss(x[image][positive], goal, reduction="sum")
        total = total + each[positive].sum() + each[hardest].sum()
        matched += int(positive.sum())
    return total / max(1, matched)
""",
}

_OPTIONS: Mapping[str, tuple[Option, ...]] = _of(
    loc_loss_type=("SMOOTH_L1", "L2"),
    conf_loss_type=("SOFTMAX", "LOGISTIC"),
    loc_weight=(1.0, 2.0, 0.5),
    match_type=("PER_PREDICTION", "BIPARTITE"),
    overlap_threshold=(0.5, 0.25),
    background_label_id=(0, 1),
    use_difficult_gt=(True, False),
    neg_pos_ratio=(3.0, 1.0),
    neg_overlap=(0.5, 0.25),
    code_type=("CORNER", "CENTER_SIZE", "CORNER_SIZE"),
    encode_variance_in_target=(False, True),
    ignore_cross_boundary_bbox=(False, True),
    bp_inside=(False, True),
    mining_type=("MAX_NEGATIVE", "NONE", "HARD_EXAMPLE"),
    sample_size=(64, 4),
)

LOSS = _MultiBox(
    layer=MultiBoxLoss,
    source="multibox_loss",
    profile="detection",
    forward="The top of MultiBoxLoss is loc_weight times the sum of f over the differences of the matched priors' "
    "locations from their truths', plus the classification loss of the matched priors and of the mined ones, over the "
    "normaliser.",
    backward="MultiBoxLoss's gradient is that of f at the matched priors' locations and that of the classification "
    "loss at the matched and mined priors' scores, times the top's diff over the normaliser, and 0 elsewhere.",
    bottoms=(
        Bottom("x", Locations(), learns=True),
        Bottom("s", BoxScores(of="x"), learns=True),
        Bottom("p", Priors(of="x")),
        Bottom("t", Truths(of="x")),
        Bottom("u", Certainties(of="x"), optional=True),
        Bottom("v", Moves(of="x"), optional=True),
    ),
    needs=_needs,
    counts="prior",
    options={**_OPTIONS, _MODE: ("VALID", "FULL", "BATCH_SIZE", "NONE")},
    traits=frozenset({"rows", "saturates", "paired"}),
    requirements=(
        Requirement(
            "multibox_loss.matching",
            "MultiBoxLoss matches the pair of prior and truth that overlap most, then that of what is left, and so on; "
            "then, with PER_PREDICTION, every other prior with the truth that overlaps it most, by overlap_threshold "
            "at least.",
            MUST,
            f"{_BOXES} MatchBBox",
        ),
        Requirement(
            "multibox_loss.encode",
            "MultiBoxLoss's locations are held against the truth's distance from its prior: of the corners, of the "
            "corners in parts of the prior's size, or of centre and size, over the variances.",
            MUST,
            f"{_BOXES} EncodeBBox",
        ),
        Requirement(
            "multibox_loss.mining",
            "MultiBoxLoss counts of each image's priors without a truth those with the largest losses as background, "
            "neg_pos_ratio times as many as are matched and none that overlaps a truth by neg_overlap; of an image "
            "without truths none.",
            MUST,
            f"{_BOXES} MineHardExamples",
        ),
        Requirement(
            "multibox_loss.hard-examples",
            "MultiBoxLoss with HARD_EXAMPLE counts the sample_size priors of each image whose losses of box and class "
            "are largest, and none else, matched or not.",
            MUST,
            f"{_BOXES} MineHardExamples",
        ),
        Requirement(
            "multibox_loss.locations",
            "MultiBoxLoss's loss of locations is smooth L1 with sigma 1, or half the square, times loc_weight.",
            MUST,
            f"{_SSD} LayerSetUp",
        ),
        Requirement(
            "multibox_loss.classes",
            "MultiBoxLoss's loss of classes is the softmax loss of a prior's scores, or the cross entropies of their "
            "sigmoids added up.",
            MUST,
            f"{_SSD} LayerSetUp; {_BOXES} EncodeConfPrediction",
        ),
        Requirement(
            "multibox_loss.matches-counted",
            "MultiBoxLoss without a normalization divides by the number of matched priors, as VALID does, and with "
            "FULL by that of all priors of all images.",
            MUST,
            f"{_SSD} Forward_cpu, GetNormalizer",
        ),
        Requirement(
            "multibox_loss.difficult",
            "MultiBoxLoss leaves truths that are marked difficult out with use_difficult_gt: false.",
            MUST,
            f"{_BOXES} GetGroundTruth",
        ),
        Requirement(
            "multibox_loss.earlier-stage",
            "MultiBoxLoss, where it takes an earlier stage's scores and locations, mines no prior whose second score "
            "there is below objectness_score, and moves each image's priors by the locations.",
            MUST,
            f"{_REFINEDET} MineHardExamples, CasRegFindMatches, CasRegEncodeLocPrediction",
        ),
    ),
    published=tuple(_published()),
    extremes=tuple(_extremes()),
    refused=(
        Refused("locations-of-too-few", "label-count", declared={"x": (2, 8)}),
        Refused("scores-of-too-many", "label-count", declared={"s": (2, 6)}),
        Refused("priors-of-too-many-fed", "label-count", "forward", fed={"p": (1, 2, 8)}),
        Refused(
            "mined-negatives-of-classes", "label-count", declared={"x": (2, 12)}, options=_of(share_location=False)
        ),
    ),
    quirk_nets=tuple(_quirk_nets()),
    form_nets=tuple(_form_nets()),
    misreadings=(Misreading(_RATIO, "option-ignored", lambda ratio: (3.0,) if ratio != 3 else ()),),
    operations=(2, 12, 4),
    equivalents=_EQUIVALENTS,
)
