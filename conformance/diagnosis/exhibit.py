"""Exhibit: a failing case laid out for a person: every array that was judged, beside what it should hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.outcome import Outcome, Refusal
from conformance.diagnosis.difference import Difference
from conformance.diagnosis.evidence import LARGEST, Evidence
from conformance.diagnosis.scene import Scene
from conformance.judge.judgement import judge_outcome
from conformance.judge.replay import Aspect
from refimpl.blob import blobs_of_at_most
from refimpl.errors import NetError
from refimpl.layers import REGISTRY
from refimpl.prototxt import parse_net

__all__ = ["Exhibit", "Shown", "exhibit_of", "expected_by"]

_WHAT: dict[Aspect, str] = {
    "forward": "top data",
    "backward": "bottom gradient",
    "parameter": "parameter gradient",
    "total": "net loss",
    "weight": "weight in the top's diff",
    "unasked": "diff that nobody asked for",
    "input": "input data",
}


_TOTAL = "loss = sum over layers and their tops of loss_weight * sum(top)"

_LARGEST_BLOB = 4 * LARGEST
"""Entries of a blob beyond which no net of a report is run: evidence keeps fewer numbers than that."""

_PLACE: dict[Aspect, str] = {"forward": "data", "input": "data", "parameter": "param_diff"}


@dataclass(frozen=True)
class Shown:
    """One array of an answer: float64 ``got``, ``want`` and ``bound`` of one shape, and which elements were rejected.

    ``layer`` and ``layer_type`` name the layer that answers for it; the net's loss is the net's.
    """

    aspect: Aspect
    blob: str
    layer: str | None
    layer_type: str
    got: NDArray[np.float64]
    want: NDArray[np.float64]
    bound: NDArray[np.float64]
    rejected: NDArray[np.bool_]

    @property
    def title(self) -> str:
        """What it is, in words."""
        return _WHAT[self.aspect] if self.aspect == "total" else f"{_WHAT[self.aspect]} {self.blob}"

    @property
    def key(self) -> str:
        """Its place in an outcome: loss, data/BLOB, diff/BLOB or param_diff/LAYER[I]."""
        if self.aspect == "total":
            return "loss"
        return f"{_PLACE.get(self.aspect, 'diff')}/{self.blob}"

    @property
    def wrong(self) -> int:
        """How many elements were rejected."""
        return int(self.rejected.sum())

    @property
    def first(self) -> tuple[int, ...] | None:
        """The coordinates of the first rejected element."""
        places = np.argwhere(self.rejected)
        return tuple(int(i) for i in places[0]) if len(places) else None

    def in_bounds(self) -> NDArray[np.float64]:
        """The error in units of the bound: at most 1 where it passes; infinite where one is no number."""
        with np.errstate(all="ignore"):
            error = np.absolute(self.got - self.want)
            ratio = np.where(error == 0, 0.0, error / self.bound)
        same = (self.got == self.want) | (np.isnan(self.got) & np.isnan(self.want))
        ratio = np.where(np.isfinite(self.got) & np.isfinite(self.want), ratio, np.inf)
        return np.where(same, 0.0, np.where(np.isnan(ratio), np.inf, ratio))


@dataclass(frozen=True)
class Exhibit:
    """``arrays`` are in the order of computation, wrong ones and right ones; none where there was no outcome.

    ``side`` is the setting of the quirks that the answer fits best, ``case`` holds its inputs as the dtype does.
    """

    evidence: Evidence
    case: Case
    side: str
    arrays: tuple[Shown, ...]

    @property
    def wrong(self) -> list[Shown]:
        return [shown for shown in self.arrays if shown.wrong]

    @property
    def formula(self) -> str:
        """What the reference says of the layer, or the net, that answers for the first wrong array."""
        if self.wrong and self.wrong[0].aspect == "total":
            return _TOTAL
        kinds = [shown.layer_type for shown in self.wrong if shown.layer_type in REGISTRY]
        kinds += [shown.layer_type for shown in self.arrays if shown.layer_type.endswith("Loss")]
        return _described(kinds[0]) if kinds else ""


def _described(layer_type: str) -> str:
    lines = (REGISTRY[layer_type].__doc__ or "").replace("`", "").strip().splitlines()
    return "\n".join(line.strip() for line in lines)


def exhibit_of(evidence: Evidence, dialect: str | None = None) -> Exhibit | None:
    """The exhibit of a piece of evidence; None where the report keeps no case, or one that may not be run."""
    if evidence.case is None or _reads_a_disk(evidence.case):
        return None
    with blobs_of_at_most(_LARGEST_BLOB):
        return _exhibit(evidence, evidence.case.rounded(evidence.dtype), dialect)


def _exhibit(evidence: Evidence, case: Case, dialect: str | None) -> Exhibit:
    if not isinstance(evidence.answer, Outcome):
        return Exhibit(evidence, case, "", ())
    judgement = judge_outcome(case, evidence.answer, evidence.dtype, dialect)
    try:
        scene = Scene.of(case, evidence.answer, evidence.dtype, judgement)
    except NetError:
        return Exhibit(evidence, case, judgement.side.name, ())
    wrong = {(d.aspect, d.blob): d for d in scene.differences}
    arrays = [_shown(difference, True) for difference in wrong.values()]
    accepted = (Difference.of(comparison, evidence.dtype) for comparison in scene.right)
    arrays += [_shown(difference, False) for difference in accepted if difference is not None]
    return Exhibit(evidence, case, judgement.side.name, tuple(arrays))


def expected_by(exhibit: Exhibit, dialect: str | None = None) -> Exhibit | Refusal:
    """The exhibit of the reference's own answer, for a case that was not answered in numbers; or its refusal."""
    with blobs_of_at_most(_LARGEST_BLOB):
        answer = ReferenceImplementation(dialect or "documented").run(exhibit.case, exhibit.evidence.dtype)
    if isinstance(answer, Refusal):
        return answer
    return exhibit_of(replace(exhibit.evidence, answer=answer), dialect) or exhibit


def _reads_a_disk(case: Case) -> bool:
    """Whether a layer names a file that the case does not bring along: a report may come from anywhere."""
    try:
        layers = parse_net(case.net).layer
    except NetError:
        return False
    named = {layer.infogain_loss_param.source for layer in layers} - {""}
    return not named <= set(case.files)


def _shown(difference: Difference, rejected: bool) -> Shown:
    d = difference
    layer = None if d.node is None else d.node.name
    marks = d.rejected if rejected else np.zeros(d.got.shape, bool)
    return Shown(d.aspect, d.blob, layer, d.layer_type, d.got, d.want, d.bound, marks)
