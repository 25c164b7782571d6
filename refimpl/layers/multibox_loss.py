"""MultiBoxLoss: SSD's loss of boxes and classes over priors matched with ground truth, hard negatives mined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, magnitude, may_be_below, sigmoid, value_of, weighted
from refimpl.blob import Blob
from refimpl.dtypes import FLOAT
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import LossLayer, pick_label
from refimpl.layers.boxes import Box, decode, encode, match, suppressed
from refimpl.layers.normalisation import Normalisation
from refimpl.layers.sigmoid_cross_entropy_loss import cross_entropy
from refimpl.layers.softmax import log_softmax, softmax
from refimpl.layers.softmax_with_loss import FLOOR, LOG_FLOOR
from refimpl.quirk import Departure, Quirk
from refimpl.schema import Message, boolean, enum, floating, int32, message, uint32

__all__ = ["MultiBoxLoss"]

_SSD = "weiliu89/caffe@4817bf8b src/caffe/layers/multibox_loss_layer.cpp"
_BOXES = "weiliu89/caffe@4817bf8b src/caffe/util/bbox_util.cpp"
_REFINEDET = "foss-for-synopsys-dwc-arc-processors/synopsys-caffe@977ba36a src/caffe/layers/multibox_loss_layer.cpp"
F: Any = FLOAT.numpy.type
SHARED = -1
"""The label of locations that all classes share."""
SHIFTED = "multibox-logistic-targets-shifted"
BACKGROUND = "multibox-logistic-background-number"
KEEPS = "multibox-forward-keeps-matches"
VARIANCE = "multibox-variance-missing"


class SuppressionParameter(Message):
    nms_threshold: float = floating(0.3)
    top_k: int = int32()
    eta: float = floating(1)


class MultiBoxParameter(Message):
    """``multibox_loss_param`` of weiliu89/caffe, branch ssd."""

    loc_loss_type: str = enum("SMOOTH_L1", L2=0, SMOOTH_L1=1)
    conf_loss_type: str = enum("SOFTMAX", SOFTMAX=0, LOGISTIC=1)
    loc_weight: float = floating(1)
    num_classes: int = uint32()
    share_location: bool = boolean(True)
    match_type: str = enum("PER_PREDICTION", BIPARTITE=0, PER_PREDICTION=1)
    overlap_threshold: float = floating(0.5)
    use_prior_for_matching: bool = boolean(True)
    background_label_id: int = uint32()
    use_difficult_gt: bool = boolean(True)
    do_neg_mining: bool = boolean()
    neg_pos_ratio: float = floating(3)
    neg_overlap: float = floating(0.5)
    code_type: str = enum("CORNER", CORNER=1, CENTER_SIZE=2, CORNER_SIZE=3)
    encode_variance_in_target: bool = boolean(False)
    map_object_to_agnostic: bool = boolean(False)
    ignore_cross_boundary_bbox: bool = boolean(False)
    bp_inside: bool = boolean(False)
    mining_type: str = enum("MAX_NEGATIVE", NONE=0, MAX_NEGATIVE=1, HARD_EXAMPLE=2)
    nms_param: SuppressionParameter = message(SuppressionParameter)
    sample_size: int = int32(64)
    use_prior_for_nms: bool = boolean(False)


@dataclass
class _Image:
    """One image's ground truth, and what its priors are: per location label each prior's truth, the overlaps, and the
    negatives that were picked."""

    boxes: list[Box] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    matches: dict[int, list[int]] = field(default_factory=dict)
    overlaps: dict[int, list[Any]] = field(default_factory=dict)
    negatives: list[int] = field(default_factory=list)

    def positives(self) -> Iterator[tuple[int, int, int]]:
        """Location label, prior and truth of each match."""
        for label, found in sorted(self.matches.items()):
            yield from ((label, prior, truth) for prior, truth in enumerate(found) if truth > -1)


class MultiBoxLoss(LossLayer):
    """``L = (loc_weight sum f(l - g) + sum conf) / Z`` over the matched priors, and the mined ones for the classes.

    Bottoms: locations (N, P K 4), K 1 or, without share_location, the number of classes; confidences (N, P C); priors
    (1, 2, 4 P), boxes and variances; ground truth (1, 1, G, 8): image, label, unused, box, difficult. f is smooth L1
    with sigma 1 or half the square; conf the softmax loss of C classes or a cross entropy of sigmoids; Z the normaliser
    of ``loss_param``, where VALID counts the matches. Matching and encoding work in float32 in every net
    (`refimpl.layers.boxes`). The gradients are those of f and conf over Z at what was matched and mined, else 0; a
    term whose ``propagate_down`` says false is left out of the loss as well.

    Which priors are matched and mined depends on the bottoms in steps; no gradient goes through that.
    """

    type = "MultiBoxLoss"
    exact_bottoms: ClassVar[int | None] = 4
    messages: ClassVar = {"multibox_loss_param": MultiBoxParameter}
    forms: ClassVar[tuple[Form, ...]] = (Form("ssd", _SSD),)
    quirks: ClassVar[tuple[Quirk, ...]] = (
        Quirk(
            SHIFTED,
            "with LOGISTIC and no mining, the targets of later images land in those of the first: the pointer goes on "
            "by the priors and not by their classes",
            "each image has its own targets",
            f"{_BOXES} EncodeConfPrediction",
        ),
        Quirk(
            BACKGROUND,
            "with LOGISTIC, targets start from the background's number, so that with background 1 all are ones",
            "targets are 0 but for one class",
            f"{_SSD} Forward_cpu (caffe_set); {_BOXES} EncodeConfPrediction",
        ),
        Quirk(
            KEEPS,
            "a forward without a backward before the next leaves its matches: the next one uses them again",
            "each forward matches anew",
            f"{_BOXES} FindMatches; {_SSD} Backward_cpu",
        ),
    )
    departures: ClassVar[tuple[Departure, ...]] = (
        Departure(
            VARIANCE,
            "encode_variance_in_target is true",
            "forward divides predictions and targets by the variances, backward does not",
            f"{_BOXES} EncodeLocPrediction; {_SSD} Backward_cpu",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        self.given = given = self.own["multibox_loss_param"]
        mining, background = given.mining_type != "NONE", given.background_label_id
        self._refuse(not given.has("num_classes"), "there is no num_classes", "give num_classes")
        self._refuse(given.num_classes < 1, "num_classes is 0", "give at least one class")
        deprecated = given.has("do_neg_mining") and given.do_neg_mining != mining
        self._refuse(deprecated, "do_neg_mining and mining_type differ", "leave do_neg_mining away")
        self._refuse(
            mining and not given.share_location, "negatives are mined", "set share_location: true or mining_type: NONE"
        )
        outside = given.conf_loss_type == "SOFTMAX" and background >= given.num_classes
        self._refuse(outside, f"background {background} is no class of {given.num_classes}", "give a class")
        self.normalisation = Normalisation.of(self.param.loss_param, "VALID")
        self.asked = list(self.param.propagate_down) or [True, True]
        self.kept: list[_Image] = []
        self.images: list[_Image] = []

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        self.priors = bottom[2].height // 4
        locations = self.priors * (1 if self.given.share_location else self.given.num_classes) * 4
        for blob, wanted, what in (
            (bottom[0], locations, "locations"),
            (bottom[1], self.priors * self.given.num_classes, "scores"),
        ):
            if blob.channels != wanted:
                raise LayerError(f"{blob.channels} {what} for {self.priors} priors", f"give {wanted}")

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        self._read(bottom)
        images = self._truths(bottom)
        for i, image in enumerate(images):
            self._match(i, image)
        if self.kept and len(self.kept) == len(images) and self.dialect.takes(KEEPS):
            for image, before in zip(images, self.kept, strict=True):
                image.matches = before.matches
        if self.given.mining_type != "NONE":
            self._mine(bottom, images)
        self.images = self.kept = images
        self.places = [(i, *place) for i, image in enumerate(images) for place in image.positives()]
        self._aim(bottom)
        total = np.zeros(())
        if self.asked[0] and self.places:
            total = total + exact_sum(self._of_boxes(self._predicted(bottom) - self.boxes)) * self.given.loc_weight
        if self.asked[1] and len(self.rows):
            total = total + exact_sum(self._of_classes(self._scores(bottom)))
        top[0].data[...] = total / self._divisor(bottom)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        for i, what in ((2, "prior"), (3, "label")):
            self._refuse(
                propagate_down[i], f"{self.type} cannot backpropagate to {what} inputs", "take gradients from none"
            )
        scale = top[0].wide_diff / self._divisor(bottom)
        if propagate_down[0]:
            gradient = self.context.zeros(bottom[0].count).reshape(bottom[0].num, self.priors, -1, 4)
            if self.places:
                slope = self._slope_of_boxes(self._predicted(bottom) - self.boxes) * self.given.loc_weight
                if self.given.encode_variance_in_target and self.dialect.derivative(VARIANCE):
                    slope = slope / self.scale
                gradient[self._at()] = weighted(np.where(self.outside, 0.0, slope), scale)
            bottom[0].diff[...] = gradient.reshape(bottom[0].shape)
        if propagate_down[1]:
            gradient = self.context.zeros(bottom[1].count).reshape(-1, self.given.num_classes)
            if len(self.rows):
                gradient[self.rows] = weighted(self._slope_of_classes(self._scores(bottom)), scale)
            bottom[1].diff[...] = gradient.reshape(bottom[1].shape)
        self.kept = []

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """Nothing is known of how far another match or another negative is."""
        return [np.zeros(blob.shape) for blob in bottom[:2]] + [None for _ in bottom[2:]]

    @staticmethod
    def _refuse(wrong: bool, message: str, hint: str) -> None:
        if wrong:
            raise LayerError(message, hint)

    def _divisor(self, bottom: Sequence[Blob]) -> float:
        sizes = {"FULL": bottom[0].num * self.priors, "VALID": len(self.places), "BATCH_SIZE": bottom[0].num, "NONE": 1}
        return float(max(1, sizes[self.normalisation.mode]))

    def _read(self, bottom: Sequence[Blob]) -> None:
        """Priors, variances and offsets, in float32."""
        found = value_of(bottom[2].wide).reshape(-1)[: 8 * self.priors].astype(F).reshape(2, self.priors, 4)
        self.prior_boxes, self.variances = found
        self.offsets = value_of(bottom[0].wide).astype(F).reshape(bottom[0].num, self.priors, -1, 4)

    def _priors_of(self, image: int) -> Any:
        """The boxes that an image's locations are distances from."""
        return self.prior_boxes

    def _decoded(self, image: int, label: int, priors: Any) -> list[Box]:
        given = self.given
        column = 0 if given.share_location else label
        return [
            decode(prior, variance, given.code_type, given.encode_variance_in_target, offset)
            for prior, variance, offset in zip(priors, self.variances, self.offsets[image, :, column], strict=True)
        ]

    def _truths(self, bottom: Sequence[Blob]) -> list[_Image]:
        images = [_Image() for _ in range(bottom[0].num)]
        rows = value_of(bottom[3].wide).reshape(-1, 8)
        for row in rows:
            item = int(row[0])
            if item == -1:
                continue
            label = self._label(int(row[1]))
            if not self.given.use_difficult_gt and row[7] != 0:
                continue
            if 0 <= item < len(images):
                images[item].boxes.append(row[3:7].astype(F))
                images[item].labels.append(label)
        return images

    def _label(self, label: int) -> int:
        self._refuse(
            label == self.given.background_label_id, "the ground truth holds the background", "give an object's label"
        )
        return label

    def _match(self, i: int, image: _Image) -> None:
        given = self.given
        if not image.boxes:
            return
        settings = (given.match_type == "PER_PREDICTION", given.overlap_threshold, given.ignore_cross_boundary_bbox)
        labels = [SHARED] if given.share_location else range(given.num_classes)
        labels = [label for label in labels if label == SHARED or label != given.background_label_id]
        every = list(range(len(image.boxes)))
        if not given.use_prior_for_matching:
            for label in labels:
                of_label = [j for j in every if label in (SHARED, image.labels[j])]
                decoded = self._decoded(i, label, self.prior_boxes)
                image.matches[label], image.overlaps[label] = match(image.boxes, decoded, of_label, *settings)
            return
        found, best = match(image.boxes, list(self._priors_of(i)), every, *settings)
        for label in labels:
            own = [j if label == SHARED or (j > -1 and image.labels[j] == label) else -1 for j in found]
            image.matches[label], image.overlaps[label] = own, best

    def _mine(self, bottom: Sequence[Blob], images: list[_Image]) -> None:
        """Pick the negatives of each image; of HARD_EXAMPLE, drop the matches that are not hard."""
        given, hard = self.given, self.given.mining_type == "HARD_EXAMPLE"
        scores = value_of(bottom[1].wide).reshape(len(images), self.priors, -1)
        for i, image in enumerate(images):
            for label, found in sorted(image.matches.items()):
                losses = self._hardness(image, scores[i])
                if hard:
                    losses = losses + self._farness(i, image)
                eligible = [
                    m
                    for m in range(self.priors)
                    if hard or (found[m] == -1 and image.overlaps[label][m] < F(given.neg_overlap))
                ]
                chosen = [m for m in eligible if self._may_be_object(bottom, i, m)]
                most = given.sample_size if hard else int(F(sum(j > -1 for j in found)) * F(given.neg_pos_ratio))
                self._refuse(hard and given.sample_size <= 0, "sample_size is not positive", "give a positive one")
                most = min(most, len(chosen))
                if given.has("nms_param") and given.nms_param.nms_threshold > 0:
                    boxes = self.prior_boxes if given.use_prior_for_nms else self._decoded(i, label, self.prior_boxes)
                    kept = suppressed(
                        [boxes[m] for m in eligible],
                        list(losses[eligible]),
                        given.nms_param.nms_threshold,
                        given.nms_param.top_k,
                    )
                    picked = {chosen[n] for n in list(kept)[:most]}
                else:
                    picked = set(sorted(chosen, key=lambda m: -losses[m])[:most])
                image.negatives += [m for m in range(self.priors) if found[m] == -1 and m in picked]
                if hard:
                    image.matches[label] = [j if j < 0 or m in picked else -1 for m, j in enumerate(found)]

    def _may_be_object(self, bottom: Sequence[Blob], image: int, prior: int) -> bool:
        return True

    def _hardness(self, image: _Image, scores: NDArray[Any]) -> NDArray[Any]:
        """Each prior's loss of its own class, in float32."""
        classes, labels = self.given.num_classes, [self.given.background_label_id] * self.priors
        for _, prior, truth in image.positives():
            labels[prior] = label = image.labels[truth]
            wrong = not 0 <= label < classes or label == self.given.background_label_id
            self._refuse(wrong, f"label {label} of {classes} classes", "give an object's label")
        hot = pick_label(np.array(labels), classes, 1)
        if self.given.conf_loss_type == "LOGISTIC":
            return exact_sum(cross_entropy(scores, hot), 1).astype(F)  # type: ignore[no-any-return]
        probability = exact_sum(softmax(scores, 1) * hot, 1)
        return (-np.log(np.maximum(probability, FLOOR))).astype(F)  # type: ignore[no-any-return]

    def _farness(self, i: int, image: _Image) -> NDArray[Any]:
        """Each matched prior's loss of its box, in float32."""
        found = np.zeros(self.priors, F)
        for label, prior, truth in image.positives():
            pred, target, _, _ = self._encoded(self.prior_boxes, i, label, prior, image.boxes[truth])
            found[prior] = F(exact_sum(self._of_boxes(pred.astype(np.float64) - target)))
        return found

    def _encoded(self, priors: Any, i: int, label: int, prior: int, box: Box) -> tuple[Any, Any, Any, Any]:
        """Prediction and target of a match, which entries lie outside of the image, and what both are divided by."""
        given = self.given
        variance = self.variances[prior]
        target = encode(priors[prior], variance, given.code_type, given.encode_variance_in_target, box)
        pred = self.offsets[i, prior, 0 if given.share_location else label]
        outside = np.zeros(4, bool)
        if given.bp_inside:
            own = priors[prior]
            if not given.use_prior_for_matching:
                own = decode(own, variance, given.code_type, given.encode_variance_in_target, pred)
            outside = (own < 0) | (own > 1)
        scale = np.ones(4)
        if given.encode_variance_in_target:
            self._refuse(not (variance > 0).all(), "a variance is not positive", "variances divide the targets")
            scale = variance.astype(np.float64)
        pred = np.where(outside, target, pred)
        return pred / scale, target / scale, outside, scale

    def _aim(self, bottom: Sequence[Blob]) -> None:
        """What the matched boxes and the rows of scores are to be."""
        given, images = self.given, self.images
        parts = [
            self._encoded(self._priors_of(i), i, label, prior, images[i].boxes[truth])
            for i, label, prior, truth in self.places
        ]
        self.boxes = np.array([part[1] for part in parts], np.float64).reshape(-1, 4)
        self.outside = np.array([part[2] for part in parts], bool).reshape(-1, 4)
        self.scale = np.array([part[3] for part in parts], np.float64).reshape(-1, 4)
        labels = {(i, prior): self._class(images[i].labels[truth]) for i, _, prior, truth in self.places}
        background, classes = given.background_label_id, given.num_classes
        if given.mining_type == "NONE":
            places = [(i, j) for i in range(len(images)) for j in range(self.priors)]
        else:
            places = []
            for i, image in enumerate(images):
                places += [(i, prior) for _, prior, _ in image.positives()] + [(i, m) for m in image.negatives]
        self.rows = np.array([i * self.priors + j for i, j in places], np.int64)
        self.labels = np.array([labels.get(place, background) for place in places], np.int64)
        if given.conf_loss_type == "SOFTMAX":
            return
        start = background if background and places and self.dialect.takes(BACKGROUND) else 0
        self.targets = np.full((len(places), classes), float(start))
        shifted = given.mining_type == "NONE" and any(i > 0 for i, _ in labels) and self.dialect.takes(SHIFTED)
        for row, (i, j) in enumerate(places):
            if (i, j) in labels:
                own = i * self.priors + j * classes if shifted else row * classes
                self.targets.reshape(-1)[own + labels[i, j]] = 1.0
            elif given.mining_type != "NONE" and background < classes:
                self.targets[row, background] = 1.0

    def _class(self, label: int) -> int:
        given = self.given
        if given.map_object_to_agnostic:
            self._refuse(given.num_classes != 2, "an agnostic object needs two classes", "set num_classes: 2")
            return int(given.background_label_id) + 1
        self._refuse(
            not 0 <= label < given.num_classes, f"label {label} of {given.num_classes} classes", "give a class"
        )
        return label

    def _at(self) -> tuple[list[int], list[int], list[int]]:
        """Where the matched locations stand among all: image, prior, location label."""
        columns = [0 if self.given.share_location else label for _, label, _, _ in self.places]
        return [place[0] for place in self.places], [place[2] for place in self.places], columns

    def _predicted(self, bottom: Sequence[Blob]) -> Any:
        """The matched locations, rounded to float32, or their targets where they lie outside of the image."""
        x = bottom[0].wide.reshape(bottom[0].num, self.priors, -1, 4)[self._at()]
        value = value_of(x)
        x = x + (FLOAT.rounded(value) - value)
        return np.where(self.outside, self.boxes, x / self.scale)

    def _scores(self, bottom: Sequence[Blob]) -> Any:
        return bottom[1].wide.reshape(-1, self.given.num_classes)[self.rows]

    def _of_boxes(self, d: Any) -> Any:
        size = magnitude(d)
        squares = 0.5 * d * d
        return squares if self.given.loc_loss_type == "L2" else np.where(size < 1.0, squares, size - 0.5)

    def _slope_of_boxes(self, d: Any) -> Any:
        return d if self.given.loc_loss_type == "L2" else np.maximum(np.minimum(d, 1.0), -1.0)

    def _of_classes(self, scores: Any) -> Any:
        if self.given.conf_loss_type == "LOGISTIC":
            return cross_entropy(scores, self.targets)
        return -np.take_along_axis(log_softmax(scores, 1, FLOOR), self.labels[:, None], 1)

    def _slope_of_classes(self, scores: Any) -> Any:
        if self.given.conf_loss_type == "LOGISTIC":
            return sigmoid(scores) - self.targets
        p = softmax(scores, 1)
        slope = p - pick_label(self.labels, self.given.num_classes, 1)
        capped = may_be_below(np.take_along_axis(p, self.labels[:, None], 1), FLOOR)
        if capped.any() and self.dialect.derivative(LOG_FLOOR):
            return np.where(capped, 0.0, slope)
        return slope


