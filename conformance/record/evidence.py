"""Evidence: a failing case as a report keeps it: what was answered, what was wanted, and what that points to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case, array_to_json
from conformance.contract.dtypes import TypeClaim
from conformance.contract.errors import UsageError, one_line
from conformance.contract.intake import Malformed, decoding
from conformance.contract.outcome import Outcome, Refusal, outcome_from_json
from conformance.record.cause import Cause
from conformance.record.deviation import Deviation
from conformance.record.grade import Grade
from conformance.record.report import Report
from conformance.record.writer import plain

__all__ = ["LARGEST", "LONGEST", "Evidence", "evidence_of"]

LARGEST = 4096
"""Numbers of case and answer together that a report keeps; of what is larger it keeps the causes and some elements."""

LONGEST = 400_000
"""Characters of a line of evidence."""

_LONGEST_NET = 20_000


@dataclass(frozen=True)
class Evidence:
    """``check`` and ``dtype`` are those of the verdicts it belongs to.

    ``causes`` maps each cause that would explain the answer to how well it does, the best first. ``case`` is
    None where it was too large to keep, ``answer`` also where there was none. ``first`` are causes that foretell the
    first array that is wrong, from which the others may follow. ``factor`` is the one by which everything
    wrong is off, if there is one. ``arrays`` are what was compared, in the order of computation, the wrong ones first;
    ``refusal`` is Caffe's where it refuses the case, ``formula`` what the layer that answers for the first wrong array
    should compute, ``requirements`` the sentences that the verdicts' requirements were. Reports of schema 1 have none
    of these four.
    """

    check: str
    dtype: str
    causes: Mapping[Cause, Grade]
    case: Case | None = None
    answer: Outcome | Refusal | None = None
    left_out: str = ""
    factor: float | None = None
    arrays: tuple[Deviation, ...] = ()
    refusal: Refusal | None = None
    formula: str = ""
    requirements: Mapping[str, str] = field(default_factory=dict)
    first: frozenset[Cause] = frozenset()

    @property
    def wrong(self) -> list[Deviation]:
        """The arrays with rejected elements."""
        return [array for array in self.arrays if array.rejected]

    @property
    def own_answers(self) -> bool:
        """Whether nothing but the implementation's own answers were compared with each other: no formula is known."""
        slopes = bool(self.arrays) and all(array.aspect == "slope" for array in self.arrays)
        return slopes or (self.case is not None and not self.arrays and self.refusal is None and bool(self.formula))

    @property
    def lacks(self) -> str:
        """What is missing beside the case; empty where nothing is, or the case is missing, too."""
        if self.case is None or self.arrays or self.refusal is not None or self.formula:
            return ""
        return "the report is of a version that did not keep what was wanted of a case"

    @property
    def size(self) -> int:
        """How many numbers case and answer hold."""
        case, answer = self.case, self.answer
        arrays: list[Array] = []
        for one in case.sequence if case else ():
            arrays += [*one.inputs.values(), *(array for some in one.params.values() for array in some)]
        for state in (answer, *answer.passes) if isinstance(answer, Outcome) else ():
            arrays += [*state.data.values(), *state.diff.values()]
            arrays += [array for some in state.param_diff.values() for array in some]
        return sum(int(np.size(array)) for array in arrays)

    def bounded(self) -> Evidence:
        """Where it is too large for a report: without case and answer, with some elements of the wrong arrays."""
        if self.case is None or (self.size <= LARGEST and len(self.case.net) <= _LONGEST_NET):
            return self
        reason = f"{self.size} numbers, more than {LARGEST}"
        return replace(self, case=None, answer=None, left_out=reason, arrays=tuple(a.cut() for a in self.wrong))

    def to_json(self) -> dict[str, Any]:
        """Its line in a report; what is empty is left out.

        Names are an implementation's own: where they make the line longer than a report bears, case and answer are left
        out, and then the arrays.
        """
        line = self._line()
        length = len(json.dumps(line))
        if length <= LONGEST:
            return line
        less = replace(self, case=None, answer=None, left_out=f"{length} characters, more than {LONGEST}")
        cut = replace(less, arrays=tuple(array.cut() for array in self.wrong))._line()
        return cut if len(json.dumps(cut)) <= LONGEST else replace(less, arrays=())._line()

    def _line(self) -> dict[str, Any]:
        line: dict[str, Any] = {
            "kind": "evidence",
            "check": self.check,
            "dtype": self.dtype,
            "causes": {cause.value: grade.weight for cause, grade in self.causes.items()},
        }
        rest = {
            "first": sorted(cause.value for cause in self.first) or None,
            "factor": self.factor,
            "case": self.case and self.case.to_json(),
            "answer": _short(self.answer) if isinstance(self.answer, Outcome) else _plain(self.answer),
            "left_out": self.left_out or None,
            "arrays": [array.to_json() for array in self.arrays] or None,
            "refusal": _plain(self.refusal),
            "formula": self.formula or None,
            "requirements": dict(self.requirements) or None,
        }
        return line | {name: value for name, value in rest.items() if value is not None}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Evidence:
        """The evidence of a line. Raises `ValueError`, `KeyError` or `TypeError` for what is none."""
        check, dtype, formula = line["check"], line["dtype"], line.get("formula", "")
        net, requirements = line.get("case", {"net": ""})["net"], dict(line.get("requirements", {}))
        if not all(isinstance(text, str) for text in (check, net, formula, dtype, *requirements.values())):
            raise ValueError("check, net, formula, dtype and requirements are texts")
        TypeClaim.named(dtype)
        refusal = outcome_from_json(line["refusal"], dtype) if "refusal" in line else None
        if isinstance(refusal, Outcome):
            raise ValueError("the refusal is none")
        answer = outcome_from_json(line["answer"], dtype) if "answer" in line else None
        arrays = tuple(Deviation.from_json(array) for array in line.get("arrays", ()))
        if "case" in line and any(not a.whole or (isinstance(answer, Outcome) and not a.answered) for a in arrays):
            raise ValueError("a case that is kept is kept with its arrays")
        known = {cause.value for cause in Cause}
        return cls(
            check,
            dtype,
            {
                Cause(name): Grade.of(float(w))
                for name, w in line["causes"].items()
                if name in known and 0 < float(w) < math.inf
            },
            Case.from_json(check, line["case"]) if "case" in line else None,
            answer,
            line.get("left_out", ""),
            line.get("factor"),
            arrays,
            refusal,
            formula,
            requirements,
            frozenset(Cause(name) for name in line.get("first", ()) if name in known),
        )


