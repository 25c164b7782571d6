"""The declared space: rows are frozen, every pair meets, and a loss of somebody else's gets rows of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conformance.contract.dtypes import DEFAULT
from conformance.losses import LOSSES, Loss
from conformance.losses.space import Space
from conformance.suite import arrays, covering
from conformance.suite.covering import Line, digest_of, grown, lines_of, read, tuples_of, written
from conformance.suite.space import Point, checks

EACH = pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.stem)


@EACH
def test_every_pair_that_may_meet_meets(loss: Loss) -> None:
    space = Space(loss)
    assert list(grown(space, [line.row for line in lines_of(loss)])) == []


@EACH
def test_rows_are_of_the_space_and_no_row_is_there_twice(loss: Loss) -> None:
    space, lines = Space(loss), lines_of(loss)
    assert all(space.allowed(line.row) for line in lines)
    assert len({digest_of(space, line.row) for line in lines}) == len(lines)


@EACH
def test_a_row_gives_the_case_it_gave_when_it_was_written(loss: Loss) -> None:
    space = Space(loss)
    for line in lines_of(loss)[::5]:
        assert Point(space, line).case().digest() == line.case, line.row


def test_a_file_is_what_its_lines_write() -> None:
    for stem, loss in LOSSES.items():
        space = Space(loss)
        text = covering.files("conformance.suite").joinpath("arrays", f"{stem}.txt").read_text("utf-8")
        assert written(space, read(stem, space)) == text


def test_a_dimension_more_leaves_ids_as_they_are() -> None:
    space = Space(LOSSES["hinge_loss"])
    row = lines_of(space.loss)[0].row
    before = digest_of(space, row)
    space.dimensions["afterthought"] = ("nothing", "something")
    assert digest_of(space, row) == before
    assert digest_of(space, {**row, "afterthought": "something"}) != before


def test_a_loss_without_a_file_gets_rows_made_for_it() -> None:
    loss = LOSSES["euclidean_loss"]
    space = Space(replace(loss, options={"loss_param.normalization": ("VALID", "FULL")}))
    assert "normalization" in space.dimensions
    rows = list(grown(space, ()))
    met = {pair for row in rows for pair in tuples_of(space, row)}
    assert (("x", "huge"), ("normalization", "FULL")) in met
    assert Point(space, Line(rows[0])).case().net


def test_an_unknown_class_is_refused(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    space = Space(LOSSES["hinge_loss"])
    folder = tmp_path / "arrays"
    folder.mkdir()
    folder.joinpath("hinge_loss.txt").write_text("digest draw case items\nabc 0 def dozens\n")
    monkeypatch.setattr(covering, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match="items has no class 'dozens'"):
        read("hinge_loss", space)


def test_small_cases_are_core_and_large_ones_few() -> None:
    every = list(checks())
    assert {check.id.rpartition("/")[2] for check in every if check.core} == {"small"}
    assert all(len(check.dtypes) == (len(DEFAULT) if check.id.endswith(("small", "medium")) else 1) for check in every)
    assert arrays.__doc__
