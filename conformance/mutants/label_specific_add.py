"""What can be wrong in LabelSpecificAdd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.mutants.common import COMMON
from conformance.mutants.slips import REWRITTEN, Blobs, Slip, instead, mutants_of, reading
from conformance.record.cause import Cause
from refimpl.arithmetic import value_of
from refimpl.layers.label_specific_add import LabelSpecificAdd

__all__ = ["MUTANTS"]

Mask = NDArray[np.bool_]


class _Everywhere(LabelSpecificAdd):
    """The bias is added at every label, however low its score."""

    def _moved(self, scores: Any, label: Mask) -> Any:
        return np.where(label, scores + self.bias, scores)


class _EveryClass(LabelSpecificAdd):
    """The bias is added to every class."""

    def _moved(self, scores: Any, label: Mask) -> Any:
        return super()._moved(scores, np.ones_like(label))


class _OtherClasses(LabelSpecificAdd):
    """The bias is added to every class but the label's."""

    def _moved(self, scores: Any, label: Mask) -> Any:
        return super()._moved(scores, ~label)


class _Subtracted(LabelSpecificAdd):
    """The bias is subtracted, as a margin is in the paper."""

    def _moved(self, scores: Any, label: Mask) -> Any:
        above = value_of(scores) > -value_of(self.bias)
        return np.where(label & above, scores - self.bias, scores)


class _AboveZero(LabelSpecificAdd):
    """Positive scores are moved, whatever the bias is."""

    def _moved(self, scores: Any, label: Mask) -> Any:
        return np.where(label & (value_of(scores) > 0), scores + self.bias, scores)


class _AboveBias(LabelSpecificAdd):
    """Scores above the bias are moved, not those above minus the bias."""

    def _moved(self, scores: Any, label: Mask) -> Any:
        return np.where(label & (value_of(scores) > value_of(self.bias)), scores + self.bias, scores)


class _Clipped(LabelSpecificAdd):
    """What lies at most at minus the bias becomes 0."""

    def _moved(self, scores: Any, label: Mask) -> Any:
        return np.where(label, np.maximum(scores + self.bias, 0.0), scores)


class _NextRow(LabelSpecificAdd):
    """A sample has the label of the one after it."""

    def _label(self, bottom: Blobs) -> Mask:
        return np.roll(super()._label(bottom), -1, axis=0)


class _FirstBatch(LabelSpecificAdd):
    """Where the labels are is found out once for a size."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.found: dict[tuple[int, ...], Mask] = {}

    def _label(self, bottom: Blobs) -> Mask:
        return self.found.setdefault(bottom[0].shape, super()._label(bottom))


class _InTest(LabelSpecificAdd):
    """The margin is there in phase TEST too."""

    def _adds(self) -> bool:
        return True


class _TransformTest(LabelSpecificAdd):
    """transform_test is heeded."""

    def _adds(self) -> bool:
        return super()._adds() or bool(self.own["label_specific_add_param"].transform_test)


class _Masked(LabelSpecificAdd):
    """The gradient is 0 at labels whose scores are not moved."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        still = self._label(bottom) & (value_of(bottom[0].wide) <= -value_of(self.bias))
        super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            bottom[0].diff[...] = np.where(still, 0.0, bottom[0].wide_diff)


class _AtLabels(LabelSpecificAdd):
    """Only the label's score has a gradient."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            bottom[0].diff[...] = np.where(self._label(bottom), bottom[0].wide_diff, 0.0)


class _DoubledInPlace(LabelSpecificAdd):
    """Where top and bottom are one, the gradient is added to itself."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        super().backward(top, propagate_down, bottom)
        if propagate_down[0] and top[0] is bottom[0]:
            bottom[0].diff[...] = 2 * bottom[0].wide_diff


class _NotInPlace(LabelSpecificAdd):
    """Where top and bottom are one, the top is not written."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        before = bottom[0].data.copy()
        super().forward(bottom, top)
        if top[0] is bottom[0]:
            top[0].data[...] = before


class _Constant(LabelSpecificAdd):
    """bias_base is not read."""

    def _anneal(self, one: Any) -> None:
        """The bias stays."""


class _Unclamped(LabelSpecificAdd):
    def _limits(self) -> tuple[float, float]:
        return -np.inf, np.inf


class _NoLeast(LabelSpecificAdd):
    def _limits(self) -> tuple[float, float]:
        return -np.inf, super()._limits()[1]


class _FromZero(LabelSpecificAdd):
    """The count of passes begins with 0, whatever iteration says."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.iteration = 0


class _Stopped(LabelSpecificAdd):
    """The bias is annealed to where iteration says, and stays there."""

    def _anneal(self, one: Any) -> None:
        super()._anneal(one)
        self.iteration -= 1


class _OneAhead(LabelSpecificAdd):
    """A pass is counted before it is made."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.iteration += 1


class _WithOne(LabelSpecificAdd):
    """The 1 that the power begins with is not taken off again."""

    def _grown(self, one: Any) -> Any:
        return super()._grown(one) + 1


class _NoPower(LabelSpecificAdd):
    def _grown(self, one: Any) -> Any:
        return one * self.own["label_specific_add_param"].bias_gamma * self.iteration


def _rounded(x: Any, at: Any) -> Any:
    return np.trunc(x + np.copysign(0.5, x))


_OF_WEIGHTS = ("top-weighted", "weight-of-setup", "zero-weight-counts-as-absent")
"""Common slips about a layer's own weight, which a head has not."""

