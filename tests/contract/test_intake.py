"""The intake: whatever is wrong with a document comes out as one error in one line, and as no other."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.adapters.files import Answers
from conformance.contract.case import Case, array_from_json
from conformance.contract.errors import UsageError
from conformance.contract.implementation import ProtocolError
from conformance.contract.intake import DEEPEST, MOST_DIGITS, Malformed, decoding, json_of, toml_of
from conformance.contract.outcome import Outcome, outcome_from_json
from conformance.contract.selection import Selection
from conformance.gate import read_baseline, read_lock
from conformance.protocol import outcome_message, read_answer
from conformance.protocol.index import NAME, Index, Item, digest
from conformance.record.reader import read_report
from conformance.record.writer import ReportWriter
from conformance.timing.result import read_result
from tests.reports import HEADER, passed, report_of, saved

DEEP = {depth: "[" * depth + "]" * depth for depth in (DEEPEST + 2, 950, 200_000)}
DIGITS = "1" * 5000


@pytest.mark.parametrize("text", [*DEEP.values(), DIGITS, "-" + DIGITS, "NaN", "-Infinity", "[1,", "", "{"])
def test_what_is_no_json_is_malformed_in_one_line(text: str) -> None:
    for content in (text, text.encode()):
        with pytest.raises(Malformed) as raised:
            json_of(content)
        assert len(str(raised.value).splitlines()) == 1
        assert len(str(raised.value)) < 500


def test_digits_are_bounded_whatever_the_interpreter_allows() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(Malformed, match="an integer of 5000 digits is too large: 300 are read"):
            json_of(DIGITS)
    finally:
        sys.set_int_max_str_digits(before)
    assert json_of("9" * MOST_DIGITS) == int("9" * MOST_DIGITS)


def test_what_is_as_deep_as_anything_of_the_suites_own_is_read() -> None:
    depth = DEEPEST + 1
    assert json.dumps(json_of("[" * depth + "]" * depth)) == "[" * depth + "]" * depth


def test_bytes_that_are_no_utf8_are_malformed() -> None:
    with pytest.raises(Malformed, match="not UTF-8 at byte 1"):
        json_of(b'"\xff"')
    with pytest.raises(Malformed):
        toml_of(b'x = "\xff"')


@pytest.mark.parametrize("text", [f"x = {DEEP[950]}", f"x = {DEEP[DEEPEST + 2]}", f"x = {DIGITS}", "x ="])
def test_what_is_no_toml_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        toml_of(text.encode())


@pytest.mark.parametrize(
    "broken",
    [
        lambda: {}["a"],
        lambda: [][0],
        lambda: None.x,  # type: ignore[attr-defined]
        lambda: 1 + "",  # type: ignore[operator]
        lambda: float(10**400),
        lambda: 1 // 0,
        lambda: int("x"),
        lambda: (_ for _ in ()).throw(RecursionError),
        lambda: (_ for _ in ()).throw(MemoryError),
    ],
)
def test_whatever_goes_wrong_while_values_are_made_is_malformed(broken: Callable[[], object]) -> None:
    with pytest.raises(Malformed) as raised, decoding():
        broken()
    assert str(raised.value)


READERS: dict[str, Callable[[Path], object]] = {
    "report.jsonl": read_report,
    "lossconf.lock": read_lock,
    "baseline.toml": read_baseline,
    "bench.json": read_result,
    NAME: lambda path: Index.read(path.parent),
}


@pytest.mark.parametrize("text", [*DEEP.values(), f'{{"schema": {DIGITS}}}', "[]", "5", "null", '"x"', "{}"])
@pytest.mark.parametrize("name", READERS)
def test_every_file_is_refused_in_one_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as raised:
        READERS[name](tmp_path / name)
    assert name in str(raised.value)


@pytest.mark.parametrize("text", [DEEP[200_000], DIGITS])
def test_an_answer_in_a_file_that_is_no_answer_costs_its_case(tmp_path: Path, text: str) -> None:
    case = Case("h/1", 'layer { name: "x" type: "Input" top: "x" }')
    Index(Selection(), ("float32",), (Item(2, "float32", "float32/h/1.json", digest(case, "float32")),)).write(tmp_path)
    path = tmp_path / "answers" / "float32" / "h" / "1.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ProtocolError, match=r"float32/h/1\.json: "):
        Answers(tmp_path).run(case, "float32")


@pytest.mark.parametrize("file", ["../x.json", "/etc/passwd", "float32/../../x", "", "float32//x"])
def test_an_index_names_no_file_outside_its_folder(tmp_path: Path, file: str) -> None:
    Index(Selection(), ("float32",), (Item(2, "float32", file, "d"),)).write(tmp_path)
    with pytest.raises(UsageError, match="no file below cases"):
        Index.read(tmp_path)


def test_an_answer_that_is_deep_is_malformed_and_a_description_too() -> None:
    for told in (
        f'{{"id": 1, "outcome": {{"loss": {DEEP[950]}}}}}',
        '{"id": 1, "description": {"protocol": 2, "name": "n", "capability": "net", "dtypes": ["float32"], '
        f'"environment": {{"x": {"[" * 700 + "]" * 700}}}}}}}',
    ):
        with pytest.raises(Malformed, match="nested more than"):
            read_answer(told.encode())


def test_weights_that_json_lacks_are_carried_by_their_names(tmp_path: Path) -> None:
    words = ["NaN", "Infinity", "-Infinity", 1.0]
    told = {"loss": 1.0, "layers": [{"name": "l", "type": "T", "bottoms": [], "tops": [], "loss_weights": words}]}
    outcome = outcome_from_json(told, "float32")
    assert isinstance(outcome, Outcome)
    assert json.loads(json.dumps(outcome.to_json(), allow_nan=False))["layers"][0]["loss_weights"] == words
    assert json.dumps(outcome_message(outcome), allow_nan=False)
    with pytest.raises(ValueError, match="no number"):
        outcome_from_json({**told, "layers": [{**told["layers"][0], "loss_weights": ["nan"]}]}, "float32")  # type: ignore[index]


def test_a_report_takes_numbers_that_json_lacks(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    with ReportWriter(path) as writer:
        writer.write(
            HEADER, {"kind": "evidence", "check": "c", "dtype": "float32", "causes": {}, "factor": float("nan")}
        )
    assert read_report(path).evidence[0]["factor"] == "NaN"


def test_shapes_that_no_array_has_are_refused() -> None:
    for shape in ([2**32, 2**32], [10**30], [1] * 33, [True], [-1], "11", [1.0]):
        with pytest.raises((ValueError, TypeError)), decoding():
            array_from_json({"shape": shape, "data": [1.0]})
    with pytest.raises(ValueError, match="dtype"):
        array_from_json({"shape": [1], "data": ["1"], "dtype": "U99999999"})
    with pytest.raises(Malformed), decoding():
        array_from_json({"shape": [0, 10**40], "data": []})


@pytest.mark.parametrize(
    "field", [{"phase": 5}, {"phase": "DREAM"}, {"phase": "T" * 10**6}, {"level": "9"}, {"net": []}]
)
def test_a_case_of_absurd_fields_is_refused_in_one_line(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as raised:
        Case.from_json("h/1", {"net": "", **field})
    assert len(str(raised.value)) < 300


ABSURD: dict[str, Any] = {
    "headroom": [-1, 10**400, "x", [], "NaN", True],
    "seconds": [-1, 10**299, "x", True],
    "element": [{"blob": "b", "index": [1], "got": 10**400, "want": 1, "bound": 1}, {}, 5],
    "status": ["x", 5, []],
    "dtype": [5, [], {}],
}


@pytest.mark.parametrize("field", ABSURD)
def test_a_verdict_of_absurd_fields_is_refused(tmp_path: Path, field: str) -> None:
    saved(tmp_path / "report.jsonl", report_of(passed("h/1")))
    lines = (tmp_path / "report.jsonl").read_text().splitlines()
    for value in ABSURD[field]:
        changed = json.dumps({**json.loads(lines[1]), field: value})
        (tmp_path / "absurd.jsonl").write_text("\n".join([lines[0], changed, *lines[2:]]) + "\n")
        with pytest.raises(UsageError, match=r"absurd\.jsonl, line 2"):
            read_report(tmp_path / "absurd.jsonl")


@pytest.mark.parametrize("digest", ["", "-", "0" * 10_000, "\x1b[2J", 5])
def test_a_digest_that_is_none_is_refused(tmp_path: Path, digest: Any) -> None:
    saved(tmp_path / "report.jsonl", report_of(passed("h/1")))
    lines = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    lines[2]["cases"] = {"h/1": digest}
    (tmp_path / "report.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UsageError, match="digest"):
        read_report(tmp_path / "report.jsonl")
