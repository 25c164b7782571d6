"""What can be wrong in MultiBoxLoss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.slips import REWRITTEN, Alter, At, Blobs, Slip, gradient, instead, mutants_of
from conformance.record.cause import Cause
from refimpl.layers.multibox_loss import MultiBoxLoss
from refimpl.layers.multibox_matching import F, Image

__all__ = ["MUTANTS"]

_ROUNDS = "it is what the layer does: its boxes are of type float, so its locations are rounded to float32 in every net"


def _saying(**options: Any) -> Alter:
    """Options that hold whatever the net says."""

    class Wrong(MultiBoxLoss):
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            self.given = replace(self.given, **options)

    return instead(Wrong)


class _EmptyImagesCount(MultiBoxLoss):
    """Of an image without truths every prior is background."""

    def _mine(self, bottom: Blobs, images: dict[int, Image]) -> None:
        super()._mine(bottom, images)
        for i in range(bottom[0].num):
            images.setdefault(i, Image(negatives=list(range(self.priors))))


class _EveryNegative(MultiBoxLoss):
    """Every prior without a truth counts."""

    def _mine(self, bottom: Blobs, images: dict[int, Image]) -> None:
        super()._mine(bottom, images)
        for image in images.values():
            for found in image.matches.values():
                image.negatives = [m for m, j in enumerate(found) if j == -1]


class _Easiest(MultiBoxLoss):
    """The negatives with the smallest losses."""

    def _hardness(self, image: Image, scores: Any) -> Any:
        return -super()._hardness(image, scores)


class _MatchedAreNegatives(MultiBoxLoss):
    """Matched priors count as background, too."""

    def _mine(self, bottom: Blobs, images: dict[int, Image]) -> None:
        super()._mine(bottom, images)
        for image in images.values():
            image.negatives += [prior for _, prior, _ in image.positives()][:1]


class _HardKeepsMatches(MultiBoxLoss):
    """With HARD_EXAMPLE matches that are not hard stay."""

    def _mine(self, bottom: Blobs, images: dict[int, Image]) -> None:
        kept = {i: dict(image.matches) for i, image in images.items()}
        super()._mine(bottom, images)
        for i, image in images.items():
            image.matches = kept[i]


class _OfScoresAlone(MultiBoxLoss):
    """With HARD_EXAMPLE a prior's loss is that of its class."""

    def _farness(self, i: int, image: Image) -> Any:
        return np.zeros(self.priors, F)


class _ByThresholdAlone(MultiBoxLoss):
    """A truth that overlaps no prior by the threshold is matched with none."""

    def _match(self, i: int, image: Image) -> None:
        super()._match(i, image)
        for label, found in image.matches.items():
            near = np.asarray(image.overlaps[label]) >= F(self.given.overlap_threshold)
            image.matches[label] = [j if there or j < 0 else -1 for j, there in zip(found, near, strict=True)]


class _FirstTruth(MultiBoxLoss):
    """Every match of an image is with its first truth."""

    def _match(self, i: int, image: Image) -> None:
        super()._match(i, image)
        for label, found in image.matches.items():
            image.matches[label] = [min(j, 0) for j in found]


class _NextImage(MultiBoxLoss):
    """Truths belong to the image before theirs."""

    def _truths(self, bottom: Blobs) -> dict[int, Image]:
        images, count = super()._truths(bottom), bottom[0].num
        return dict(sorted(((i - 1) % count, image) for i, image in images.items()))


class _CountingRows(MultiBoxLoss):
    """The normaliser counts mined negatives as well."""

    def _divisor(self, bottom: Blobs) -> float:
        return float(max(1, len(self.rows))) if self.normalisation.mode == "VALID" else super()._divisor(bottom)


class _CountingImages(MultiBoxLoss):
    """The normaliser is the batch size unless another is asked for."""

    def _divisor(self, bottom: Blobs) -> float:
        return float(bottom[0].num) if self.normalisation.mode == "VALID" else super()._divisor(bottom)


