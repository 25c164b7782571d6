"""The reference against its two independent sources: what BVLC Caffe recorded, and the high-precision oracle."""

from __future__ import annotations

import pytest

from tests.oracle_accuracy import measured
from tests.recorded import compare, recordings

FAMILIES = sorted({fixture["id"].partition("/")[0] for fixture in recordings()})


@pytest.mark.parametrize("family", FAMILIES)
def test_reproduces_every_recording(family: str) -> None:
    reports = [compare(fixture) for fixture in recordings(family)]
    assert reports
    assert {report.id: report.wrong for report in reports if report.wrong} == {}
    assert max(report.by_array for report in reports) <= 1e-12
    assert max(report.by_element for report in reports) <= 1e-8


def test_all_recordings_are_there() -> None:
    assert sum(1 for _ in recordings()) == 722


def test_comparison_notices_a_changed_digit() -> None:
    fixture = next(recordings("euclidean_loss"))
    diffs = fixture["expected"]["float64"]["diff"]
    next(iter(diffs.values()))["data"][0] = 1e-9
    report = compare(fixture)
    assert report.wrong or report.by_array > 1e-12


def test_is_within_four_ulp_of_the_oracle_away_from_cancellation() -> None:
    accuracies = measured()
    assert len({stem for stem, _ in accuracies}) == 7
    for (stem, direction), accuracy in accuracies.items():
        assert accuracy.elements > 0, f"{stem} {direction}: nothing was compared"
        assert accuracy.worst <= 4, f"{stem} {direction}: {accuracy.worst} ULP in {accuracy.worst_id}"
