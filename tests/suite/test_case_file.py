"""`--case-file`: a case in a file is judged like any other; what is none is refused in a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance.fixtures import folder
from conformance.record.reader import read_report
from tests.command_line import Lossconf, lossconf_in

GOLDEN = folder() / "euclidean_loss" / "grid-006.json"


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


def written(path: Path, **changed: object) -> str:
    document = {**json.loads(GOLDEN.read_text("utf-8")), **changed}
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))
    return str(path)


def test_a_golden_case_is_a_case_file(lossconf: Lossconf, tmp_path: Path) -> None:
    ended = lossconf("run", "reference", "-j", "0", "--case-file", str(GOLDEN))
    assert ended.code == 0
    assert "conforms in what was selected" in " ".join(ended.out.split())
    report = read_report(tmp_path / "report.jsonl")
    assert {end["item"] for end in report.ended} == {
        f"case_file/euclidean_loss/grid-006[{dtype}]" for dtype in ("float32", "float64")
    }
    served = json.loads(GOLDEN.read_text("utf-8"))["requirements"]
    assert {judged.verdict.requirement for judged in report.judged} == set(served)


def test_a_type_that_the_file_names_is_the_one_it_runs_in(lossconf: Lossconf, tmp_path: Path) -> None:
    name = written(tmp_path / "case.json", dtype="float32", requirements=None, expected=None)
    assert lossconf("run", "reference", "-j", "0", "--case-file", name).code == 0
    (judged,) = read_report(tmp_path / "report.jsonl").judged
    assert (judged.verdict.dtype, judged.verdict.requirement) == ("float32", "properties.differential")
    assert lossconf("run", "reference", "-j", "0", "--case-file", name, "--dtype", "float64").code == 0
    (judged,) = read_report(tmp_path / "report.jsonl").judged
    assert judged.verdict.dtype == "float64"


def test_who_is_wrong_fails_in_it(lossconf: Lossconf, tmp_path: Path) -> None:
    ended = lossconf(
        "run", "direct:tests.direct_miniatures:IgnoresWeight", "-j", "0", "--in-process", "--case-file", str(GOLDEN)
    )
    assert ended.code == 1
    assert lossconf("explain", "report.jsonl", "case_file/euclidean_loss/grid-006").code == 0


def test_a_run_goes_on_with_the_same_case_and_with_no_other(lossconf: Lossconf, tmp_path: Path) -> None:
    name = written(tmp_path / "case.json")
    run = ("run", "reference", "-j", "0", "--case-file", name)
    assert lossconf(*run).code == 0
    path = tmp_path / "report.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert lossconf(*run, "--resume").code == 0
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    written(tmp_path / "case.json", requirements=["net.total-loss"])
    refused = lossconf(*run, "--resume")
    assert refused.code == 2
    assert "cannot resume" in refused.err


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"case": None}, "the field 'case' is missing"),
        ({"id": 7}, "id, dtype and requirements are texts"),
        ({"case": {"net": 5}}, "net is '5', no str"),
        ({"dtype": "float17"}, "float17"),
        ({"requirements": ["euclidean_loss.forwards"]}, "did you mean euclidean_loss.forward"),
    ],
)
def test_what_holds_no_case_is_refused(
    lossconf: Lossconf, tmp_path: Path, changed: dict[str, object], why: str
) -> None:
    refused = lossconf("run", "reference", "--case-file", written(tmp_path / "case.json", **changed))
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert why in refused.err
    assert not (tmp_path / "report.jsonl").exists()


def test_other_mistakes_are_refused_too(lossconf: Lossconf, tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("no JSON")
    for words, why in (
        (("--case-file", "text.json"), "holds no case"),
        (("--case-file", "none.json"), "cannot read the case file none.json"),
        (("--case-file", str(GOLDEN), "--layer", "hinge_loss"), "--case-file is about its case alone"),
        (("--case-file", str(GOLDEN), "--case-file", str(GOLDEN)), "two case files have the id"),
    ):
        refused = lossconf("run", "reference", *words)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert why in refused.err
