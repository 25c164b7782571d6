"""Mining: which priors of MultiBoxLoss that are matched with nothing count as background all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, magnitude, value_of
from refimpl.blob import Blob
from refimpl.layer import pick_label
from refimpl.layers.boxes import suppressed
from refimpl.layers.multibox_matching import F, Image, Matching
from refimpl.layers.sigmoid_cross_entropy_loss import cross_entropy
from refimpl.layers.softmax import softmax
from refimpl.layers.softmax_with_loss import FLOOR

__all__ = ["Mining"]


class Mining(Matching):
    """The priors with the largest losses, in float32: as many as there are matches times neg_pos_ratio, or the hardest
    of all."""

    def _mine(self, bottom: Sequence[Blob], images: dict[int, Image]) -> None:
        """Pick the negatives of each image; of HARD_EXAMPLE, drop the matches that are not hard."""
        given, hard = self.given, self.given.mining_type == "HARD_EXAMPLE"
        scores = value_of(bottom[1].wide).reshape(bottom[0].num, self.priors, -1)
        for i, image in images.items():
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
                image.room = self._room(losses, eligible, chosen, picked)
                image.negatives += [m for m in range(self.priors) if found[m] == -1 and m in picked]
                if hard:
                    image.matches[label] = [j if j < 0 or m in picked else -1 for m, j in enumerate(found)]

    def _room(
        self, losses: NDArray[Any], eligible: Sequence[int], chosen: Sequence[int], picked: set[int]
    ) -> NDArray[Any]:
        """How far each loss is from that of the next one on the other side of the choice; with suppression, of any."""
        room = np.full(losses.shape, np.inf)
        if self.given.has("nms_param") and self.given.nms_param.nms_threshold > 0:
            room[eligible] = np.min(np.diff(np.sort(losses[eligible])), initial=np.inf) / 2
            return room
        left = [m for m in chosen if m not in picked]
        if picked and left:
            inside, outside = list(picked), losses[left].max()
            room[left] = losses[inside].min() - losses[left]
            room[inside] = losses[inside] - outside
        return room

    def _may_be_object(self, bottom: Sequence[Blob], image: int, prior: int) -> bool:
        if len(bottom) < 5:
            return True
        scores = value_of(bottom[4].wide).reshape(bottom[0].num, -1)
        return bool(scores[image, 2 * prior + 1] >= self.given.objectness_score)

    def _hardness(self, image: Image, scores: NDArray[Any]) -> NDArray[Any]:
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

    def _farness(self, i: int, image: Image) -> NDArray[Any]:
        """Each matched prior's loss of its box, in float32."""
        found = np.zeros(self.priors, F)
        for label, prior, truth in image.positives():
            pred, target, _, _ = self._encoded(self.prior_boxes, i, label, prior, image.boxes[truth])
            found[prior] = F(exact_sum(self._of_boxes(pred.astype(np.float64) - target)))
        return found

    def _of_boxes(self, d: Any) -> Any:
        size = magnitude(d)
        squares = 0.5 * d * d
        return squares if self.given.loc_loss_type == "L2" else np.where(size < 1.0, squares, size - 0.5)