MUTANTS = mutants_of(
    "label_specific_add",
    LabelSpecificAdd,
    (
        *(slip for slip in COMMON if slip.name not in _OF_WEIGHTS),
        REWRITTEN,
        Slip(
            "bias-everywhere",
            "The bias is added at every label, whether its score is above minus the bias or not.",
            "AM-softmax as the paper has it: the score's sign is not asked for",
            Cause.MARGIN,
            instead(_Everywhere),
        ),
        Slip(
            "every-class",
            "The bias is added to every class.",
            "a margin that a softmax then does not see",
            Cause.MARGIN,
            instead(_EveryClass),
        ),
        Slip(
            "other-classes",
            "The bias is added to every class but the label's.",
            "a margin written as a raise of the others",
            Cause.MARGIN,
            instead(_OtherClasses),
        ),
        Slip(
            "bias-subtracted",
            "The bias is subtracted.",
            "ports that take a positive margin, as CosFace writes it",
            Cause.MARGIN,
            instead(_Subtracted),
        ),
        Slip(
            "jump-at-zero",
            "Scores above 0 are moved, whatever the bias is.",
            "a condition taken over from angular margins",
            Cause.MARGIN,
            instead(_AboveZero),
        ),
        Slip(
            "jump-at-the-bias",
            "Scores above the bias are moved, not those above minus the bias.",
            "classic slip",
            Cause.MARGIN,
            instead(_AboveBias),
        ),
        Slip(
            "clipped-at-zero",
            "A label's score that the bias would take below 0 becomes 0.",
            "the condition read as a clamp",
            Cause.MARGIN,
            instead(_Clipped),
        ),
        Slip(
            "label-of-the-next-row",
            "A sample is moved at the label of the one after it.",
            "an index that is advanced before it is used",
            Cause.UNNAMEABLE,
            instead(_NextRow),
        ),
        Slip(
            "labels-of-the-first-batch",
            "Where the labels are is found out once for a size.",
            "a mask that is made in reshape",
            Cause.STALE_BUFFER,
            instead(_FirstBatch),
        ),
        Slip(
            "label-rounded",
            "Labels are rounded and not cut off.",
            "frameworks whose conversion to integers rounds",
            Cause.TRUNCATION,
            reading(_rounded, 1),
        ),
        Slip(
            "margin-in-test",
            "The margin is there in phase TEST too.",
            "validation losses that hold the margin",
            Cause.UNNAMEABLE,
            instead(_InTest),
        ),
        Slip(
            "transform-test-heeded",
            "transform_test puts the margin into phase TEST.",
            "what the option's name says and the fork's code does not do",
            Cause.UNNAMEABLE,
            instead(_TransformTest),
        ),
        Slip(
            "gradient-masked",
            "A label whose score is not moved has no gradient.",
            "a gradient that takes the jump for a ReLU",
            Cause.MARGIN,
            instead(_Masked),
        ),
        Slip(
            "gradient-at-labels",
            "Only labels have a gradient.",
            "a backward pass that goes over the samples, as the forward pass does",
            Cause.GRADIENT_MISSING,
            instead(_AtLabels),
        ),
        Slip(
            "doubled-in-place",
            "In place the gradient is doubled.",
            "backward passes that add to the bottom's diff",
            Cause.FACTOR_2,
            instead(_DoubledInPlace),
        ),
        Slip(
            "lost-in-place",
            "In place the scores stay what they were.",
            "tops that are views of a buffer of the layer's own",
            Cause.OPTION_IGNORED,
            instead(_NotInPlace),
        ),
        Slip(
            "never-annealed",
            "bias_base changes nothing.",
            "ports that leave annealing to the solver",
            Cause.OPTION_IGNORED,
            instead(_Constant),
        ),
        Slip(
            "annealed-once",
            "The annealed bias is that of the first pass in every pass.",
            "annealing in setup",
            Cause.STALE_BUFFER,
            instead(_Stopped),
        ),
        Slip(
            "annealed-from-zero",
            "The count of passes begins with 0, whatever iteration says.",
            "training that is resumed from a snapshot",
            Cause.OPTION_IGNORED,
            instead(_FromZero),
        ),
        Slip(
            "annealed-one-ahead",
            "A pass is counted before it is made.",
            "++iteration for iteration++",
            Cause.UNNAMEABLE,
            instead(_OneAhead),
        ),
        Slip(
            "annealed-without-limits",
            "bias_min and bias_max are not read.",
            "the formula without its guards",
            Cause.OPTION_IGNORED,
            instead(_Unclamped),
        ),
        Slip(
            "annealed-without-least",
            "bias_min is not read.",
            "a clamp of one side",
            Cause.OPTION_IGNORED,
            instead(_NoLeast),
        ),
        Slip(
            "annealed-by-one-more",
            "The annealed bias is larger by 1.",
            "a reading of the formula without its last term",
            Cause.MARGIN,
            instead(_WithOne),
        ),
        Slip(
            "annealed-without-power",
            "bias_power is not read.",
            "linear annealing only",
            Cause.OPTION_IGNORED,
            instead(_NoPower),
        ),
    ),
)
