"""Scene: a rejected answer beside the reference's net at the answer's own values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance.contract.case import Case
from conformance.contract.outcome import Outcome
from conformance.diagnosis.difference import Difference
from conformance.judge.judgement import Judgement, judge_outcome
from conformance.judge.replay import Comparison, replay
from conformance.judge.tolerance import rounding_of
from refimpl.backward_plan import Node
from refimpl.dialect import Dialect
from refimpl.errors import NetError
from refimpl.net import Net

__all__ = ["Scene"]


@dataclass(frozen=True)
class Scene:
    """``differences`` are the rejected arrays in the order in which they are computed, ``right`` the accepted ones.

    ``net`` is the reference's, in the state after the last step; ``case`` holds its inputs as the dtype does.
    """

    case: Case
    outcome: Outcome
    dtype: str
    dialect: Dialect
    judgement: Judgement
    net: Net
    differences: tuple[Difference, ...]
    right: tuple[Comparison, ...]

    def in_one_pass_only(self, node: Node | None) -> bool:
        """Whether a layer's top is right and its gradient wrong by as much as anything, or the other way round."""
        wrong = {d.aspect for d in self.differences if d.node is node}
        right = {c.aspect for c in self.right if c.node is node and np.any(c.want.value)}
        return ("forward" in wrong and "backward" in right) or ("backward" in wrong and "forward" in right)

    @classmethod
    def of(cls, case: Case, outcome: Outcome, dtype: str, judgement: Judgement) -> Scene:
        """Raises `NetError` where the reference refuses the case: then there is nothing to compare with."""
        case, dialect = case.rounded(dtype), judgement.side.dialect()
        net, comparisons = compared(case, outcome, dtype, dialect)
        rejected = {(f.kind, f.element.blob) for f in judgement.failures if f.element is not None}
        wrong = [c for c in comparisons if (c.aspect, c.blob) in rejected]
        differences = tuple(d for c in wrong if (d := Difference.of(c, dtype)) is not None and d.rejected.any())
        right = tuple(c for c in comparisons if (c.aspect, c.blob) not in rejected)
        return cls(case, outcome, dtype, dialect, judgement, net, differences, right)

    @classmethod
    def judged(cls, case: Case, outcome: Outcome, dtype: str, dialect: str | None = None) -> Scene:
        """The scene of an answer that has not been judged yet."""
        return cls.of(case, outcome, dtype, judge_outcome(case, outcome, dtype, dialect))


def compared(case: Case, outcome: Outcome, dtype: str, dialect: Dialect) -> tuple[Net, list[Comparison]]:
    """The replay that the judge holds an answer against first."""
    rounding = rounding_of(dtype, subgradient=True)
    try:
        return replay(case, outcome, dialect, rounding)
    except NetError:
        return replay(case, outcome, dialect, rounding, settled=False)
