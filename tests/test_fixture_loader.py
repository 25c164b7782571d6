"""The loader of golden cases, in a checkout and installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from conformance.errors import UsageError
from conformance.fixtures import case_ids, folder, load, load_all, loader, read
from conformance.outcome import Outcome, Refusal


def test_every_golden_case_is_read() -> None:
    fixtures = list(load_all())
    assert [fixture.id for fixture in fixtures] == case_ids()
    assert len(fixtures) == len(list(folder().glob("*/*.json"))) >= 722


def test_a_golden_case_holds_what_to_run_and_what_to_expect() -> None:
    fixture = load("hinge_loss/grid-006")
    assert fixture.family == "hinge_loss"
    assert 'type: "HingeLoss"' in fixture.case.net
    for dtype in ("float32", "float64"):
        outcome = fixture.expected(dtype)
        assert isinstance(outcome, Outcome)
        assert {str(array.dtype) for array in outcome.data.values()} == {dtype}
        np.testing.assert_array_equal(outcome.data["x"], fixture.case.inputs["x"])


def test_a_refusal_is_an_answer() -> None:
    refusal = load("error/E-batch-mismatch").expected("float64")
    assert isinstance(refusal, Refusal)
    assert refusal.third_party_stage == "construct"


def test_the_oracle_of_fifty_digits_answers_in_float64_alone() -> None:
    fixture = next(fixture for fixture in load_all() if fixture.provenance["oracle"] == "mpmath")
    assert fixture.dtypes == ("float64",)
    with pytest.raises(UsageError, match="holds no float32 answer"):
        fixture.expected("float32")


def test_a_file_under_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hinge_loss").mkdir()
    shutil.copy(folder() / "hinge_loss" / "grid-006.json", tmp_path / "hinge_loss" / "grid-999.json")
    monkeypatch.setattr(loader, "folder", lambda: tmp_path)
    with pytest.raises(UsageError, match="its id is"):
        loader.load("hinge_loss/grid-999")


def test_an_installed_distribution_has_the_cases_beside_the_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "conformance" / "fixtures"
    (installed / "hinge_loss").mkdir(parents=True)
    (tmp_path / "fixtures").mkdir()  # somebody else's, beside the package
    shutil.copy(folder() / "hinge_loss" / "grid-006.json", installed / "hinge_loss")
    monkeypatch.setattr(loader, "__file__", str(installed / "loader.py"))
    assert loader.folder() == installed
    assert loader.case_ids() == ["hinge_loss/grid-006"]


def test_a_fixture_is_read_from_any_place(tmp_path: Path) -> None:
    copy = tmp_path / "mine.json"
    shutil.copy(folder() / "hinge_loss" / "grid-006.json", copy)
    assert read(copy) == load("hinge_loss/grid-006")
