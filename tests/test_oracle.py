"""The high-precision oracle: its files, its independence, its gradients, its numbers."""

from __future__ import annotations

import base64
import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import mpmath  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.tools import mpmath_oracle
from fixtures.tools.cross_check import comparable, compare
from fixtures.tools.facts import LOSSES
from fixtures.tools.oracle import cases, evaluate
from fixtures.tools.oracle.blob_proto import decode, encode
from fixtures.tools.oracle.cases.draw import Draw
from fixtures.tools.oracle.rounding import decimal, float32, float64
from fixtures.tools.oracle.settle import settle
from fixtures.tools.store import ROOT, canonical, each, load, path_of

DOUBLE = "float64"


def oracle_cases() -> list[dict[str, Any]]:
    return [load(path) for path in each() if path.name.startswith("mp-")]


# Its files


@pytest.mark.parametrize("stem", LOSSES.values())
def test_the_oracle_gives_the_same_bytes_again(stem: str) -> None:
    drafts = [draft for draft in cases.drafts() if draft.case_id.startswith(f"{stem}/")]
    assert len(drafts) >= 25
    for draft in drafts:
        expected = path_of(draft.case_id).read_bytes()
        assert canonical(mpmath_oracle.answered(draft)).encode("utf-8") == expected, draft.case_id


def test_the_oracle_s_check_names_every_file_that_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [draft for draft in cases.drafts() if draft.case_id.startswith("hinge_loss/mp-l1-shape")]
    monkeypatch.setattr(mpmath_oracle, "drafts", lambda: iter(few))
    root = ["--root", str(tmp_path)]
    assert mpmath_oracle.main(root) == 0 and mpmath_oracle.main([*root, "--check"]) == 0
    folder = tmp_path / "hinge_loss"
    changed, lost = sorted(folder.iterdir())[:2]
    changed.write_bytes(changed.read_bytes() + b"\n")
    lost.rename(folder / "mp-stray.json")
    assert mpmath_oracle.main([*root, "--check"]) == 1
    said = capsys.readouterr().err
    assert f"hinge_loss/{changed.name} differs" in said and f"hinge_loss/{lost.name} is missing" in said
    assert "hinge_loss/mp-stray.json is no case of the oracle" in said


def test_the_oracle_knows_neither_the_reference_nor_an_array_library() -> None:
    program = "import sys, fixtures.tools.mpmath_oracle; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT.parent, capture_output=True, text=True, check=True
    )
    assert not {"refimpl", "conformance", "numpy"} & set(loaded.stdout.split())


def test_the_two_oracles_agree_on_every_recording_that_both_answer() -> None:
    found = [compare(fixture) for fixture in comparable()]
    assert {row.stem for row in found} == set(LOSSES.values()) and len(found) > 300
    assert max(found, key=lambda row: row.error).error < 4e-15
    assert max(found, key=lambda row: row.loss_ulp).loss_ulp <= 16


def test_the_exact_numbers_round_to_the_expected_ones() -> None:
    for fixture in oracle_cases():
        for part in ("data", "diff"):
            for name, array in fixture["exact"][part].items():
                # Adding 0.0 drops the sign of a number that rounds to -0: zeros of these cases carry none.
                assert [float(text) + 0.0 for text in array["data"]] == fixture["expected"][DOUBLE][part][name]["data"]
        assert float(fixture["exact"]["loss"]) == fixture["expected"][DOUBLE]["loss"]


def flat(sources: dict[str, Any]) -> list[dict[str, Any]]:
    """The arrays of inputs, or of parameters, which come in lists."""
    return [array for entry in sources.values() for array in (entry if isinstance(entry, list) else [entry])]


def differentiable() -> list[Any]:
    """Oracle cases without a log floor, a kink, or ContrastiveLoss's guarded gradient; small enough to difference."""
    found = []
    for fixture in oracle_cases():
        departs = {"log_floor", "kink", "extreme"} & set(fixture["tags"]) or fixture["id"].endswith("far")
        guarded = fixture["id"].startswith("contrastive_loss/mp-") and "legacy" not in fixture["id"]
        learnt = fixture["case"].get("params", fixture["case"]["inputs"])
        if not departs and not guarded and sum(len(array["data"]) for array in flat(learnt)) <= 64:
            found.append(pytest.param(fixture, id=fixture["id"]))
    return found