class RefiningParameter(MultiBoxParameter):
    """The same of RefineDet."""

    objectness_score: float = floating(0.01)


class RefiningMultiBoxLoss(MultiBoxLoss):
    """RefineDet's: bottom 4, the scores of an earlier stage (N, 2 P), keeps negatives away whose second one is below
    objectness_score; bottom 5, its locations (N, 4 P), moves each image's priors. With two classes every label of 2 or
    more is 1. The background is not refused where the ground truth is read."""

    exact_bottoms = None
    min_bottoms = 4
    max_bottoms = 6
    messages: ClassVar = {"multibox_loss_param": RefiningParameter}
    forms = (Form("refinedet", _REFINEDET),)
    quirks = ()
    departures = ()

    def _read(self, bottom: Sequence[Blob]) -> None:
        super()._read(bottom)
        self.refined = [self.prior_boxes] * bottom[0].num
        if len(bottom) > 5:
            offsets = value_of(bottom[5].wide).astype(F).reshape(bottom[0].num, -1, 4)
            given = self.given
            self.refined = [
                np.array(
                    [
                        decode(prior, variance, given.code_type, given.encode_variance_in_target, offset)
                        for prior, variance, offset in zip(self.prior_boxes, self.variances, own, strict=False)
                    ]
                )
                for own in offsets
            ]

    def _priors_of(self, image: int) -> Any:
        return self.refined[image]

    def _label(self, label: int) -> int:
        return 1 if self.given.num_classes == 2 and label >= 2 else label

    def _may_be_object(self, bottom: Sequence[Blob], image: int, prior: int) -> bool:
        if len(bottom) < 5:
            return True
        scores = value_of(bottom[4].wide).reshape(bottom[0].num, -1)
        return bool(scores[image, 2 * prior + 1] >= self.given.objectness_score)