class _FullOfImages(MultiBoxLoss):
    """FULL counts the priors of one image."""

    def _divisor(self, bottom: Blobs) -> float:
        return float(self.priors) if self.normalisation.mode == "FULL" else super()._divisor(bottom)


class _DividedByNothing(MultiBoxLoss):
    """The normaliser may be 0."""

    def _divisor(self, bottom: Blobs) -> float:
        divisor = super()._divisor(bottom)
        return np.nan if self.normalisation.mode == "VALID" and not self.places else divisor


class _OneVariance(MultiBoxLoss):
    """The first of a prior's variances stands for all."""

    def _read(self, bottom: Blobs) -> None:
        super()._read(bottom)
        self.variances = np.repeat(self.variances[:, :1], 4, 1)


class _FirstColumn(MultiBoxLoss):
    """Without share_location, the background's locations are every class's."""

    def _at(self) -> tuple[list[int], list[int], list[int]]:
        images, priors, columns = super()._at()
        return images, priors, [0 for _ in columns]


class _OtherScore(MultiBoxLoss):
    """The earlier stage's first score is compared, that of the background."""

    def _may_be_object(self, bottom: Blobs, image: int, prior: int) -> bool:
        if len(bottom) < 5:
            return True
        return bool(bottom[4].data.reshape(bottom[0].num, -1)[image, 2 * prior] >= self.given.objectness_score)


class _EncodedRaw(MultiBoxLoss):
    """Priors that an earlier stage has moved are matched, and targets are distances from where they were."""

    def _aim(self, bottom: Blobs) -> None:
        moved, self.earlier = self.earlier, None
        super()._aim(bottom)
        self.earlier = moved


class _MatchedRaw(MultiBoxLoss):
    """What an earlier stage has moved is matched where it was."""

    def _match(self, i: int, image: Image) -> None:
        moved, self.earlier = self.earlier, None
        super()._match(i, image)
        self.earlier = moved


class _NoClass(MultiBoxLoss):
    """Matched priors of classes beyond the last are taken for the last."""

    def _class(self, label: int) -> int:
        return super()._class(min(max(label, 0), 1)) if self.given.num_classes > 1 else super()._class(label)


def _without_loc_weight(x: Any, at: At) -> Any:
    return x / at.layer.given.loc_weight


def _slip(name: str, wrong: str, stands_for: str, alter: Alter, cause: Cause = Cause.UNNAMEABLE) -> Slip:
    return Slip(name, wrong, stands_for, cause, alter)


_SSD, _READ = "ports of SSD that read the paper alone", "bindings that leave the option out"

