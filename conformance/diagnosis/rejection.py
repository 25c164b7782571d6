"""Rejection: a rejected answer beside the reference's net at the answer's own values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance.contract.case import Case
from conformance.contract.outcome import Outcome
from conformance.diagnosis.difference import Difference
from conformance.judge.judgement import Judgement
from conformance.judge.replay import Comparison, replay
from conformance.judge.tolerance import rounding_of
from refimpl.backward_plan import Node
from refimpl.dialect import Dialect
from refimpl.errors import NetError
from refimpl.net import Net

__all__ = ["Rejection", "compared"]


@dataclass(frozen=True)
class Rejection:
    """``differences`` are the rejected arrays in the order in which they are computed, without those that are off by a
    few roundings, ``right`` the accepted ones.

    ``net`` is the reference's, in the state after the last step; ``case`` holds its inputs as the dtype does.
    """

    case: Case
    outcome: Outcome
    dtype: str
    dialect: Dialect
    net: Net
    differences: tuple[Difference, ...]
    right: tuple[Comparison, ...]

    def in_one_pass_only(self, node: Node | None) -> bool:
        """Whether a layer's top is right and its gradient wrong by as much as anything, or the other way round."""
        wrong = {d.aspect for d in self.differences if d.node is node}
        right = {c.aspect for c in self.right if c.node is node and np.any(c.want.value)}
        return ("forward" in wrong and "backward" in right) or ("backward" in wrong and "forward" in right)

    @classmethod
    def of(cls, case: Case, outcome: Outcome, dtype: str, judgement: Judgement) -> Rejection | None:
        """What the judge made of an answer; None where the reference refuses the case, so that there is nothing to
        compare with."""
        if judgement.net is None:
            return None
        rejected = {(f.kind, f.element.blob) for f in judgement.failures if f.element is not None}
        differences: list[Difference] = []
        right: list[Comparison] = []
        for versions in zip(*judgement.versions, strict=True):
            if (versions[0].aspect, versions[0].blob) not in rejected:
                right.append(versions[0])
            elif (found := Difference.of(versions, dtype)) is not None and found.rejected.any() and not found.is_noise:
                differences.append(found)
        dialect = judgement.side.dialect()
        return cls(case.rounded(dtype), outcome, dtype, dialect, judgement.net, tuple(differences), tuple(right))


def compared(case: Case, outcome: Outcome, dtype: str, dialect: Dialect) -> tuple[Net, list[Comparison]]:
    """An answer beside what the reference makes of a case that is not quite the one that was answered.

    Raises `NetError` where the reference refuses that case.
    """
    rounding = rounding_of(dtype, subgradient=True)
    try:
        return replay(case, outcome, dialect, rounding)
    except NetError:
        return replay(case, outcome, dialect, rounding, settled=False)
