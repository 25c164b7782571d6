"""What can be wrong in HingeLoss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conformance.mutants.common import COMMON
from conformance.mutants.slips import Alter, At, Blobs, Slip, control, gradient, instead, loss, mutants_of, reading
from conformance.record.cause import Cause
from refimpl.layer import pick_label
from refimpl.layers.hinge_loss import HingeLoss

__all__ = ["MUTANTS"]


class _Formula(HingeLoss):
    """The formula in one place, for mutants to change: margins and their signs, both (N, classes)."""

    def signs(self, bottom: Blobs) -> Any:
        """-1 at the label and 1 elsewhere."""
        labels = bottom[1].integers().ravel()[: bottom[0].shape[0]]
        return 1 - 2 * pick_label(labels, bottom[0].count // bottom[0].shape[0], 1)

    def margins(self, bottom: Blobs) -> Any:
        return np.maximum(0, 1 + self.signs(bottom) * bottom[0].wide.reshape(bottom[0].shape[0], -1))

    def slope(self, margins: Any) -> Any:
        return 2 * margins if self.squared else np.sign(margins)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        margins = self.margins(bottom)
        top[0].data[...] = (margins**2 if self.squared else margins).sum() / bottom[0].shape[0]

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        self.refuse_label_gradient(propagate_down)
        if propagate_down[0]:
            slope = self.slope(self.margins(bottom)) * self.signs(bottom)
            bottom[0].diff[...] = (slope * top[0].wide_diff / bottom[0].shape[0]).reshape(bottom[0].shape)


class _MarginOf2(_Formula):
    def margins(self, bottom: Blobs) -> Any:
        return np.maximum(0, 2 + self.signs(bottom) * bottom[0].wide.reshape(bottom[0].shape[0], -1))


class _NoMargin(_Formula):
    def margins(self, bottom: Blobs) -> Any:
        return np.maximum(0, self.signs(bottom) * bottom[0].wide.reshape(bottom[0].shape[0], -1))


class _NotCut(_Formula):
    def margins(self, bottom: Blobs) -> Any:
        return 1 + self.signs(bottom) * bottom[0].wide.reshape(bottom[0].shape[0], -1)


class _GradientNotCut(_Formula):
    def slope(self, margins: Any) -> Any:
        return 2 * margins if self.squared else np.ones_like(margins)


class _AllLabels(_Formula):
    def signs(self, bottom: Blobs) -> Any:
        return -np.ones((bottom[0].shape[0], bottom[0].count // bottom[0].shape[0]))


class _OnlyLabel(_Formula):
    def margins(self, bottom: Blobs) -> Any:
        return np.where(self.signs(bottom) < 0, super().margins(bottom), 0)


class _OnlyWorst(_Formula):
    def margins(self, bottom: Blobs) -> Any:
        margins = super().margins(bottom)
        return np.where(margins == margins.max(axis=1, keepdims=True), margins, 0)


class _LabelUpright(_Formula):
    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            bottom[0].diff[...] = np.absolute(bottom[0].diff)


class _LabelRead(_Formula):
    """Reads each label at the place it would have in a blob of N rows."""

    def signs(self, bottom: Blobs) -> Any:
        samples = bottom[0].shape[0]
        labels = bottom[1].integers().reshape(samples, -1)[:, 0]
        return 1 - 2 * pick_label(labels, bottom[0].count // samples, 1)


class _ChannelsAreClasses(_Formula):
    """Takes shape[1] for the number of classes and the first of the flattened entries for them."""

    def signs(self, bottom: Blobs) -> Any:
        signs = super().signs(bottom)
        channels = bottom[0].shape[1] if bottom[0].num_axes > 1 else 1
        signs[:, channels:] = 1
        return signs

    def margins(self, bottom: Blobs) -> Any:
        margins = super().margins(bottom)
        margins[:, bottom[0].shape[1] if bottom[0].num_axes > 1 else 1 :] = 0
        return margins


class _Doubling(_Formula):
    """Reads its margins back from the bottom's diff and leaves its gradient there: half of Caffe's quirk."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        self.scratch = self.margins(bottom)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            gradient = self.slope(self.scratch) * self.signs(bottom) * top[0].wide_diff / bottom[0].shape[0]
            bottom[0].diff[...] = gradient.reshape(bottom[0].shape)
            self.scratch = 2 * self.scratch + 1


