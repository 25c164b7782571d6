"""MultiBoxLoss: SSD's loss of boxes and classes over priors matched with ground truth, hard negatives mined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, loosened, may_be_below, sigmoid, value_of, weighted
from refimpl.blob import Blob
from refimpl.dtypes import FLOAT
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layer import pick_label
from refimpl.layers.multibox_matching import Image, MultiBoxParameter
from refimpl.layers.multibox_mining import Mining
from refimpl.layers.normalisation import Normalisation
from refimpl.layers.sigmoid_cross_entropy_loss import cross_entropy
from refimpl.layers.softmax import log_softmax, softmax
from refimpl.layers.softmax_with_loss import FLOOR, LOG_FLOOR
from refimpl.quirk import Departure, Quirk
from refimpl.schema import floating

__all__ = ["MultiBoxLoss"]

_SSD = "weiliu89/caffe@4817bf8b src/caffe/layers/multibox_loss_layer.cpp"
_BOXES = "weiliu89/caffe@4817bf8b src/caffe/util/bbox_util.cpp"
_REFINEDET = "foss-for-synopsys-dwc-arc-processors/synopsys-caffe@977ba36a src/caffe/layers/multibox_loss_layer.cpp"
SHIFTED = "multibox-logistic-targets-shifted"
BACKGROUND = "multibox-logistic-background-number"
KEEPS = "multibox-forward-keeps-matches"
VARIANCE = "multibox-variance-missing"
BLUR = 4 * FLOAT.unit_roundoff
"""What the roundings of boxes may move a target by, relative to it and to what its last steps divide by."""


class RefiningParameter(MultiBoxParameter):
    """The same of RefineDet."""

    objectness_score: float = floating(0.01)


class MultiBoxLoss(Mining):
    """``L = (loc_weight sum f(l - g) + sum conf) / Z`` over the matched priors, and the mined ones for the classes.

    Bottoms: locations (N, P K 4), K 1 or, without share_location, the number of classes; confidences (N, P C); priors
    (1, 2, 4 P), boxes and variances; ground truth (1, 1, G, 8): image, label, unused, box, difficult. f is smooth L1
    with sigma 1 or half the square; conf the softmax loss of C classes or a cross entropy of sigmoids; Z the normaliser
    of ``loss_param``, where VALID counts the matches. Matching and encoding work in float32 in every net
    (`refimpl.layers.boxes`). The gradients are those of f and conf over Z at what was matched and mined, else 0; a
    term whose ``propagate_down`` says false is left out of the loss as well.

    This is RefineDet's: bottom 4, the scores of an earlier stage (N, 2 P), keeps negatives away whose second one is
    below objectness_score; bottom 5, its locations (N, 4 P), moves each image's priors. With two classes every label
    of 2 or more is 1. The background is not refused where the ground truth is read.

    Which priors are matched and mined depends on the bottoms in steps; no gradient goes through that.
    """

    type = "MultiBoxLoss"
    exact_bottoms: ClassVar[int | None] = None
    min_bottoms: ClassVar[int | None] = 4
    max_bottoms: ClassVar[int | None] = 6
    messages: ClassVar = {"multibox_loss_param": RefiningParameter}
    forms: ClassVar[tuple[Form, ...]] = (Form("refinedet", _REFINEDET),)
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
            "a forward without a backward before the next leaves its matches: the next one uses them again, and "
            "refuses a batch of so few boxes that one of them is gone",
            "each forward matches anew",
            f"{_BOXES} FindMatches, EncodeLocPrediction; {_SSD} Backward_cpu",
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
        self.kept: dict[int, Image] = {}
        self.images: dict[int, Image] = {}
        self.places: list[tuple[int, int, int, int]] = []

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
        for i, image in images.items():
            self._match(i, image)
        if self.kept and self.kept.keys() == images.keys() and self.dialect.takes(KEEPS):
            for i, image in images.items():
                image.matches = self.kept[i].matches
                gone = any(truth >= len(image.boxes) for _, _, truth in image.positives())
                self._refuse(gone, "a match that was kept is with a box that is gone", "give as many boxes again")
        if self.given.mining_type != "NONE":
            self._mine(bottom, images)
        self.images = self.kept = images
        self.places = [(i, *place) for i, image in images.items() for place in image.positives()]
        self._aim(bottom)
        total = np.zeros(())
        if self.asked[0] and self.places:
            total = total + exact_sum(self._of_boxes(self._apart(bottom))) * self.given.loc_weight
        if self.asked[1] and len(self.rows):
            total = total + exact_sum(self._of_classes(self._scores(bottom)))
        self.divisor = self._divisor(bottom)
        top[0].data[...] = total / self.divisor

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        for i, what in ((2, "prior"), (3, "label")):
            self._refuse(
                propagate_down[i], f"{self.type} cannot backpropagate to {what} inputs", "take gradients from none"
            )
        scale = top[0].wide_diff / self.divisor
        if propagate_down[0]:
            gradient = self.context.zeros(bottom[0].count).reshape(bottom[0].num, self.priors, -1, 4)
            if self.places:
                slope = self._slope_of_boxes(self._apart(bottom)) * self.given.loc_weight
                if self.given.encode_variance_in_target and self.dialect.derivative(VARIANCE):
                    slope = slope / self.scale
                gradient[self._at()] = weighted(np.where(self.outside, 0.0, slope), scale)
            bottom[0].diff[...] = gradient.reshape(bottom[0].shape)
        if propagate_down[1]:
            gradient = self.context.zeros(bottom[1].count).reshape(-1, self.given.num_classes)
            if len(self.rows):
                gradient[self.rows] = weighted(self._slope_of_classes(self._scores(bottom)), scale)
            bottom[1].diff[...] = gradient.reshape(bottom[1].shape)
        self.kept = {}

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """How far another choice of negatives is: no score moves a prior's loss by more than itself, and no location
        by more than itself over its variance. Of squares, and of a choice that hangs on decoded boxes, nothing is
        known."""
        given, hard = self.given, self.given.mining_type == "HARD_EXAMPLE"
        room = np.full((bottom[0].num, self.priors), np.inf)
        for i, image in self.images.items():
            if image.room is not None:
                room[i] = image.room
        suppressing = given.mining_type != "NONE" and given.has("nms_param") and not given.use_prior_for_nms
        unknown = not given.use_prior_for_matching or suppressing or (hard and given.loc_loss_type == "L2")
        scale = self.variances.min(1) if given.encode_variance_in_target else 1.0
        locations = np.zeros(room.shape) if unknown else room * scale if hard else np.full(room.shape, np.inf)
        entries = [
            np.repeat(each, blob.count // each.size) for each, blob in zip((locations, room), bottom, strict=False)
        ]
        return [each.reshape(blob.shape) for each, blob in zip(entries, bottom, strict=False)] + [None] * len(
            bottom[2:]
        )

    def divisors(self, bottom: Sequence[Blob]) -> dict[str, float]:
        """What each normalisation divides by, after a forward pass."""
        sizes = {"FULL": bottom[0].num * self.priors, "VALID": len(self.places), "BATCH_SIZE": bottom[0].num, "NONE": 1}
        return {mode: float(max(1, size)) for mode, size in sizes.items()}

    def _divisor(self, bottom: Sequence[Blob]) -> float:
        return self.divisors(bottom)[self.normalisation.mode]

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
        levers = [self._lever(i, prior) for i, _, prior, _ in self.places]
        self.blur = BLUR * (np.absolute(self.boxes) + np.array(levers, np.float64).reshape(-1, 4))
        labels = {(i, prior): self._class(images[i].labels[truth]) for i, _, prior, truth in self.places}
        background, classes = given.background_label_id, given.num_classes
        if given.mining_type == "NONE":
            places = [(i, j) for i in range(bottom[0].num) for j in range(self.priors)]
        else:
            places = []
            for i, image in images.items():
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

    def _apart(self, bottom: Sequence[Blob]) -> Any:
        """How far the matched locations, rounded to float32, are from their targets; 0 outside of the image. What the
        roundings of boxes leave open, and not rounding at all, is within the bound."""
        x = bottom[0].wide.reshape(bottom[0].num, self.priors, -1, 4)[self._at()]
        value = value_of(x)
        cut = FLOAT.rounded(value) - value
        apart = np.where(self.outside, 0.0, (x + cut) / self.scale - self.boxes)
        return loosened(apart, np.where(self.outside, 0.0, self.blur + np.absolute(cut) / self.scale))

    def _scores(self, bottom: Sequence[Blob]) -> Any:
        return bottom[1].wide.reshape(-1, self.given.num_classes)[self.rows]

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


class _SsdMultiBoxLoss(MultiBoxLoss):
    """SSD's: four bottoms, and ground truth of the background is refused."""

    exact_bottoms = 4
    min_bottoms = None
    max_bottoms = None
    messages: ClassVar = {"multibox_loss_param": MultiBoxParameter}
    forms = (Form("ssd", _SSD),)
    quirks = ()
    departures = ()

    def _label(self, label: int) -> int:
        self._refuse(
            label == self.given.background_label_id, "the ground truth holds the background", "give an object's label"
        )
        return label