def evidence_of(report: Report) -> list[Evidence]:
    """The evidence in a report. Raises `UsageError` for a piece that is none."""
    return [_read(line) for line in report.evidence]


def _read(line: Mapping[str, object]) -> Evidence:
    try:
        with decoding():
            return Evidence.from_json(line)
    except Malformed as error:
        raise UsageError(f"the evidence on {line.get('check')} cannot be read: {one_line(str(error), 120)}") from None


def _plain(refusal: Refusal | None) -> dict[str, Any] | None:
    return None if refusal is None else plain(refusal.to_json())


def _short(answer: Outcome) -> dict[str, Any]:
    """An outcome's JSON, its numbers in no more digits than tell those of its type apart."""
    whole = answer.to_json()
    whole["data"] = {name: _digits(array) for name, array in answer.data.items()}
    whole["diff"] = {name: _digits(array) for name, array in answer.diff.items()}
    whole["param_diff"] = {name: [_digits(a) for a in arrays] for name, arrays in answer.param_diff.items()}
    if answer.passes:
        whole["passes"] = [_short(one) for one in answer.passes]
    return whole


def _digits(array: Array) -> dict[str, Any]:
    narrow = np.asarray(array)
    return array_to_json(np.array([float(str(x)) for x in narrow.ravel()]).reshape(narrow.shape))
