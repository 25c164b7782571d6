"""SmoothedSoftmaxLoss: the cross entropy of a softmax with label smoothing and a z-loss, as large models are trained
with it (docs/guides/kernels.md).

    lossconf run torch:MODULE:FUNCTION --as SmoothedSoftmaxLoss --loss smoothed_softmax_loss.py
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.roles import Labels, Scores
from refimpl.arithmetic import exact_sum, value_of, weighted
from refimpl.layer import pick_label
from refimpl.layers.logits_loss import LogitsLoss
from refimpl.layers.softmax import log_softmax, softmax
from refimpl.schema import Message, MessageClass, floating

__all__ = ["LOSS"]


class Parameter(Message):
    label_smoothing: float = floating(0.0)
    z_loss: float = floating(0.0)


class SmoothedSoftmaxLoss(LogitsLoss):
    """``L = sum (-(1 - e) log p_label - e mean_k log p_k + z lse^2) / Z`` over the counted positions, p the softmax of
    K classes, lse the logarithm of the sum of the logits' exponentials, e ``label_smoothing``, z ``z_loss``.

    Shapes as in `LogitsLoss`, one top. ``dL/dx_i = w (p_i (1 + 2 z lse) - (1 - e) [i = label] - e / K) / Z``, w the
    top's diff. ``loss_param``: ignore_label. No kinks, and no floor below a probability.
    """

    type = "SmoothedSoftmaxLoss"
    messages: ClassVar[Mapping[str, MessageClass]] = {"smoothed_softmax_loss_param": Parameter}
    max_tops = 1

    def softmax_axis(self):
        return self.param.softmax_param.axis

    def forward(self, bottom, top):
        labels, counted = self.read_labels(bottom)
        smoothing, z, classes = self._options(bottom)
        logarithms = log_softmax(bottom[0].wide, self.axis)
        of_label = np.squeeze(np.take_along_axis(logarithms, self.along_classes(labels), self.axis), self.axis)
        losses = -(1.0 - smoothing) * of_label + z * self._log_sum(bottom, logarithms) ** 2
        if smoothing:  # 0 times the infinite logarithm of a masked class is no number
            losses = losses - smoothing / classes * exact_sum(logarithms, self.axis)
        top[0].data[...] = exact_sum(np.where(counted, losses, 0.0)) / self.divisor(counted)

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_gradient(propagate_down)
        if not propagate_down[0]:
            return
        labels, counted = self.read_labels(bottom)
        smoothing, z, classes = self._options(bottom)
        x = bottom[0].wide
        log_sum = self.along_classes(self._log_sum(bottom, log_softmax(x, self.axis)))
        label = pick_label(labels, classes, self.axis)
        slope = softmax(x, self.axis) * (1.0 + 2.0 * z * log_sum) - (1.0 - smoothing) * label - smoothing / classes
        scaled = weighted(slope, top[0].wide_diff / self.divisor(counted))
        bottom[0].diff[...] = np.where(self.along_classes(counted), scaled, 0.0)

    def _options(self, bottom):
        own = self.own["smoothed_softmax_loss_param"]
        return own.label_smoothing, own.z_loss, bottom[0].shape[self.axis]

    def _log_sum(self, bottom, logarithms):
        """lse, from the largest score and the logarithm of its probability: neither loses digits."""
        x = bottom[0].wide
        largest = np.expand_dims(np.argmax(value_of(x), self.axis), self.axis)
        return np.squeeze(
            np.take_along_axis(x, largest, self.axis) - np.take_along_axis(logarithms, largest, self.axis), self.axis
        )


_SMOOTHING, _Z, _IGNORE = (
    "smoothed_softmax_loss_param.label_smoothing",
    "smoothed_softmax_loss_param.z_loss",
    "loss_param.ignore_label",
)
LOSS = Loss(
    layer=SmoothedSoftmaxLoss,
    bottoms=(Bottom("x", Scores(axis="softmax_param.axis"), learns=True), Bottom("y", Labels(of="x"))),
    forward="The top of SmoothedSoftmaxLoss is the mean over the counted positions of the cross entropy of the softmax "
    "with (1 - label_smoothing) at the label and label_smoothing shared by all classes, and of z_loss times the square "
    "of the logarithm of the sum of the exponentials.",
    backward="SmoothedSoftmaxLoss's gradient at a counted position is the softmax times (1 + 2 z_loss lse), less (1 - "
    "label_smoothing) at the label and label_smoothing / classes everywhere, times the top's diff over the count.",
    options={
        "softmax_param.axis": (1,),
        _SMOOTHING: (0.0, 0.1, 0.5),
        _Z: (0.0, 0.25, 1e-4),
        _IGNORE: (None, 255, -1),
    },
    published=(
        Published("plain", (4, 5)),
        Published("smoothed", (4, 5), {_SMOOTHING: 0.1}),
        Published("z", (4, 5), {_Z: 0.25}),
        Published("both", (2, 3, 2, 2), {_SMOOTHING: 0.1, _Z: 1e-4}),
        Published("ignoring", (5, 3), {_SMOOTHING: 0.5, _IGNORE: 255}, (0, -1)),
    ),
    traits=frozenset({"batch-mean", "saturates"}),
)
