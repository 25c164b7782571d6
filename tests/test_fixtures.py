"""The golden cases: their format, what they say about themselves, their lock, and how recordings become cases."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.case import Case
from conformance.drive import build, run_steps
from fixtures.tools import convert_recordings, lock
from fixtures.tools.dialects import dialect_of
from fixtures.tools.facts import Facts, facts_of
from fixtures.tools.prototext import read
from fixtures.tools.requirements_of import REQUIREMENTS, requirements_of
from fixtures.tools.store import ROOT, canonical, each, load, path_of
from refimpl.errors import NetError
from refimpl.net import Net

FAMILIES = sorted({path.parent.name for path in each()})
DOUBLE = "float64"


@cache
def fixtures() -> tuple[dict[str, Any], ...]:
    return tuple(load(path) for path in each())


def recordings() -> list[dict[str, Any]]:
    return [fixture for fixture in fixtures() if fixture["provenance"]["oracle"] == "bvlc-caffe"]


def oracle_cases() -> list[dict[str, Any]]:
    return [fixture for fixture in fixtures() if fixture["provenance"]["oracle"] == "mpmath"]


def facts(fixture: dict[str, Any]) -> Facts:
    return facts_of(fixture["id"], fixture["tags"], fixture["case"], fixture["expected"][DOUBLE])


def arrays_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every array anywhere under a JSON value."""
    if isinstance(value, dict):
        if "shape" in value:
            yield value
        else:
            for item in value.values():
                yield from arrays_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from arrays_in(item)


# Format


@pytest.mark.parametrize("family", FAMILIES)
def test_every_fixture_follows_the_schema(family: str) -> None:
    schema = json.loads((ROOT / "schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for fixture in fixtures():
        if fixture["id"].startswith(f"{family}/"):
            fault = jsonschema.exceptions.best_match(validator.iter_errors(fixture))
            assert fault is None, f"{fixture['id']}: {fault.message} at {list(fault.path)}"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("schema", 2),
        ("id", "no-family"),
        ("purpose", "no capital, no full stop"),
        ("requirements", []),
        ("dialect", "caffe2"),
        ("provenance", {"oracle": "guess", "version": "1"}),
        ("case", {"inputs": {}}),
        ("expected", {}),
        ("expected", {"float64": {"loss": "nan", "data": {}, "diff": {}, "param_diff": {}}}),
        ("exact", {}),
        ("unheard_of", 1),
    ],
)
def test_the_schema_rejects_what_is_no_fixture(place: str, value: Any) -> None:
    schema = json.loads((ROOT / "schema.json").read_text("utf-8"))
    broken = oracle_cases()[0] | {place: value}
    assert not jsonschema.Draft202012Validator(schema).is_valid(broken)


def test_a_file_lies_where_its_id_says_and_holds_the_canonical_bytes() -> None:
    for path, fixture in zip(each(), fixtures(), strict=True):
        assert path == path_of(fixture["id"])
        assert path.read_bytes() == canonical(fixture).encode("utf-8"), fixture["id"]


def test_no_two_files_are_the_same_on_a_file_system_without_letter_case() -> None:
    names = [fixture["id"].lower() for fixture in fixtures()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "case_id", ["a/b c", "a/b/c", "../a/b", "a/b?", "a/con", "a/nul.x", "A/b", "a/", "a/b.", "a/" + "b" * 200]
)
def test_an_id_that_some_file_system_cannot_hold_is_refused(case_id: str) -> None:
    with pytest.raises(ValueError, match="not safe as a file name"):
        path_of(case_id)


def test_a_bare_nan_is_not_written() -> None:
    with pytest.raises(ValueError):
        canonical({"loss": math.nan})
    with pytest.raises(ValueError):
        canonical({"shape": [1], "data": [math.inf]})


