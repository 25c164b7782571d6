"""Cause: what a failing implementation most likely got wrong; the vocabulary that mutants and diagnoses share."""

from __future__ import annotations

from enum import Enum

__all__ = ["Cause"]


class Cause(str, Enum):
    """One way to be wrong, told apart by how the numbers differ; ``sentence`` says it to a person."""

    ACCEPTS = "accepts"
    ACCUMULATES = "accumulates"
    AT_SCALE = "at-scale"
    AXIS = "axis"
    BATCH_RATIO = "ratio-1/N"
    COMMON_FACTOR = "common-factor"
    FACTOR_2 = "factor-2"
    FAN_OUT = "fan-out"
    FLOAT32 = "float32-accumulation"
    GRADIENT_MISSING = "gradient-missing"
    GRADIENT_UNASKED = "gradient-unasked"
    IGNORED_LABEL = "ignored-label-counted"
    IMPLICIT_WEIGHT = "implicit-weight"
    INNER_SIZE = "inner-size"
    INPUT_CHANGED = "input-changed"
    LABEL_OFF_BY_ONE = "label-off-by-one"
    LAST_SAMPLE = "last-sample"
    LOG_FLOOR = "log-floor"
    MARGIN = "margin"
    NONE = "none"
    NORMALISATION_MODE = "normalisation-mode"
    ONE_BOTTOM = "one-bottom"
    ONE_ELEMENT = "one-element"
    OPTION_IGNORED = "option-ignored"
    OVERFLOW = "overflow"
    RANDOM = "not-deterministic"
    REFUSES = "refuses"
    SHAPE = "shape"
    SIGN = "sign"
    SECOND_TOP = "second-top"
    SPECIAL_VALUES = "special-values"
    STALE_BUFFER = "stale-buffer"
    TOTAL = "total"
    TRANSPOSED = "transposed"
    TRUNCATION = "truncation"
    UNNAMEABLE = "unnameable"
    VALID_RATIO = "ratio-N/valid"
    WEIGHT_MISSING = "loss-weight-missing"
    WEIGHT_SQUARED = "loss-weight-squared"
    WEIGHTS_ORDER = "weights-order"
    WRONG_LAYERS = "wrong-layers"

    @property
    def sentence(self) -> str:
        """What is wrong, in words."""
        return _SENTENCES[self]


_SENTENCES = {
    Cause.ACCEPTS: "what Caffe refuses is computed",
    Cause.ACCUMULATES: "a gradient is added to what was there, or replaces what it should be added to",
    Cause.AT_SCALE: "right in small arrays, wrong in large ones",
    Cause.AXIS: "the classes are taken along another axis",
    Cause.BATCH_RATIO: "not divided by the normaliser or the batch size, or divided once too often",
    Cause.COMMON_FACTOR: "off by one constant factor that no count explains",
    Cause.FACTOR_2: "off by a factor of 2",
    Cause.FAN_OUT: "the gradients of a blob's several readers do not add up",
    Cause.FLOAT32: "no more exact than float32 where the net is float64",
    Cause.GRADIENT_MISSING: "no gradient, or only zeros, where one is owed",
    Cause.GRADIENT_UNASKED: "a gradient where none is asked for",
    Cause.IGNORED_LABEL: "wrong where a label is the ignored one",
    Cause.IMPLICIT_WEIGHT: "wrong where no loss_weight is given",
    Cause.INNER_SIZE: "off by a factor of the number of entries or positions of an item",
    Cause.INPUT_CHANGED: "an input holds something else after the passes",
    Cause.LABEL_OFF_BY_ONE: "the class beside the label is taken for it",
    Cause.LAST_SAMPLE: "wrong in the last item of the batch only",
    Cause.LOG_FLOOR: "wrong where a probability is at or below the floor of the logarithm",
    Cause.MARGIN: "wrong where the margin decides",
    Cause.NONE: "nothing is wrong",
    Cause.NORMALISATION_MODE: "divided by what another normalisation mode divides by",
    Cause.ONE_BOTTOM: "right for one bottom, wrong for the other",
    Cause.ONE_ELEMENT: "wrong in one element of an array only",
    Cause.OPTION_IGNORED: "right for the default of an option, wrong for its other values, or the other way round",
    Cause.OVERFLOW: "infinite, NaN or flushed to 0 for large scores, right for small ones",
    Cause.RANDOM: "differs from run to run",
    Cause.REFUSES: "refuses, or dies on, what Caffe computes",
    Cause.SHAPE: "the right numbers in an array of another shape",
    Cause.SIGN: "of the opposite sign",
    Cause.SECOND_TOP: "wrong where a second top has a weight or is read",
    Cause.SPECIAL_VALUES: "NaN or an infinity spreads too far, or not at all",
    Cause.STALE_BUFFER: "something from an earlier pass, batch or net shows",
    Cause.TOTAL: "tops and gradients are right, their weighted sum is not",
    Cause.TRANSPOSED: "the right numbers at transposed places",
    Cause.TRUNCATION: "wrong where a label, target or similarity is no whole number",
    Cause.UNNAMEABLE: "another formula",
    Cause.VALID_RATIO: "off by the ratio of all positions to those that count",
    Cause.WEIGHT_MISSING: "off by a factor of the loss_weight",
    Cause.WEIGHT_SQUARED: "the loss_weight is applied twice",
    Cause.WEIGHTS_ORDER: "the loss_weights of several tops are mixed up",
    Cause.WRONG_LAYERS: "the net holds other layers than its phase, level and stages choose",
}
