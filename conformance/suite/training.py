"""Training: twenty steps of a tiny net, each with a batch and parameters of its own.

The parameters are drawn and not updated, so that an error in a gradient does not find its way into the next step, and
every implementation is given the same net at every step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.losses import LOSSES, Loss
from conformance.suite.judged import single
from conformance.suite.trunk import Trunk, batch

__all__ = ["STEPS", "checks"]

FAMILY = "training"
STEPS = 20
EPOCH = 7
"""Steps of an epoch; its last batch is a smaller one."""


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    for stem, loss in losses.items():
        yield single(
            f"{FAMILY}/{stem}/twenty-steps",
            stem,
            [f"{stem}.contract-passes", "net.passes"],
            _case(loss),
            layer_types=(loss.type,),
        )


def _case(loss: Loss) -> Case:
    trunk = Trunk(FAMILY, loss.plain)
    rng = np.random.default_rng(20)
    first, *others = (_step(trunk, rng, i) for i in range(STEPS))
    passes = tuple(trunk.then(values, params=params) for values, params in others)
    return trunk.case("twenty-steps", first[0], params=first[1], passes=passes)


def _step(trunk: Trunk, rng: np.random.Generator, index: int) -> tuple[dict[str, Array], Mapping[str, Any]]:
    """A batch, and weights that mix neighbouring entries: what is a probability stays about one."""
    variant = trunk.variant
    items = variant.items
    fed = variant.batch(items // 2) if index % EPOCH == EPOCH - 1 else variant
    params = {}
    for name in variant.learned:
        width = variant.shapes[name][-1]
        share = rng.integers(4, 13, (width, 1)) / 16
        weights = np.eye(width) * share + np.roll(np.eye(width), int(rng.integers(1, width)), axis=1) * (1 - share)
        params[name] = (weights, rng.integers(0, 17, width) / 256)
    return batch(fed, int(rng.integers(1 << 16))), params
