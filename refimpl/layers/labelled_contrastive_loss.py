"""ContrastiveLoss with a label for either of a pair instead of their similarity (not in BVLC Caffe)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refimpl.blob import Blob
from refimpl.form import Form
from refimpl.layers.contrastive_loss import ContrastiveLoss, per_pair

__all__ = ["LabelledContrastiveLoss"]


class LabelledContrastiveLoss(ContrastiveLoss):
    """ContrastiveLoss whose pairs are similar where the truncated labels of bottoms 2 and 3 are equal.

    Loss and gradients are BVLC's, with its offset of 1e-4 in the gradient of a dissimilar pair (a departure), and so
    are the buffers that are sized at set-up. Bottom 3 may have any shape with at least N entries.
    """

    exact_bottoms = 4
    forms = (Form("happynear", "happynear/caffe-windows@967eedf2 src/caffe/layers/contrastive_loss_layer.cpp:48,79"),)

    def similar(self, bottom: Sequence[Blob]) -> NDArray[np.bool_]:
        return np.asarray(per_pair(bottom, 2) == per_pair(bottom, 3))

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index < 2

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        return [*super().kinks(bottom), None]