class _Leaking(_Formula):
    """Leaves its margins in the bottom's diff, twice over."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        bottom[0].diff[...] = 2 * self.margins(bottom).reshape(bottom[0].shape)


class _IgnoreLabel(_Formula):
    def margins(self, bottom: Blobs) -> Any:
        margins = super().margins(bottom)
        if self.param.loss_param.has("ignore_label"):
            margins[bottom[1].integers().ravel()[: len(margins)] == self.param.loss_param.ignore_label] = 0
        return margins


def _at_kink(x: Any, at: At) -> Any:
    signs = _Formula.signs(at.layer, at.bottom).reshape(x.shape)
    met = (at.bottom[0].wide * signs == -1) & (not at.layer.squared)
    return np.where(met, signs * at.top[0].wide_diff / at.batch, x)


def _with_norm(norm: Callable[[HingeLoss], bool]) -> Alter:
    class Wrong(HingeLoss):
        def setup(self, bottom: Blobs, top: Blobs) -> None:
            super().setup(bottom, top)
            self.squared = norm(self)

    return instead(Wrong)


MUTANTS = mutants_of(
    "hinge_loss",
    HingeLoss,
    (
        *COMMON,
        control(instead(_Formula)),
        control(reading(lambda x, at: x), "control-reading"),
        Slip(
            "always-l1", "norm: L2 is not read.", "classic slip", Cause.OPTION_IGNORED, _with_norm(lambda layer: False)
        ),
        Slip(
            "default-l2",
            "The norm is L2 where none is given.",
            "classic slip",
            Cause.OPTION_IGNORED,
            _with_norm(lambda layer: layer.squared or not layer.param.hinge_loss_param.has("norm")),
        ),
        Slip(
            "l2-not-squared",
            "With norm L2 the margins are added up unsquared.",
            "classic slip",
            Cause.OPTION_IGNORED,
            lambda layer: loss(lambda x, at: at.layer.margins(at.bottom).sum() / at.batch)(_Formula),
        ),
        Slip(
            "l2-halved",
            "With norm L2 the loss is half the sum of squares.",
            "the half of EuclideanLoss where HingeLoss has none",
            Cause.FACTOR_2,
            loss(lambda x, at: x / 2 if at.layer.squared else x),
        ),
        Slip(
            "l2-gradient-halved",
            "With norm L2 the 2 of the square's derivative is missing.",
            "the half of EuclideanLoss where HingeLoss has none",
            Cause.FACTOR_2,
            gradient(lambda x, at: x / 2 if at.layer.squared else x),
            dialect="bvlc",
        ),
        Slip(
            "margin-of-2",
            "The margin is 2 and not 1.",
            "classic slip",
            Cause.MARGIN,
            instead(_MarginOf2),
            dialect="bvlc",
        ),
        Slip("margin-of-0", "The margin is 0: a perceptron's loss.", "classic slip", Cause.MARGIN, instead(_NoMargin)),
        Slip("margin-not-cut", "Margins below 0 are added up, too.", "classic slip", Cause.MARGIN, instead(_NotCut)),
        Slip(
            "gradient-not-cut",
            "With norm L1 the gradient goes on where the margin is met.",
            "classic slip",
            Cause.MARGIN,
            instead(_GradientNotCut),
        ),
        Slip(
            "all-labels",
            "Every class is treated as the label's.",
            "the label's sign set for the whole row",
            Cause.SIGN,
            instead(_AllLabels),
        ),
        Slip(
            "only-label", "Only the label's margin is added up.", "classic slip", Cause.UNNAMEABLE, instead(_OnlyLabel)
        ),
        Slip(
            "only-worst",
            "Only the largest margin of a sample counts.",
            "the multi-class hinge loss of other libraries",
            Cause.UNNAMEABLE,
            instead(_OnlyWorst),
        ),
        Slip(
            "label-not-negated",
            "The gradient at the label has the sign of the other classes.",
            "classic slip",
            Cause.SIGN,
            instead(_LabelUpright),
        ),
        Slip(
            "label-from-one",
            "Labels count from 1.",
            "data sets made for languages whose arrays start at 1",
            Cause.LABEL_OFF_BY_ONE,
            reading(lambda y, at: np.maximum(y - 1, 0), 1),
        ),
        Slip(
            "label-rounded",
            "Labels are rounded to the nearest class.",
            "a CTC layer that adds a half before it truncates",
            Cause.TRUNCATION,
            reading(lambda y, at: np.clip(np.rint(y), 0, at.entries - 1), 1),
        ),
        Slip(
            "label-per-row",
            "A label blob with several entries a sample is read by rows and not by its first N entries.",
            "labels in a shape that Caffe does not look at",
            Cause.TRANSPOSED,
            instead(_LabelRead),
            equivalent="Caffe documents one label for each sample: what a blob with more of them means is its accident",
        ),
        Slip(
            "channels-are-classes",
            "Only the first shape[1] of an item's entries are classes.",
            "classes taken from an axis where Caffe flattens",
            Cause.AXIS,
            instead(_ChannelsAreClasses),
        ),
        Slip(
            "divided-by-classes",
            "The loss is divided by the classes as well.",
            "a mean over all entries",
            Cause.INNER_SIZE,
            loss(lambda x, at: x / at.entries),
        ),
        Slip(
            "ignore-label-honoured",
            "Samples of loss_param's ignore_label cost nothing.",
            "loss_param accepted by a layer that has no use for it",
            Cause.OPTION_IGNORED,
            instead(_IgnoreLabel),
        ),
        Slip(
            "scratch-grows",
            "Backward works on margins kept from forward, and changes them.",
            "margins kept where the gradient goes, so that a second backward starts from the first one's result",
            Cause.STALE_BUFFER,
            instead(_Doubling),
        ),
        Slip(
            "scratch-leaks",
            "Forward leaves twice its margins in the bottom's diff, where backward does not come.",
            "scratch in bottom diffs that a Split adds to the gradients of other layers",
            Cause.STALE_BUFFER,
            instead(_Leaking),
        ),
        Slip(
            "kink-of-one",
            "At a margin of exactly 0 the L1 gradient is that of a positive margin.",
            "a comparison with >= where Caffe has >",
            Cause.NONE,
            gradient(_at_kink),
            equivalent="any value between the one-sided derivatives is right where Caffe's choice is not asked for",
        ),
    ),
)