MUTANTS = mutants_of(
    "multibox_loss",
    MultiBoxLoss,
    (
        *(replace(slip, equivalent=_ROUNDS) if slip.name == "scores-read-as-float32" else slip for slip in COMMON),
        REWRITTEN,
        _slip(
            "empty-images-count",
            "All priors of an image without truths are background.",
            _SSD,
            instead(_EmptyImagesCount),
        ),
        _slip("every-negative", "Every prior without a truth counts.", "mining left out", instead(_EveryNegative)),
        _slip(
            "easiest-negatives",
            "The negatives with the smallest losses are mined.",
            "a sort upwards",
            instead(_Easiest),
        ),
        _slip(
            "matched-are-negatives", "A matched prior counts as background, too.", _SSD, instead(_MatchedAreNegatives)
        ),
        _slip(
            "hard-keeps-matches",
            "Matches that are not hard stay.",
            "weiliu89/caffe MineHardExamples",
            instead(_HardKeepsMatches),
        ),
        _slip("hard-by-scores", "What is hard is told by the scores alone.", _SSD, instead(_OfScoresAlone)),
        _slip(
            "threshold-alone", "Truths that no prior is near are matched with none.", _SSD, instead(_ByThresholdAlone)
        ),
        _slip(
            "first-truth", "Every match is with the image's first truth.", "an index left at 0", instead(_FirstTruth)
        ),
        _slip("next-image", "Truths are those of the image before.", "items counted from 1", instead(_NextImage)),
        _slip("bipartite-always", "No prior is matched by the threshold.", _READ, _saying(match_type="BIPARTITE")),
        _slip(
            "threshold-not-read",
            "The overlap of a match is one half.",
            _READ,
            _saying(overlap_threshold=0.5),
            Cause.OPTION_IGNORED,
        ),
        _slip("near-misses-mined", "What overlaps a truth may be mined.", _READ, _saying(neg_overlap=2.0)),
        _slip(
            "ratio-not-read", "Three negatives for each match.", _READ, _saying(neg_pos_ratio=3.0), Cause.OPTION_IGNORED
        ),
        _slip(
            "size-not-read", "64 hard examples for each image.", _READ, _saying(sample_size=64), Cause.OPTION_IGNORED
        ),
        _slip(
            "difficult-used",
            "Difficult truths are never left out.",
            _READ,
            _saying(use_difficult_gt=True),
            Cause.OPTION_IGNORED,
        ),
        _slip(
            "corners-always",
            "Locations are distances of corners.",
            _READ,
            _saying(code_type="CORNER"),
            Cause.OPTION_IGNORED,
        ),
        _slip(
            "squares-never",
            "Locations cost smooth L1.",
            _READ,
            _saying(loc_loss_type="SMOOTH_L1"),
            Cause.OPTION_IGNORED,
        ),
        _slip(
            "crossing-used",
            "Priors across the border are matched.",
            _READ,
            _saying(ignore_cross_boundary_bbox=False),
            Cause.OPTION_IGNORED,
        ),
        _slip(
            "outside-trained",
            "Corners outside of the image are trained.",
            _READ,
            _saying(bp_inside=False),
            Cause.OPTION_IGNORED,
        ),
        _slip("agnostic-not-read", "Objects keep their classes.", _READ, _saying(map_object_to_agnostic=False)),
        _slip("mined-negatives-counted", "Divided by matches and negatives.", _SSD, instead(_CountingRows)),
        _slip(
            "images-counted",
            "Divided by the batch size.",
            "every other loss of boxes",
            instead(_CountingImages),
            Cause.NORMALISATION_MODE,
        ),
        _slip(
            "full-of-an-image",
            "FULL counts the priors of one image.",
            "GetNormalizer's arguments",
            instead(_FullOfImages),
            Cause.BATCH_RATIO,
        ),
        _slip(
            "divided-by-nothing",
            "A batch without matches gives NaN.",
            "losses without the floor of 1",
            instead(_DividedByNothing),
        ),
        _slip(
            "one-variance",
            "A prior's first variance divides all four.",
            "classic slip",
            instead(_OneVariance),
            Cause.ONE_BOTTOM,
        ),
        _slip(
            "first-column",
            "Every class has the first one's locations.",
            "an offset left out",
            instead(_FirstColumn),
            Cause.ONE_BOTTOM,
        ),
        _slip(
            "location-weight-missing",
            "The gradient of locations lacks loc_weight.",
            "a factor that is in the loss alone",
            gradient(_without_loc_weight, 0),
            Cause.ONE_BOTTOM,
        ),
        _slip(
            "other-score",
            "The score of the background is compared.",
            "RefineDet's order of scores",
            instead(_OtherScore),
        ),
        _slip(
            "encoded-raw",
            "Targets are distances from priors that were moved since.",
            "synopsys-caffe@977ba36a",
            instead(_EncodedRaw),
        ),
        _slip(
            "matched-raw",
            "Priors that were moved are matched where they were.",
            "synopsys-caffe@977ba36a",
            instead(_MatchedRaw),
        ),
        _slip(
            "classes-beyond-one", "Every object is of class 1.", "an objectness loss in its place", instead(_NoClass)
        ),
    ),
)
