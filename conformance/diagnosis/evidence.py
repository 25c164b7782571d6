"""Evidence: a case that failed, what was answered, and what that points to; enough to look at it again later."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case, array_to_json
from conformance.contract.dtypes import ONE_OF, TYPES, Dtype
from conformance.contract.outcome import Outcome, Refusal, outcome_from_json
from conformance.record.cause import Cause
from conformance.record.writer import plain

__all__ = ["LARGEST", "Evidence"]

LARGEST = 4096
"""Numbers of case and answer together that a report keeps; of what is larger it keeps the causes."""

_LONGEST_NET = 20_000


@dataclass(frozen=True)
class Evidence:
    """``check`` and ``dtype`` are those of the verdicts it belongs to.

    ``causes`` maps each cause that would explain the answer to how well it does, up to 1. ``case`` is None where it was
    too large to keep, ``answer`` also where there was none. ``factor`` is the one by which everything wrong is off, if
    there is one.
    """

    check: str
    dtype: str
    causes: Mapping[Cause, float]
    case: Case | None = None
    answer: Outcome | Refusal | None = None
    left_out: str = ""
    factor: float | None = None

    def bounded(self) -> Evidence:
        """Without case and answer where they are too large for a report."""
        if self.case is None:
            return self
        numbers = _numbers(self.case, self.answer)
        if numbers <= LARGEST and len(self.case.net) <= _LONGEST_NET:
            return self
        told = f"{numbers} numbers, more than {LARGEST}"
        return replace(self, case=None, answer=None, left_out=told)

    def to_json(self) -> dict[str, Any]:
        """Its line in a report; what is empty is left out."""
        line: dict[str, Any] = {
            "kind": "evidence",
            "check": self.check,
            "dtype": self.dtype,
            "causes": {cause.value: round(weight, 3) for cause, weight in self.causes.items()},
        }
        if self.factor is not None:
            line["factor"] = self.factor
        if self.case is not None:
            line["case"] = self.case.to_json()
        if isinstance(self.answer, Refusal):
            line["answer"] = plain(self.answer.to_json())
        elif self.answer is not None:
            line["answer"] = _short(self.answer)
        return line | ({"left_out": self.left_out} if self.left_out else {})

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Evidence:
        """The evidence of a line. Raises `ValueError` or `KeyError` for what is none."""
        check, dtype = line["check"], line["dtype"]
        net = line.get("case", {"net": ""})["net"]
        if not isinstance(check, str) or not isinstance(net, str) or dtype not in TYPES:
            raise ValueError(f"check and net are texts, dtype is {ONE_OF}")
        known = {cause.value for cause in Cause}
        return cls(
            check,
            dtype,
            {Cause(name): float(w) for name, w in line["causes"].items() if name in known and 0 < float(w) < math.inf},
            Case.from_json(check, line["case"]) if "case" in line else None,
            outcome_from_json(line["answer"], dtype) if "answer" in line else None,
            line.get("left_out", ""),
            line.get("factor"),
        )


def _numbers(case: Case, answer: Outcome | Refusal | None) -> int:
    arrays = [*case.inputs.values(), *(array for some in case.params.values() for array in some)]
    if isinstance(answer, Outcome):
        arrays += [*answer.data.values(), *answer.diff.values()]
        arrays += [array for some in answer.param_diff.values() for array in some]
    return sum(int(np.size(array)) for array in arrays)


def _short(answer: Outcome) -> dict[str, Any]:
    """An outcome's JSON, its numbers in no more digits than tell those of its type apart."""
    whole, dtype = answer.to_json(), TYPES[answer.dtype]
    whole["data"] = {name: _digits(array, dtype) for name, array in answer.data.items()}
    whole["diff"] = {name: _digits(array, dtype) for name, array in answer.diff.items()}
    whole["param_diff"] = {name: [_digits(a, dtype) for a in arrays] for name, arrays in answer.param_diff.items()}
    return whole


def _digits(array: Array, dtype: Dtype) -> dict[str, Any]:
    narrow = np.asarray(array, dtype=dtype.numpy)
    return array_to_json(np.array([float(str(x)) for x in narrow.ravel()]).reshape(narrow.shape))