@settings(max_examples=40)
@given(
    st.recursive(
        st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_the_canonical_text_keeps_every_value(value: Any) -> None:
    def bits(item: Any) -> Any:
        return item.hex() if isinstance(item, float) else item

    text = canonical(value)
    assert json.loads(text, parse_float=lambda t: float(t).hex()) == json.loads(
        json.dumps(value), parse_float=lambda t: bits(float(t))
    )
    assert canonical(json.loads(text)) == text


def test_every_array_has_as_many_entries_as_its_shape_says() -> None:
    for fixture in fixtures():
        for array in arrays_in(fixture):
            assert len(array["data"]) == math.prod(array["shape"]), fixture["id"]


def inexact(value: Any) -> bool:
    """Whether some entry of an array under `value` is none that float32 holds."""
    entries = np.array([float(entry) for array in arrays_in(value) for entry in array["data"]])
    return not np.array_equal(entries.astype(np.float32).astype(np.float64), entries, equal_nan=True)


def test_inputs_are_exact_in_float32_but_for_a_few_labels_about_truncation() -> None:
    given_numbers = {f["id"]: [f["case"]["inputs"], f["case"].get("params", {})] for f in fixtures()}
    assert {case_id for case_id, numbers in given_numbers.items() if inexact(numbers)} == {
        "contrastive_loss/similarity-truncates-true",
        "hinge_loss/labels-truncate",
        "softmax_with_loss/labels-truncate",
    }


def test_float32_outcomes_are_float32_numbers() -> None:
    assert not [fixture["id"] for fixture in recordings() if inexact(fixture["expected"]["float32"])]


# What a fixture says about itself


def test_every_fixture_names_the_requirements_that_the_table_gives_it() -> None:
    for fixture in fixtures():
        assert fixture["requirements"] == requirements_of(facts(fixture)), fixture["id"]


def test_every_requirement_of_the_table_is_served_by_some_fixture() -> None:
    served = {requirement for fixture in fixtures() for requirement in fixture["requirements"]}
    # No recording holds them, and the oracle computes finite numbers only.
    unserved = {f"{stem}.nonfinite" for stem in ("contrastive_loss", "infogain_loss", "sigmoid_cross_entropy_loss")}
    assert REQUIREMENTS.keys() - served == unserved


def test_purposes_are_sentences_and_not_a_program_s_spelling() -> None:
    for fixture in fixtures():
        words = fixture["purpose"].replace(",", " ").rstrip(".").split()
        assert len(words) > 2 and not {"None", "True", "False"} & set(words), fixture["id"]


def answer(fixture: dict[str, Any], dialect: str) -> tuple[Net | None, str, list[float]]:
    """The reference's net after the steps, the stage at which it refuses the case, and the loss after each step."""
    case = Case.from_json(fixture["id"], fixture["case"])
    try:
        net = build(case, dialect=dialect)
        return net, "", run_steps(net, case)
    except NetError as error:
        return None, error.stage, []


def agrees(fixture: dict[str, Any], dialect: str) -> bool:
    """Whether the reference in a dialect gives the expected outcome."""
    expected = fixture["expected"][DOUBLE]
    net, stage, trace = answer(fixture, dialect)
    if net is None or "error" in expected:
        return bool(stage == expected.get("stage"))
    pairs = [(trace[-1:], [expected["loss"]]), (trace, expected.get("loss_trace", trace))]
    for name, array in expected["data"].items():
        if name not in net.blobs:
            return False
        pairs += [(net.blobs[name].data, array["data"]), (net.blobs[name].diff, expected["diff"][name]["data"])]
    for layer, arrays in expected["param_diff"].items():
        pairs += [(blob.diff, array["data"]) for blob, array in zip(net.params[layer], arrays, strict=True)]
    return all(near(ours, theirs) for ours, theirs in pairs)


def near(ours: Any, theirs: Any) -> bool:
    """Equal within 1e-10 of the largest magnitude, non-finite entries exactly."""
    got, want = np.ravel(np.asarray(ours, dtype=float)), np.array([float(entry) for entry in theirs])
    scale = np.abs(want[np.isfinite(want)]).max(initial=1e-3)
    return got.shape == want.shape and bool(np.allclose(got, want, rtol=0, atol=1e-10 * scale, equal_nan=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_case_of_both_dialects_has_the_same_answer_in_both(family: str) -> None:
    for fixture in fixtures():
        if fixture["dialect"] == "both" and fixture["id"].startswith(f"{family}/"):
            assert agrees(fixture, "documented") and agrees(fixture, "bvlc"), fixture["id"]


def test_a_case_of_one_dialect_has_that_dialect_s_answer() -> None:
    single = [fixture for fixture in fixtures() if fixture["dialect"] != "both"]
    assert all(agrees(fixture, fixture["dialect"]) for fixture in single)


def test_a_recording_of_the_bvlc_dialect_alone_departs_from_the_documented_one() -> None:
    # Two stand in a quirk's situation, where both answers happen to be the same: the margins that a second backward
    # mistakes are 0, and the gradient of a sum of probabilities is 0.
    same = {"hinge_loss/backward-twice-L1", "infogain_loss/two-tops-1-0.5"}
    alone = [fixture for fixture in recordings() if fixture["dialect"] == "bvlc"]
    assert {fixture["id"] for fixture in alone if agrees(fixture, "documented")} == same


def test_the_dialect_of_a_recording_is_read_off_its_net() -> None:
    for fixture in recordings():
        assert fixture["dialect"] == dialect_of(facts(fixture)), fixture["id"]


# The lock


def test_the_lock_holds_every_case() -> None:
    assert lock.differences() == []


def test_the_lock_names_what_changed_was_added_or_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("kept", "changed", "lost"):
        (tmp_path / "family").mkdir(exist_ok=True)
        (tmp_path / "family" / f"{name}.json").write_text("{}\n")
    assert lock.main(["--root", str(tmp_path)]) == 0
    (tmp_path / "family" / "changed.json").write_text("{ }\n")
    (tmp_path / "family" / "lost.json").unlink()
    (tmp_path / "family" / "added.json").write_text("{}\n")
    assert lock.main(["--check", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split("lock: ")[1] for line in said] == [
        "family/added: not locked",
        "family/changed: changed",
        "family/lost: locked, but there is no such file",
    ]


def test_a_missing_lock_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lock.main(["--check", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "python -m fixtures.tools.lock" in said


# Conversion of recordings


RECORDING = {
    "id": "net/tiny",
    "about": "a net of one layer",
    "tags": ["loss_weight"],
    "net": 'layer { name: "x" type: "Input" top: "x" loss_weight: 2 input_param { shape { dim: 3 } } }\n',
    "inputs": {"x": {"shape": [3], "data": [0.1, -0.0, "NaN"]}},
    "float64": {
        "loss": "NaN",
        "data": {"x": {"shape": [3], "data": [5e-324, -0.0, "NaN"]}},
        "diff": {"x": {"shape": [3], "data": [1.7976931348623157e308, 0.30000000000000004, 2]}},
        "param_diff": {},
        "layers": [],
        "outputs": ["x"],
    },
}
RECORDING["float32"] = RECORDING[DOUBLE]


def test_a_recording_keeps_every_bit(tmp_path: Path) -> None:
    (tmp_path / "net.jsonl").write_text(json.dumps(RECORDING) + "\n")
    assert convert_recordings.main([str(tmp_path), "--root", str(tmp_path)]) == 0
    fixture = load(tmp_path / "net" / "tiny.json")
    assert repr(fixture["expected"][DOUBLE]) == repr(RECORDING[DOUBLE])
    assert repr(fixture["case"]["inputs"]) == repr(RECORDING["inputs"])
    assert fixture["purpose"] == "A net of one layer."
    assert convert_recordings.main([str(tmp_path), "--root", str(tmp_path), "--check"]) == 0


def test_a_fixture_that_differs_from_its_recording_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.jsonl").write_text(json.dumps(RECORDING) + "\n")
    convert_recordings.main([str(tmp_path), "--root", str(tmp_path)])
    path = tmp_path / "net" / "tiny.json"
    path.write_text(path.read_text().replace("0.30000000000000004", "0.3"))
    assert convert_recordings.main([str(tmp_path), "--root", str(tmp_path), "--check"]) == 1
    assert "net/tiny" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "net/x"}'])
def test_a_broken_recording_is_one_clear_line(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.jsonl").write_text(line + "\n")
    assert convert_recordings.main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("convert_recordings: net.jsonl:1: not ") and said.count("\n") == 1


def test_a_folder_without_recordings_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert_recordings.main([str(tmp_path)]) == 2
    assert "no *.jsonl recordings" in capsys.readouterr().err


def test_the_reader_of_net_text_sees_fields_messages_and_strings() -> None:
    net = read('name: "a { b: c }"  layer { type: "X" top: "t" top: "u" p { norm: L2 } q: { dim: -1 } }')
    assert net.first("name") == "a { b: c }"
    layer = net.sub("layer")
    assert (
        layer.all("top") == ["t", "u"] and layer.sub("p").first("norm") == "L2" and layer.sub("q").first("dim") == "-1"
    )
    assert not layer.has("norm") and layer.sub("absent").first("norm", "L1") == "L1"
