"""Propagation: gradients where none is asked for, and none where one is owed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from conformance.diagnosis.difference import Difference, blob_of
from conformance.diagnosis.rejection import Rejection, compared
from conformance.record.cause import Cause
from conformance.record.grade import Clue, Grade
from refimpl.errors import NetError
from refimpl.prototxt import dump_net, parse_net

__all__ = ["bottom_clues", "is_weight_unasked", "mixed_up_clues", "unasked_clues"]


def unasked_clues(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    """What a diff that nobody asked for holds."""
    if is_weight_unasked(difference):
        yield Cause.IMPLICIT_WEIGHT, Grade.EXACT
        return
    held = rejection.case.prefill_diff.get(difference.blob, 0.0)
    if held and bool((difference.got[difference.rejected] == held).all()):
        yield Cause.STALE_BUFFER, Grade.PATTERN
    elif _is_gradient(rejection, difference):
        yield Cause.GRADIENT_UNASKED, Grade.EXACT
    else:
        yield Cause.STALE_BUFFER, Grade.PATTERN
        yield Cause.GRADIENT_UNASKED, Grade.PATTERN


def is_weight_unasked(difference: Difference) -> bool:
    """Whether a top that has no weight holds one."""
    node = difference.node
    own = difference.aspect == "unasked" and node is not None and difference.blob in node.tops
    return own and node is not None and node.type not in ("Input", "Split") and bool((difference.got == 1).all())


def _is_gradient(rejection: Rejection, difference: Difference) -> bool:
    """Whether what nobody asked for is the gradient, as it would be if somebody did."""
    net = parse_net(rejection.case.net)
    layers = tuple(replace(layer, propagate_down=()) for layer in net.layer)
    asked = dump_net(replace(net, layer=layers, force_backward=True))
    case = replace(rejection.case, net=asked, steps=("forward", "backward"))
    try:
        _, comparisons = compared(case, rejection.outcome, rejection.dtype, rejection.dialect)
    except NetError:
        return False
    same = [c for c in comparisons if c.blob == difference.blob and c.aspect == "backward"]
    return bool(same) and difference.is_explained_by(np.asarray(same[0].want.value).reshape(difference.got.shape))


def mixed_up_clues(rejection: Rejection) -> Iterator[Clue]:
    """Whether one bottom of a layer has the gradient that another one is owed."""
    gone = [d.node for d in rejection.differences if d.aspect == "backward" and not np.any(d.got)]
    unasked = {d.blob for d in rejection.differences if d.aspect == "unasked"}
    if any(node is not None and unasked & set(node.bottoms) for node in gone):
        yield Cause.ONE_BOTTOM, Grade.EXACT


def bottom_clues(rejection: Rejection, difference: Difference) -> Iterator[Clue]:
    """Whether another bottom of the same layer is right, and its gradient not by being nothing."""
    node = difference.node
    if node is None or difference.aspect != "backward":
        return
    held = rejection.case.prefill_diff  # where zeros are owed, they are no nothing if something was there before
    others = [
        c
        for c in rejection.right
        if c.aspect == "backward" and c.node is node and blob_of(c) != blob_of(difference)
        if np.any(c.want.value) or held.get(blob_of(c))
    ]
    alone = len({blob_of(d) for d in rejection.differences if d.aspect == "backward" and d.node is node}) == 1
    needed = node.bottom_need_backward
    only_later = sum(needed) == 1 and not needed[0] and not np.any(difference.got)
    if alone and (others or only_later):
        yield Cause.ONE_BOTTOM, Grade.EXACT
