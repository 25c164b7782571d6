"""What can be wrong in the total: which tops count, and how much of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.contract.dtypes import FLOAT
from conformance.mutants.mutant import Mutant
from conformance.mutants.net.bookkeeping import Term, is_loss, totalling
from conformance.record.cause import Cause
from refimpl.net import AUTOMATIC_TOP, Net

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"


def _consumed(term: Term) -> bool:
    return any(id in node.bottom_ids for node in term.net.layers for id in term.node.top_ids[:1])


def _entry(term: Term) -> float:
    return float((term.blob.wide * term.blob.wide_diff).ravel()[0])


class _OfThePassBefore(Net):
    total: Any = 0.0

    def forward(self) -> Any:
        before, self.total = self.total, super().forward()
        return before


class _AddedUpOverPasses(Net):
    so_far = 0.0

    def forward(self) -> Any:
        self.so_far += super().forward()
        return self.so_far


class _SilentInTest(Net):
    def forward(self) -> Any:
        total = super().forward()
        return 0.0 if self.phase == "TEST" else total


MUTANTS = (
    Mutant(
        "net/control",
        "Nothing: the total, the weights and the plan are put together anew as in the mutants beside it.",
        "a right implementation",
        Cause.NONE,
        net=totalling(lambda terms: sum(term.value for term in terms)),
        equivalent="a control: nothing is wrong",
    ),
    Mutant(
        "net/total-unweighted",
        "The net's loss adds up the tops without their weights.",
        CLASSIC,
        Cause.WEIGHT_MISSING,
        net=totalling(lambda terms: sum(float(t.blob.wide.sum()) for t in terms)),
    ),
    Mutant(
        "net/total-magnitudes",
        "The net's loss adds up its terms' magnitudes.",
        "sums by asum on a GPU",
        Cause.TOTAL,
        net=totalling(lambda terms: sum(abs(t.value) for t in terms)),
    ),
    Mutant(
        "net/total-of-last-loss",
        "Only the last weighted top counts.",
        "a display that shows one loss of several",
        Cause.TOTAL,
        net=totalling(lambda terms: terms[-1].value if terms else 0.0),
        dialect="bvlc",
    ),
    Mutant(
        "net/total-of-first-loss",
        "Only the first weighted top counts.",
        CLASSIC,
        Cause.TOTAL,
        net=totalling(lambda terms: terms[0].value if terms else 0.0),
    ),
    Mutant(
        "net/total-averaged",
        "The net's loss is the mean of its losses.",
        CLASSIC,
        Cause.TOTAL,
        net=totalling(lambda terms: sum(t.value for t in terms) / max(1, len(terms))),
    ),
    Mutant(
        "net/total-of-outputs",
        "Only tops that nothing consumes count.",
        "a total taken from the net's outputs",
        Cause.TOTAL,
        net=totalling(lambda terms: sum(t.value for t in terms if not _consumed(t))),
    ),
    Mutant(
        "net/total-of-loss-layers",
        "Weighted tops of layers that are no loss layers do not count.",
        "a total that looks for types ending in Loss",
        Cause.TOTAL,
        net=totalling(lambda terms: sum(t.value for t in terms if is_loss(t.node.type))),
        dialect="bvlc",
    ),
    Mutant(
        "net/total-of-first-tops",
        "Only the first top of a layer counts.",
        CLASSIC,
        Cause.SECOND_TOP,
        net=totalling(lambda terms: sum(t.value for t in terms if t.blob is t.net.tops_of(t.node)[0])),
    ),
    Mutant(
        "net/total-of-first-entries",
        "Only the first entry of a weighted top counts.",
        "cpu_data()[0] where a top is thought to be a scalar",
        Cause.INNER_SIZE,
        net=totalling(lambda terms: sum(map(_entry, terms))),
    ),
    Mutant(
        "net/total-of-means",
        "A top that is no scalar counts with the mean of its entries.",
        CLASSIC,
        Cause.INNER_SIZE,
        net=totalling(lambda terms: sum(t.value / max(1, t.blob.count) for t in terms)),
    ),
    Mutant(
        "net/total-without-negative",
        "Losses with a negative weight do not count.",
        "a test for weight > 0 where Caffe tests for != 0",
        Cause.TOTAL,
        net=totalling(lambda terms: sum(t.value for t in terms if t.weight > 0)),
    ),
    Mutant(
        "net/total-without-nameless",
        "A loss layer without a top does not count.",
        "a total taken from the named blobs",
        Cause.TOTAL,
        net=totalling(lambda terms: sum(t.value for t in terms if t.name != AUTOMATIC_TOP)),
    ),
    Mutant(
        "net/total-in-float32",
        "The total is added up in float32 in a float64 net.",
        "an accumulator of type float",
        Cause.FLOAT32,
        net=totalling(lambda terms: float(np.sum(np.array([t.value for t in terms], FLOAT.numpy)))),
    ),
    Mutant(
        "net/total-of-pass-before",
        "The net's loss is one pass late: 0 after the first forward.",
        "a display that is one iteration late",
        Cause.STALE_BUFFER,
        net=_OfThePassBefore,
    ),
    Mutant(
        "net/total-added-over-passes",
        "The net's loss adds up from forward to forward.",
        "a counter that is not reset",
        Cause.STALE_BUFFER,
        net=_AddedUpOverPasses,
    ),
    Mutant(
        "net/total-silent-in-test",
        "In phase TEST the loss is 0.",
        "the belief that a test net has no loss",
        Cause.TOTAL,
        net=_SilentInTest,
    ),
)
