"""`lossconf export` and `lossconf judge`: files out, files in, the verdicts of a run."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.adapters.files import Answers, open_files, spelled
from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.implementation import Crash, ProtocolError, TimedOut, Unsupported
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.verdict import Status
from conformance.fixtures import load
from conformance.protocol.index import Index
from conformance.record.reader import read_report
from conformance.record.report import Report
from tests.command_line import Lossconf, lossconf_in
from tests.miniatures import well_behaved

CASE = "euclidean_loss/grid-001"
FEW = (CASE, "loss_weight/euclidean_loss/scaling", "refusals/euclidean_loss", "gradients/euclidean_loss/plain")
CHOSEN = tuple(word for check in FEW for word in ("--case", check))
Json = dict[str, Any]


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


def answer_all(folder: Path, change: Callable[[str, Json], Json | None] = lambda name, answer: answer) -> None:
    """Answer every case of an export by the reference, in a file each, perhaps changed; None: not at all."""
    reference = ReferenceImplementation()
    for item in Index.read(folder).items:
        told = json.loads((folder / "cases" / item.file).read_text())
        answer = reference.run(Case.from_json(told["id"], told["case"]), item.dtype)
        if isinstance(answer, Outcome):
            content: Json = {"outcome": answer.to_json()}
        else:
            content = {"refusal": {"stage": answer.third_party_stage, "message": answer.message}}
        changed = change(item.file, content)
        if changed is not None:
            path = folder / "answers" / item.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(changed))


def verdicts(report: Report) -> Counter[tuple[str, ...]]:
    return Counter((v.check, v.requirement, v.dtype, v.status.value) for v in (each.verdict for each in report.judged))


def of(report: Report, check: str, dtype: str = "float32") -> set[Status]:
    return {j.verdict.status for j in report.judged if (j.verdict.check, j.verdict.dtype) == (check, dtype)}


def test_answers_in_files_get_the_verdicts_of_a_run(lossconf: Lossconf, tmp_path: Path) -> None:
    assert lossconf("export", "cases", *CHOSEN).code == 0
    answer_all(tmp_path / "cases")
    assert lossconf("judge", "cases", "-j", "0").code == 0
    judged = verdicts(read_report(tmp_path / "report.jsonl"))
    lossconf("run", "reference", *CHOSEN, "-j", "0", "--report", "run.jsonl")
    ran = verdicts(read_report(tmp_path / "run.jsonl"))
    differenced = ("gradients/euclidean_loss/plain", "euclidean_loss.gradient", "float64")
    assert judged - ran == Counter({(*differenced, "unsupported"): 1})
    assert ran - judged == Counter({(*differenced, "passed"): 1})


def test_a_program_answers_the_requests_at_one_go(lossconf: Lossconf, tmp_path: Path) -> None:
    lossconf("export", "cases", *CHOSEN, "--dtype", "float32")
    with (tmp_path / "cases" / "requests.jsonl").open() as asked, (tmp_path / "answers.jsonl").open("w") as told:
        subprocess.run(well_behaved(honest=True), stdin=asked, stdout=told, check=True)
    ended = lossconf("judge", "answers.jsonl", "--export", "cases")
    assert ended.code == 0
    assert ended.out.startswith("miniature 1 (Python)")
    assert read_report(tmp_path / "report.jsonl").counts.keys() == {"passed"}


@pytest.mark.parametrize("there", [True, False])
def test_half_an_export_is_none(
    lossconf: Lossconf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def full(index: Index, folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if there:
        (tmp_path / "cases").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(Index, "write", full)
        ended = lossconf("export", "cases", "--case", CASE)
    assert (ended.code, ended.err) == (5, f"lossconf: the system failed: {os.strerror(errno.ENOSPC)}\n")
    assert [path.name for path in tmp_path.rglob("*")] == ["cases"] * there
    assert lossconf("export", "cases", "--case", CASE).code == 0


def test_an_answer_that_takes_too_long_to_read_costs_its_case(lossconf: Lossconf, tmp_path: Path) -> None:
    lossconf("export", "cases", "--case", CASE, "--dtype", "float32")
    long = {"outcome": {"loss_trace": ["NaN"] * 300_000}}
    answer_all(tmp_path / "cases", lambda name, answer: long)
    answers = Answers(tmp_path / "cases", timeout=0.1)
    assert answers.missing() == []  # nothing is read before it is judged
    with pytest.raises(TimedOut, match=r"grid-001.json: it could not be read within 0.1 s"):
        answers.run(load(CASE).case, "float32")


def test_an_index_that_was_trimmed_or_changed_is_refused(lossconf: Lossconf, tmp_path: Path) -> None:
    lossconf("export", "cases", *CHOSEN, "--dtype", "float32")
    answer_all(tmp_path / "cases")
    index = tmp_path / "cases" / "index.json"
    told = json.loads(index.read_text())
    for kept in (slice(0, 1), slice(1, None), slice(None, None, -1), slice(0, 0)):
        index.write_text(json.dumps({**told, "cases": told["cases"][kept]}))
        for command in (("judge", "cases"), ("run", "files:cases", *CHOSEN)):
            ended = lossconf(*command, "-j", "0")
            assert (ended.code, ended.err.count("\n")) == (5, 1)
            assert "is not the one that was exported" in ended.err
        assert not (tmp_path / "report.jsonl").exists()


def test_no_answer_travels(lossconf: Lossconf, tmp_path: Path) -> None:
    lossconf("export", "cases", "--case", CASE, "--dtype", "float32")
    (told,) = (json.loads(path.read_text()) for path in (tmp_path / "cases").glob("cases/**/*.json"))
    assert set(told) == {"number", "id", "dtype", "case"}
    assert set(told["case"]) == {"net", "inputs"}
    run = json.loads((tmp_path / "cases" / "requests.jsonl").read_text().splitlines()[1])
    assert run == {"verb": "run", "id": told["number"], "dtype": "float32", "case": told["case"]}


def test_an_answer_that_is_missing_never_passes(lossconf: Lossconf, tmp_path: Path) -> None:
    lossconf("export", "cases", *CHOSEN, "--dtype", "float32")
    answer_all(tmp_path / "cases", lambda name, answer: None if CASE in name else answer)
    ended = lossconf("judge", "cases", "-j", "0")
    assert ended.code == 1
    assert f"1 of {len(Index.read(tmp_path / 'cases').items)} answers are missing, float32/{CASE}.json" in ended.err
    report = read_report(tmp_path / "report.jsonl")
    assert of(report, CASE) == {Status.PROTOCOL_ERROR}
    assert all("no answer was handed in" in j.verdict.reason for j in report.judged if j.verdict.check == CASE)
    assert of(report, "loss_weight/euclidean_loss/scaling") == {Status.PASSED}


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ({"unsupported": "no such layer"}, Unsupported, "no such layer"),
        ({"crash": {"reason": "out of memory"}}, Crash, "out of memory"),
        ({"outcome": {"loss": 1.0}}, ProtocolError, "diff.a, diff.b missing"),
        ({"outcome": {"loss": "much"}}, ProtocolError, "much"),
        ({"times": {}}, ProtocolError, "forward"),
        ({}, ProtocolError, "exactly one of"),
        ([1.5], ProtocolError, "an answer is a JSON object"),
    ],
)
def test_an_answer_is_read_as_the_protocol_has_it(
    lossconf: Lossconf, tmp_path: Path, content: Json, error: type[Exception], words: str
) -> None:
    lossconf("export", "cases", "--case", CASE)
    answer_all(tmp_path / "cases", lambda name, answer: content)
    with pytest.raises(error, match=words):
        open_files("cases").run(load(CASE).case, "float64")


def test_what_is_no_json_costs_its_case_alone(lossconf: Lossconf, tmp_path: Path) -> None:
    lossconf("export", "cases", "--case", CASE)
    answer_all(tmp_path / "cases")
    (tmp_path / "cases" / "answers" / "float32" / f"{CASE}.json").write_text("{loss: 1")
    answers = open_files("cases")
    with pytest.raises(ProtocolError, match=f"float32/{CASE}.json: "):
        answers.run(load(CASE).case, "float32")
    assert isinstance(answers.run(load(CASE).case, "float64"), Outcome)


def test_an_outcome_may_stand_alone_and_a_refusal_is_one(lossconf: Lossconf, tmp_path: Path) -> None:
    lossconf("export", "cases", "--case", CASE)
    answer_all(tmp_path / "cases", lambda name, answer: answer["outcome"] if "32" in name else refused())
    answers = open_files("cases")
    assert isinstance(answers.run(load(CASE).case, "float32"), Outcome)
    assert answers.run(load(CASE).case, "float64") == Refusal("forward", "no")


def refused() -> Json:
    return {"refusal": {"stage": "forward", "message": "no"}}


def test_a_case_that_was_not_exported_is_unsupported(lossconf: Lossconf, tmp_path: Path) -> None:
    lossconf("export", "cases", "--case", CASE, "--dtype", "float32")
    answer_all(tmp_path / "cases")
    for case_id, dtype in ((CASE, "float64"), ("euclidean_loss/grid-002", "float32")):
        with pytest.raises(Unsupported, match=r"what can be exported|not among the exported cases"):
            open_files("cases").run(load(case_id).case, dtype)


def test_a_description_may_be_handed_in(lossconf: Lossconf, tmp_path: Path) -> None:
    lossconf("export", "cases", "--case", CASE)
    told = {"protocol": 1, "name": "mynpu", "version": "7", "capability": "net", "dtypes": ["float32"]}
    (tmp_path / "cases" / "answers" / "description.json").write_text(json.dumps(told))
    answer_all(tmp_path / "cases", lambda name, answer: answer if "32" in name else None)
    ended = lossconf("judge", "cases", "-j", "0")
    assert ended.code == 0
    assert ended.out.startswith("mynpu 7")
    assert "missing" not in ended.err


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("loss = 1\n", "line 1: not JSON"),
        ('{"id": 2, "unsupported": "x"}\n{"id": 2, "unsupported": "x"}\n', "line 2: request 2 is answered twice"),
    ],
)
def test_a_file_that_holds_no_answers_is_one_clear_line(
    lossconf: Lossconf, tmp_path: Path, lines: str, words: str
) -> None:
    lossconf("export", "cases", "--case", CASE)
    (tmp_path / "cases" / "answers.jsonl").write_text(lines)
    ended = lossconf("judge", "cases/answers.jsonl")
    assert ended.code == 2
    assert words in ended.err


def test_mistakes_end_with_2_and_one_line(lossconf: Lossconf, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("")
    for arguments, words in (
        (("export", "taken"), "taken is not empty"),
        (("export", "out", "--layer", "hinge_los"), "did you mean hinge_loss"),
        (("export", "out", "--family", "determinism"), "no check of the selection has cases to export"),
        (("judge", "taken"), "taken holds no export"),
    ):
        ended = lossconf(*arguments)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert words in ended.err
    assert not (tmp_path / "out").exists()


def test_another_versions_export_is_refused(lossconf: Lossconf, tmp_path: Path) -> None:
    lossconf("export", "cases", "--case", CASE)
    index = tmp_path / "cases" / "index.json"
    index.write_text(index.read_text().replace('"version": "', '"version": "old-'))
    ended = lossconf("judge", "cases")
    assert ended.code == 2
    assert "export again" in ended.err


@pytest.mark.slow
def test_cases_of_a_megabyte_are_left_out_unless_asked_for(lossconf: Lossconf, tmp_path: Path) -> None:
    check = "extremes/euclidean_loss/large-count"
    ended = lossconf("export", "small", "--case", check)
    assert ended.code == 2
    assert lossconf("export", "large", "--case", check, "--large", "--dtype", "float32").code == 0
    assert next((tmp_path / "large").glob("cases/**/*.json")).stat().st_size > 1 << 20


def test_names_with_spaces_survive_the_spelling(tmp_path: Path) -> None:
    assert spelled(tmp_path / "my cases") == f"files:'{(tmp_path / 'my cases').resolve()}'"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_family_but_what_must_run_is_exported(lossconf: Lossconf, tmp_path: Path) -> None:
    """Run by the command itself; nothing that a check asks for is missing from the export."""
    layers = ("--layer", "softmax_with_loss", "--layer", "contrastive_loss", "--layer", "net")
    lossconf("export", "cases", "--dtype", "float32", *layers)
    with (tmp_path / "cases" / "requests.jsonl").open() as asked, (tmp_path / "answers.jsonl").open("w") as told:
        subprocess.run(well_behaved(honest=True), stdin=asked, stdout=told, check=True)
    command = [sys.executable, "-m", "conformance", "judge", "answers.jsonl", "--export", "cases"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = read_report(tmp_path / "report.jsonl")
    left_out = {each.verdict.check for each in report.judged if each.verdict.status is Status.UNSUPPORTED}
    assert {check.partition("/")[0] for check in left_out} == {
        "determinism",
        "properties",
        "extremes",
        "sizes",
        "space",
    }
    assert {check for check in left_out if check.startswith("extremes")} == {
        check for check in left_out if check.endswith("large-count")
    }


@pytest.mark.slow
def test_fresh_values_are_exported_and_judged(lossconf: Lossconf, tmp_path: Path) -> None:
    cases = ("--case", FEW[1], "--dtype", "float32")
    ended = lossconf("export", "cases", *cases, "--fresh=7")
    assert "fresh values, from seed 7" in ended.out
    lossconf("export", "published", *cases)
    marks = [{item.digest for item in Index.read(tmp_path / name).items} for name in ("cases", "published")]
    assert len(marks[0]) == len(marks[1])
    assert not marks[0] & marks[1]
    answer_all(tmp_path / "cases")
    assert lossconf("judge", "cases", "-j", "0").code == 0
    assert read_report(tmp_path / "report.jsonl").header["fresh"] == 7


@pytest.mark.slow
def test_what_is_declined_of_answers_in_files_is_not_missed(lossconf: Lossconf, tmp_path: Path) -> None:
    cases = ("--case", FEW[0], "--case", FEW[1], "--dtype", "float32")
    lossconf("export", "cases", *cases)
    answer_all(tmp_path / "cases", lambda name, answer: answer if "grid" in name else None)
    assert lossconf("judge", "cases", "-j", "0").code == 1
    assert lossconf("judge", "cases", "-j", "0", "--declines", "euclidean_loss.weight-scaling").code == 0
