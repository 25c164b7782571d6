"""SoftmaxWithLoss with a weight for each class, as SegNet has it (not in BVLC Caffe)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layers.normalisation import Normalisation
from refimpl.layers.softmax_with_loss import SoftmaxWithLoss
from refimpl.messages import LossParameter
from refimpl.schema import MessageClass, boolean, floating, repeated

__all__ = ["ClassWeightedSoftmaxWithLoss"]


class WeightingLossParameter(LossParameter):
    weight_by_label_freqs: bool = boolean(False)
    class_weighting: tuple[float, ...] = repeated(floating())


class ClassWeightedSoftmaxWithLoss(SoftmaxWithLoss):
    """``L = -sum c_label log(max(p_label, FLT_MIN)) / Z`` over the counted positions, p the softmax.

    c is ``loss_param.class_weighting``, one for each channel, with ``loss_param.weight_by_label_freqs``; without, 1.
    ``dL/dx_i = w c_label (p_i - [i = label]) / Z``. Z counts positions, whatever they weigh, as in `SoftmaxWithLoss`.
    """

    messages: ClassVar[Mapping[str, MessageClass]] = {"loss_param": WeightingLossParameter}
    forms = (
        Form(
            "segnet",
            "foss-for-synopsys-dwc-arc-processors/synopsys-caffe@977ba36a src/caffe/layers/softmax_loss_layer.cpp:44",
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        param = self.own["loss_param"]
        self.normalisation = Normalisation.of(param, "VALID")
        self.class_weights = np.array(param.class_weighting) if param.weight_by_label_freqs else None
        if self.class_weights is not None and len(self.class_weights) != bottom[0].channels:
            raise LayerError(
                f"{len(self.class_weights)} class_weighting for {bottom[0].channels} classes", "give one for each class"
            )

    def weighed(self, each: Any, labels: NDArray[np.int64], bottom: Sequence[Blob]) -> Any:
        return each if self.class_weights is None else weighted(each, self.class_weights[labels])
