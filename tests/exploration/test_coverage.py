"""Coverage: what is counted from rows is what they have, and what they lack is named."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from conformance.exploration.coverage import Coverage
from conformance.losses import LOSSES, Loss
from conformance.losses.space import LARGE, Space
from conformance.suite.covering import lines_of, tuples_of
from conformance.suite.exploration import drawn, letters_of

EACH = pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.stem)


def published(loss: Loss) -> tuple[Space, list[dict[str, str]]]:
    """The rows of a covering array that are of the dimensions' own classes."""
    space = Space(loss)
    rows = [space.whole(line.row) for line in lines_of(loss)]
    return space, [row for row in rows if not {row["items"], row["entries"]} & LARGE.keys()]


@EACH
def test_a_covering_array_has_met_everything(loss: Loss) -> None:
    space, rows = published(loss)
    coverage = Coverage(space, [letters_of(space, row) for row in rows])
    assert [list(met.never(space)) for met in (*coverage.pairs.values(), *coverage.threes)] == [
        [] for _ in (*coverage.pairs, *coverage.threes)
    ]


def test_pairs_are_counted_as_covering_arrays_count_them() -> None:
    """By the function that says what a row covers, row by row."""
    space = Space(LOSSES["softmax_with_loss"])
    rows = [point.row for point in islice(drawn(space, 3), 60)]
    wanted = Counter(pair for row in rows for pair in tuples_of(space, row))
    coverage = Coverage(space, [letters_of(space, row) for row in rows])
    found: Counter[tuple[tuple[str, str], ...]] = Counter()
    for met in (*coverage.pairs.values(), *coverage.threes):
        for places in zip(*met.counts.nonzero(), strict=True):
            key = tuple((n, space.dimensions[n][place]) for n, place in zip(met.names, places, strict=True))
            found[key] += int(met.counts[places])
    assert found == wanted
    assert any(space.masked(row) for row in rows)


def test_what_was_never_met_is_named() -> None:
    space, rows = published(LOSSES["euclidean_loss"])
    left = [row for row in rows if (row["x"], row["pass"]) != ("tiny", "smaller") and row["phase"] != "TEST"]
    coverage = Coverage(space, [letters_of(space, row) for row in left])
    assert ("tiny", "smaller") in list(coverage.pairs["x", "pass"].never(space))
    assert coverage.classes["phase"].tolist() == [len(left), 0]
    assert coverage.pairs["items", "phase"].least == 0
    assert coverage.cases == len(left)


def test_nothing_run_is_nothing_met() -> None:
    space = Space(LOSSES["hinge_loss"])
    coverage = Coverage(space, [])
    assert coverage.cases == sum(met.visited for met in coverage.pairs.values()) == 0
    assert sum(met.possible for met in coverage.pairs.values()) > 1000


def test_a_row_of_another_space_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot reshape"):
        Coverage(Space(LOSSES["hinge_loss"]), ["00"])