@pytest.mark.parametrize("fixture", differentiable()[::3] + [p for p in differentiable() if "two-tops" in p.id])
def test_the_gradient_is_the_derivative_of_the_reported_total(fixture: dict[str, Any]) -> None:
    case, step = fixture["case"], mpmath.mpf(10) ** -30
    # Only what is learnable gets a gradient where something is; labels never do.
    moving = [name for name in case.get("params", case["inputs"]) if name in ("x", "a", "b", "p")]
    with mpmath.mp.workdps(100):
        for name in moving:
            reported = fixture["expected"][DOUBLE]["diff"][name]["data"]
            for i in range(0, len(reported), max(1, len(reported) // 4)):
                slope = (moved(case, name, i, step) - moved(case, name, i, -step)) / (2 * step)
                assert abs(slope - reported[i]) <= 1e-15 * max(1, abs(reported[i])), (name, i)


def sources(case: dict[str, Any]) -> dict[str, Any]:
    return {**case["inputs"], **{name: arrays[0] for name, arrays in case.get("params", {}).items()}}


def moved(case: dict[str, Any], name: str, index: int, step: Any) -> Any:
    """The total with one entry of a source moved."""
    array = sources(case)[name]
    data = [mpmath.mpf(entry) + (step if i == index else 0) for i, entry in enumerate(array["data"])]
    shifted = {"shape": array["shape"], "data": data}
    if name in case["inputs"]:
        return evaluate(case | {"inputs": case["inputs"] | {name: shifted}}).loss
    return evaluate(case | {"params": case["params"] | {name: [shifted]}}).loss


def test_more_digits_are_taken_until_nothing_changes() -> None:
    # At a distance of 2000 the probability of the label differs from 1 by about 1e-869.
    net = 'force_backward: true layer { type: "Input" top: "x" } layer { type: "Input" top: "y" }'
    net += 'layer { type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "l" }'
    inputs = {"x": {"shape": [1, 2], "data": [2000, 0]}, "y": {"shape": [1], "data": [0]}}
    case = {"net": net, "inputs": inputs}
    outcome, exact = settle(case)
    tiny = exact["loss"]
    assert outcome["loss"] == 0 and tiny.endswith("E-869") and len(tiny.split("E")[0]) == 41
    assert exact["diff"]["x"]["data"] == ["-" + tiny, tiny]


def test_a_net_that_reads_a_blob_twice_is_none_of_the_oracle_s() -> None:
    net = 'layer { type: "Input" top: "x" } layer { type: "EuclideanLoss" bottom: "x" bottom: "x" top: "l" }'
    with pytest.raises(ValueError, match="used twice"):
        evaluate({"net": net, "inputs": {"x": {"shape": [1], "data": [1]}}})


def test_a_layer_without_a_formula_is_refused() -> None:
    net = 'layer { name: "x" type: "Input" top: "x" } layer { name: "l" type: "TanH" bottom: "x" top: "l" }'
    with pytest.raises(ValueError, match="no formula for TanH"):
        evaluate({"net": net, "inputs": {"x": {"shape": [1], "data": [1]}}})


# Its numbers


@given(st.integers(1, 2**60), st.integers(1, 2**60), st.integers(-1100, 960), st.booleans())
def test_numbers_are_rounded_once_subnormals_included(
    numerator: int, denominator: int, exponent: int, minus: bool
) -> None:
    with mpmath.mp.workprec(4000):
        value = mpmath.ldexp(mpmath.mpf(numerator) / denominator, exponent) * (-1 if minus else 1)
        got = float64(value)
        neighbours = (math.nextafter(got, -math.inf), math.nextafter(got, math.inf))
        assert all(abs(value - got) <= abs(value - other) for other in neighbours if math.isfinite(other))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_decimal_reads_back_as_the_float_it_was(number: float) -> None:
    assert float(decimal(mpmath.mpf(number))) == number


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "0"), ("-0.75", "-0.75"), ("100", "100"), ("1e-7", "1E-7"), ("1e30", "1E+30"), ("0.00001", "0.00001")],
)
def test_a_decimal_is_plain_where_that_is_short(value: str, text: str) -> None:
    with mpmath.mp.workdps(80):
        assert decimal(mpmath.mpf(value)) == text


def test_a_decimal_has_forty_digits() -> None:
    with mpmath.mp.workdps(80):
        assert decimal(mpmath.mpf(2) / 3) == "0." + "6" * 39 + "7"


def test_weights_are_those_of_a_float32_field() -> None:
    assert float(float32("0.1")) == 0.10000000149011612 and float(float32("2.5")) == 2.5


def test_draws_are_the_same_everywhere() -> None:
    draw = Draw("a case")
    assert [draw.below(1000) for _ in range(4)] == [833, 816, 533, 825]
    assert draw.numbers((2, 2))["shape"] == [2, 2]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_blob_proto_reads_back(double: bool, legacy: bool) -> None:
    shape, data = ((1, 1, 20, 20) if legacy else (20, 20)), [i / 4 for i in range(400)]
    assert decode(encode(shape, data, double=double, legacy=legacy)) == data


def test_a_blob_proto_is_the_bytes_of_protobuf() -> None:
    # shape { dim: 1 dim: 2 } as field 7, two packed floats as field 5.
    assert encode((1, 2), [1.0, -2.0]) == bytes.fromhex("3a040a020102") + b"\x2a\x08" + struct.pack("<2f", 1, -2)


def test_the_matrices_that_caffe_read_from_files_are_read_alike() -> None:
    recorded = [load(path)["case"] for path in each() if path.parent.name == "infogain_source"]
    sizes = [len(decode(base64.b64decode(content))) for case in recorded for content in case.get("files", {}).values()]
    assert len(sizes) >= 4 and set(sizes) == {4, 9}
