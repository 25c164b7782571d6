"""Ratios: an array that is off by one factor, and the counts and weights that could be that factor."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conformance.contract.dtypes import FLOAT, TypeClaim
from conformance.diagnosis.difference import Difference
from conformance.diagnosis.rejection import Rejection
from conformance.diagnosis.sizes import Sizes
from conformance.record.cause import Cause
from conformance.record.grade import Clue, Grade

__all__ = ["ratio_clues"]


def ratio_clues(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    """What a common factor of the whole array may be."""
    factor = difference.ratio()
    if factor is None:
        return
    grade = difference.grade
    named = False
    for cause, value in _candidates(rejection, difference):
        if value != 1 and np.isfinite(value) and difference.is_explained_by(value * difference.want):
            named = True
            # a mode misread would show in both passes
            in_doubt = cause is Cause.NORMALISATION_MODE and rejection.in_one_pass_only(difference.node)
            yield cause, Grade.PATTERN if in_doubt else grade
    if _in_float32(difference):
        yield Cause.FLOAT32, Grade.PARTLY
    elif not named:
        yield Cause.COMMON_FACTOR, Grade.PATTERN if grade is Grade.EXACT else Grade.HINT


def _in_float32(difference: Difference) -> bool:
    """Whether numbers of a wider type are as exact as float32 allows, and no more."""
    if TypeClaim.named(difference.dtype).computed.significand <= FLOAT.significand or not difference.finite:
        return False
    with np.errstate(all="ignore"):
        off = np.absolute(difference.got / difference.want - 1)[difference.rejected]
    return bool((off < 2.0**-20).all())


def _candidates(rejection: Rejection, difference: Difference) -> Iterator[tuple[Cause, float]]:
    yield Cause.SIGN, -1.0
    yield Cause.FACTOR_2, 2.0
    yield Cause.FACTOR_2, 0.5
    if difference.aspect in ("backward", "parameter", "forward"):
        yield from _weights(rejection, difference)
    sizes = Sizes.of(rejection.net, difference.node)
    if sizes is not None and difference.aspect in ("forward", "backward"):
        yield from _counts(sizes, rejection, difference)


def _weights(rejection: Rejection, difference: Difference) -> Iterator[tuple[Cause, float]]:
    node = difference.node
    if node is None:
        return
    if difference.aspect == "backward" and difference.blob in node.tops:
        yield from _weights_behind(rejection, difference)
    held = [np.unique(blob.diff.value) for blob in rejection.net.tops_of(node)]
    for i, values in enumerate(held):
        if values.size != 1 or values[0] in (0.0, 1.0):
            continue
        weight = float(values[0])
        declared = node.loss_weights[i] if i < len(node.loss_weights) else 0.0
        if declared and declared != weight:
            yield Cause.STALE_BUFFER, declared / weight
        if difference.aspect != "forward":
            yield Cause.WEIGHT_MISSING, 1 / weight
        yield Cause.WEIGHT_SQUARED, weight


def _weights_behind(rejection: Rejection, difference: Difference) -> Iterator[tuple[Cause, float]]:
    """The weights of what reads a blob that a layer is in place in: of its gradients only the last is reported."""
    for reader in rejection.net.layers:
        if difference.blob in reader.bottoms and difference.blob not in reader.tops:
            for weight in {w for top in rejection.net.tops_of(reader) for w in np.unique(top.diff.value) if w}:
                yield Cause.WEIGHT_MISSING, 1 / float(weight)


def _counts(sizes: Sizes, rejection: Rejection, difference: Difference) -> Iterator[tuple[Cause, float]]:
    own = sizes.normaliser
    for batch in sorted(_other_batches(rejection) - {sizes.batch}):
        yield Cause.STALE_BUFFER, sizes.batch / batch
        yield Cause.STALE_BUFFER, batch / sizes.batch
    for mode, divisor in sizes.divisors.items():
        if mode == sizes.mode or divisor == own:
            continue
        explicit = difference.node is not None and _asks(difference.node.layer.param.loss_param)
        if not explicit or mode == sizes.default:
            yield Cause.NORMALISATION_MODE, own / divisor
        yield _between(sizes.mode, mode), own / divisor
    everything, counted = sizes.divisors.get("FULL"), sizes.divisors.get("VALID")
    if everything and counted and everything != counted:
        yield Cause.VALID_RATIO, everything / counted
        yield Cause.VALID_RATIO, counted / everything
        yield Cause.VALID_RATIO, own / everything
    if sizes.mode == "VALID":
        yield Cause.VALID_RATIO, own / (own + 1)
    for cause, count in (
        (Cause.BATCH_RATIO, own),
        (Cause.BATCH_RATIO, float(sizes.batch)),
        (Cause.INNER_SIZE, float(sizes.positions)),
        (Cause.INNER_SIZE, float(sizes.entries)),
        (Cause.INNER_SIZE, float(sizes.classes)),
    ):
        yield cause, count
        yield cause, 1 / count


def _between(asked: str, taken: str) -> Cause:
    """What it is to divide by one mode's count where another's is asked for."""
    if {asked, taken} == {"FULL", "VALID"}:
        return Cause.VALID_RATIO
    return Cause.BATCH_RATIO if "NONE" in (asked, taken) else Cause.INNER_SIZE


def _asks(loss_param: object) -> bool:
    return any(loss_param.has(name) for name in ("normalization", "normalize"))  # type: ignore[attr-defined]


def _other_batches(rejection: Rejection) -> set[int]:
    """The batch sizes that the net declares, or is fed in some pass."""
    shapes = [tuple(shape.dim) for layer in rejection.net.param.layer for shape in layer.input_param.shape]
    shapes += [array.shape for one in rejection.case.sequence for array in one.inputs.values()]
    return {shape[0] for shape in shapes if shape and shape[0]}
