"""Matching: which priors of MultiBoxLoss are to find which boxes, and what they are to predict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import value_of
from refimpl.blob import Blob
from refimpl.dtypes import FLOAT
from refimpl.errors import LayerError
from refimpl.layer import LossLayer
from refimpl.layers.boxes import Box, decode, encode, logarithm, match
from refimpl.schema import Message, boolean, enum, floating, int32, message, uint32

__all__ = ["Image", "Matching", "MultiBoxParameter"]

F: Any = FLOAT.numpy.type
SHARED = -1
"""The label of locations that all classes share."""


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
class Image:
    """One image's ground truth, and what its priors are: per location label each prior's truth, the overlaps, and the
    negatives that were picked. ``room`` is how far each prior's loss is from another choice of what is mined."""

    boxes: list[Box] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    matches: dict[int, list[int]] = field(default_factory=dict)
    overlaps: dict[int, list[Any]] = field(default_factory=dict)
    negatives: list[int] = field(default_factory=list)
    room: NDArray[Any] | None = None

    def positives(self) -> Iterator[tuple[int, int, int]]:
        """Location label, prior and truth of each match."""
        for label, found in sorted(self.matches.items()):
            truths = np.asarray(found)
            yield from ((label, int(prior), int(truths[prior])) for prior in np.flatnonzero(truths > -1))


class Matching(LossLayer):
    """A loss of boxes over priors matched with ground truth, without what it adds up.

    ``logarithm`` is that of a float32 number, rounded to float32: forks take the C library's.
    """

    logarithm = staticmethod(logarithm)
    given: Any
    priors: int
    messages: ClassVar = {"multibox_loss_param": MultiBoxParameter}

    @staticmethod
    def _refuse(wrong: bool, message: str, hint: str) -> None:
        if wrong:
            raise LayerError(message, hint)

    def _read(self, bottom: Sequence[Blob]) -> None:
        """Priors, variances and offsets, in float32."""
        found = value_of(bottom[2].wide).reshape(-1)[: 8 * self.priors].astype(F).reshape(2, self.priors, 4)
        self.prior_boxes, self.variances = found
        self.offsets = value_of(bottom[0].wide).astype(F).reshape(bottom[0].num, self.priors, -1, 4)
        self.moved: dict[int, Any] = {}
        self.earlier = None
        if len(bottom) > 5:
            self.earlier = value_of(bottom[5].wide).astype(F).reshape(bottom[0].num, -1, 4)

    def _priors_of(self, image: int) -> Any:
        """The boxes that an image's locations are distances from: the priors, moved by those of an earlier stage."""
        if self.earlier is None:
            return self.prior_boxes
        if image not in self.moved:
            self.moved[image] = np.array(self._boxes_at(self.earlier[image], self.prior_boxes))
        return self.moved[image]

    def _decoded(self, image: int, label: int, priors: Any) -> list[Box]:
        return self._boxes_at(self.offsets[image, :, 0 if self.given.share_location else label], priors)

    def _boxes_at(self, offsets: Any, priors: Any) -> list[Box]:
        given = self.given
        return [
            decode(prior, variance, given.code_type, given.encode_variance_in_target, offset)
            for prior, variance, offset in zip(priors, self.variances, offsets, strict=False)
        ]

    def _truths(self, bottom: Sequence[Blob]) -> dict[int, Image]:
        """The images that have any, by their numbers."""
        images: dict[int, Image] = {}
        rows = value_of(bottom[3].wide).reshape(-1, 8)[: bottom[3].height]
        for row in rows:
            if not np.isfinite(row[0]):
                raise LayerError(f"a box is of image {row[0]:g}", "images are numbered from 0")
            item = int(row[0])
            if item == -1:
                continue
            label = self._label(int(row[1]))
            if not self.given.use_difficult_gt and row[7] != 0:
                continue
            if 0 <= item < bottom[0].num:
                image = images.setdefault(item, Image())
                image.boxes.append(row[3:7].astype(F))
                image.labels.append(label)
        return dict(sorted(images.items()))

    def _label(self, label: int) -> int:
        return 1 if self.given.num_classes == 2 and label >= 2 else label

    def _match(self, i: int, image: Image) -> None:
        given = self.given
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

    def _lever(self, image: int, prior: int) -> Any:
        """What a rounding of a centre, or of a ratio of sizes, is divided by before it is a target; 0 of corners."""
        if self.given.code_type != "CENTER_SIZE":
            return np.zeros(4)
        x0, y0, x1, y1 = self._priors_of(image)[prior].astype(np.float64)
        with np.errstate(divide="ignore"):
            return 1.0 / (np.array([x1 - x0, y1 - y0, 1.0, 1.0]) * self.variances[prior])

    def _encoded(self, priors: Any, i: int, label: int, prior: int, box: Box) -> tuple[Any, Any, Any, Any]:
        """Prediction and target of a match, which entries lie outside of the image, and what both are divided by."""
        given = self.given
        variance = self.variances[prior]
        target = encode(priors[prior], variance, given.code_type, given.encode_variance_in_target, box, self.logarithm)
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
