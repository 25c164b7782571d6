"""The reference held against the high-precision oracle, in units in the last place.

``python -m tests.oracle_accuracy`` prints the worst error per layer, forward and backward. Away from cancellation
means: where the element's running error bound, at one rounding per operation, is at most `WELL_CONDITIONED` ULP of
its value; the others are differences of nearly equal numbers, and are counted apart.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from conformance.contract.case import Case
from conformance.judge.reference import build, run_steps
from refimpl.running_error import Rounding

__all__ = ["WELL_CONDITIONED", "Accuracy", "measured", "oracle_fixtures"]

FIXTURES = Path(__file__).parent.parent / "fixtures"
WELL_CONDITIONED = 8.0


@dataclass
class Accuracy:
    """Worst errors in ULP of one layer's arrays in one direction; ``cancelled`` elements are not among them."""

    worst: float = 0.0
    worst_id: str = ""
    elements: int = 0
    cancelled: int = 0

    def add(self, case_id: str, got: float, exact: Fraction, bound: float) -> None:
        ulp = math.ulp(float(exact)) if exact else math.ulp(0.0)
        if bound > WELL_CONDITIONED * ulp:
            self.cancelled += 1
            return
        self.elements += 1
        off = float(abs(Fraction(got) - exact) / Fraction(ulp))
        if off > self.worst:
            self.worst, self.worst_id = off, case_id


def oracle_fixtures() -> Iterator[dict[str, Any]]:
    """The fixtures that the oracle computed."""
    for path in sorted(FIXTURES.glob("*/mp-*.json")):
        yield json.loads(path.read_text())


def measured() -> dict[tuple[str, str], Accuracy]:
    """By layer and direction ("forward", "backward")."""
    result: dict[tuple[str, str], Accuracy] = defaultdict(Accuracy)
    for fixture in oracle_fixtures():
        _measure(fixture, result)
    return result


def _measure(fixture: dict[str, Any], result: dict[tuple[str, str], Accuracy]) -> None:
    case = Case.from_json(fixture["id"], fixture["case"])
    dialect = "bvlc" if fixture["dialect"] == "bvlc" else "documented"
    plain = build(case, dialect=dialect)
    run_steps(plain, case)
    rounding = Rounding(unit=2.0**-53, tiny=2.0**-1022, huge=np.inf)
    bounded = build(case, dialect=dialect, dtype=rounding)
    run_steps(bounded, case)
    stem = fixture["id"].partition("/")[0]
    for part, direction in (("data", "forward"), ("diff", "backward")):
        for name, array in fixture["exact"].get(part, {}).items():
            got, bound = getattr(plain.blobs[name], part), getattr(bounded.blobs[name], part)
            for i, text in enumerate(array["data"]):
                if isinstance(text, str) and math.isfinite(float(text)):
                    accuracy = result[stem, direction]
                    accuracy.add(fixture["id"], float(got.ravel()[i]), Fraction(text), float(bound.error.ravel()[i]))


def main() -> None:
    print(f"{'layer':28} {'':9} {'worst ULP':>9} {'elements':>8} {'cancelled':>9}")
    for (stem, direction), accuracy in sorted(measured().items()):
        print(
            f"{stem:28} {direction:9} {accuracy.worst:9.2f} {accuracy.elements:8} {accuracy.cancelled:9}  "
            f"{accuracy.worst_id}"
        )


if __name__ == "__main__":
    main()
