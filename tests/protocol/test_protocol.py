"""The protocol: messages against their schemas, arrays bit for bit, and the worker's own codec beside the harness's."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from jsonschema import Draft202012Validator

from conformance import protocol
from conformance.adapters import worker
from conformance.contract.case import Array, Case, array_from_json
from conformance.contract.implementation import Description
from conformance.contract.outcome import Outcome
from conformance.protocol import schema
from refimpl.prototxt import parse_net

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
SCHEMAS = Path(schema.__file__).resolve().parent / "schemas"

CASE = Case(
    "softmax_with_loss/secret",
    'layer { name: "in" type: "Input" top: "x" top: "y" } layer { name: "ip" type: "InnerProduct" top: "p" top: "q" }',
    {"x": np.array([[1.0, np.nan], [-0.0, np.inf]]), "y": np.zeros(2)},
    phase="TEST",
    params={"ip": (np.ones((2, 2)), np.zeros(2))},
    prefill_diff={"x": float("nan")},
    top_diff={"loss": float("-inf")},
    files={"h.binaryproto": b"\x00\xff"},
    steps=("forward", "backward", "backward"),
    level=3,
    stages=("deploy",),
)
MINIMAL = {
    "loss": 1.5,
    "diff": {name: {"shape": [2, 2] if name == "x" else [2], "data": [0] * n} for name, n in (("x", 4), ("y", 2))},
}
PARAMS = {"param_diff": {"ip": [{"shape": [2, 2], "data": [0] * 4}, {"shape": [2], "data": [0, 0]}]}}

arrays = st.sampled_from(["float32", "float64"]).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


def same_bits(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", schema.names())
def test_a_schema_is_one_and_has_a_title_and_a_description(name: str) -> None:
    content = json.loads((SCHEMAS / f"{name}.json").read_text())
    Draft202012Validator.check_schema(content)
    assert content["title"]
    assert content["description"]
    assert content["$id"] == f"lossconf:/{name}"


def conversation() -> list[tuple[str, dict[str, Any]]]:
    """Every line of the document's conversations: ">" or "<", and the message."""
    blocks = re.findall(r"<!-- conversation -->\n```text\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return [(line[0], json.loads(line[2:])) for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize(("direction", "message"), conversation())
def test_the_document_speaks_the_protocol(direction: str, message: dict[str, Any]) -> None:
    if direction == ">":
        assert protocol.violation(message["verb"], message) is None
    else:
        answer = protocol.read_answer(json.dumps(message).encode())
        assert answer.id == message["id"]


def test_the_document_shows_every_request_and_names_every_answer() -> None:
    assert {message["verb"] for direction, message in conversation() if direction == ">"} == {
        "describe",
        "run",
        "time",
        "stop",
    }
    text = DOCUMENT.read_text()
    for name in ("description", "outcome", "computed", "times", "refusal", "unsupported", "crash", "error", "stage"):
        assert f"`{name}`" in text


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_requests_follow_their_schemas(dtype: str) -> None:
    case = protocol.case_message(CASE, dtype)
    for line in (
        protocol.request("describe", 1, protocol=protocol.VERSION),
        protocol.request("run", 2, dtype=dtype, case=case),
        protocol.request("time", 3, dtype=dtype, case=case, rounds=10),
        protocol.request("stop", 4),
    ):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        message = json.loads(line)
        assert protocol.violation(message["verb"], message) is None


def test_a_case_travels_whole_and_without_its_id() -> None:
    message = protocol.case_message(CASE, "float32")
    arrived = Case.from_json("unnamed", message)
    for name in ("net", "phase", "top_diff", "files", "steps", "level", "stages"):
        assert getattr(arrived, name) == getattr(CASE, name)
    assert np.isnan(arrived.prefill_diff["x"])
    assert same_bits(arrived.inputs["x"], CASE.inputs["x"].astype(np.float32))
    assert "secret" not in json.dumps(message)
    assert set(message) <= set(json.loads((SCHEMAS / "case.json").read_text())["properties"])


def test_who_claims_any_form_is_told_a_case_s_forms() -> None:
    case = replace(CASE, forms=("FocalLoss:F4", "FocalLoss:F1"))
    assert "forms" not in protocol.case_message(case, "float32")
    told = protocol.case_message(case, "float32", forms=True)
    assert protocol.read_case(told).forms == case.forms
    line = json.loads(protocol.request("run", 2, dtype="float32", case=told))
    assert protocol.violation("run", line) is None
    body = {"protocol": 2, "name": "mine", "capability": "net", "dtypes": ["float32"], "any_forms": True}
    assert protocol.read_description(body).any_forms
    with pytest.raises(ValueError, match="a single layer is not told"):
        protocol.read_description({**body, "capability": "layer", "layers": ["FocalLoss"]})


@given(arrays)
def test_the_workers_arrays_reach_the_harness_bit_for_bit(array: Array) -> None:
    message = json.loads(json.dumps(worker.encode(array), allow_nan=False))
    assert protocol.violation("array", message) is None
    assert same_bits(array_from_json(message), array)


@given(arrays)
def test_the_harnesss_arrays_reach_the_worker_bit_for_bit(array: Array) -> None:
    message = json.loads(json.dumps(protocol.array_message(array, array.dtype.name), allow_nan=False))
    assert protocol.violation("array", message) is None
    assert same_bits(np.array(worker.decode(message), array.dtype), array)


def test_arrays_are_little_endian_and_row_major() -> None:
    array = np.asfortranarray(np.array([[1.0, 2.0], [3.0, 4.0]], dtype=">f4"))
    expected = struct.pack("<4f", 1.0, 2.0, 3.0, 4.0)
    for message in (worker.encode(array), protocol.array_message(array, "float32")):
        assert message["dtype"] == "float32"
        assert array_from_json(message).astype("<f4").tobytes() == expected


@given(st.lists(st.floats(width=32), max_size=6))
def test_plain_lists_are_read_by_both_sides_alike(numbers: list[float]) -> None:
    words = {float("inf"): "Infinity", float("-inf"): "-Infinity"}
    data = ["NaN" if x != x else words.get(x, x) for x in numbers]
    message = json.loads(json.dumps({"shape": [len(numbers)], "data": data}))
    assert protocol.violation("array", message) is None
    np.testing.assert_array_equal(worker.decode(message), np.array(numbers, dtype=np.float64).reshape(len(numbers)))
    np.testing.assert_array_equal(array_from_json(message, "float32"), np.array(numbers, dtype=np.float32))


@given(st.floats())
def test_the_workers_numbers_are_json(value: float) -> None:
    message = json.loads(json.dumps(worker.number(value), allow_nan=False))
    assert protocol.violation("number", message) is None
    assert struct.pack("d", float(message)) == struct.pack("d", value) or value != value


def read(body: dict[str, Any], case: Case = CASE, dtype: str = "float32") -> Outcome:
    answer = protocol.read_answer(json.dumps({"id": 1, "outcome": body}).encode())
    return protocol.read_outcome(answer.body, case, dtype)


def test_the_least_that_an_outcome_may_hold_is_enough() -> None:
    outcome = read({**MINIMAL, **PARAMS})
    assert outcome.loss == 1.5
    assert outcome.diff["x"].dtype == np.float32
    assert outcome.layers is None


def test_no_gradient_is_asked_for_where_nothing_ran_backward() -> None:
    case = Case("forward", "", {"x": np.zeros(2)}, steps=("forward",))
    assert read({"loss": "NaN"}, case).diff == {}


def test_a_zero_keeps_the_sign_that_c_prints() -> None:
    answer = protocol.read_answer(b'{"id": 1, "outcome": {"loss": -0, "diff": {"x": {"shape": [2], "data": [-0, 0]}}}}')
    outcome = protocol.read_outcome(answer.body, Case("zero", "", {"x": np.zeros(2)}), "float32")
    assert np.signbit(outcome.diff["x"]).tolist() == [True, False]
    assert np.signbit(outcome.loss)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"param_diff": {}}, "param_diff.ip missing"),
        ({"param_diff": {"ip": [{"shape": [2, 2], "data": [0] * 4}]}}, "param_diff.ip has 1 arrays for 2 parameters"),
        ({"param_diff": {"ip": [{"shape": [4], "data": [0] * 4}, {"shape": [2], "data": [0, 0]}]}}, "param_diff.ip.0"),
        ({"loss_trace": [1.0]}, "loss_trace has 1 entries for 3 steps"),
        ({"loss": "nan"}, "loss: 'nan' is not valid"),
        ({"loss": True}, "loss: True is not valid"),
        ({"dtype": "float16"}, "dtype is float16, asked for float32"),
        ({"data": {"x": {"shape": [4], "data": [0] * 4}}}, r"diff.x has shape \[2, 2\], data.x has \[4\]"),
        ({"data": {"p": {"shape": [1], "data": ["one"]}}}, "data.p: 'one' is no number"),
        ({"layers": [{"name": "loss"}]}, "layers.0: 'type' is a required property"),
    ],
)
def test_what_is_wrong_with_an_outcome_is_said_by_place(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read({**MINIMAL, **PARAMS, **change})


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        protocol.read_answer(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
fields = st.sampled_from(["loss", "data", "diff", "param_diff", "dtype", "layers", "outputs", "loss_trace"])


@given(st.dictionaries(fields, json_values, max_size=4))
def test_no_outcome_raises_anything_but_a_value_error(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        read(body)


def test_a_description_is_read_whole() -> None:
    body = {
        "protocol": 1,
        "name": "mine",
        "version": "2",
        "language": "Rust",
        "capability": "layer",
        "layers": ["HingeLoss"],
        "dtypes": ["float64"],
        "devices": ["npu:0"],
        "dialect": "bvlc",
        "determinism": "bitwise",
        "environment": {"rustc": "1.80"},
    }
    answer = protocol.read_answer(json.dumps({"id": 0, "description": body}).encode())
    assert protocol.read_description(answer.body) == Description(
        name="mine",
        version="2",
        language="Rust",
        capability="layer",
        layers=("HingeLoss",),
        dtypes=("float64",),
        devices=("npu:0",),
        dialect="bvlc",
        determinism="bitwise",
        environment={"rustc": "1.80"},
        protocol=1,
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"protocol": 3}, "speaks version 3 .*, this harness versions 1 and 2"),
        ({"capability": "layer"}, "capability layer names its layers"),
    ],
)
def test_a_description_that_cannot_be_worked_with_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        protocol.read_description({"protocol": 1, "name": "mine", "capability": "net", "dtypes": ["float32"], **change})


def test_a_layers_message_holds_what_the_prototxt_sets() -> None:
    net = parse_net(
        'layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "l" loss_weight: 2 '
        "propagate_down: [true, false] loss_param { ignore_label: -1 normalization: FULL } "
        "softmax_param { axis: 1 } contrastive_loss_param { margin: inf } }"
    )
    message = protocol.layer_message(net.layer[0])
    assert protocol.violation("layer", message) is None
    assert message == {
        "name": "l",
        "type": "SoftmaxWithLoss",
        "bottom": ["x", "y"],
        "top": ["l"],
        "loss_weight": [2.0],
        "propagate_down": [True, False],
        "loss_param": {"ignore_label": -1, "normalization": "FULL"},
        "softmax_param": {"axis": 1},
        "contrastive_loss_param": {"margin": "Infinity"},
    }


def test_times_have_an_entry_a_round() -> None:
    times = {"forward": [1.0, 2.0], "backward": [1.0, 2.0], "both": [1.0]}
    with pytest.raises(ValueError, match=r"times\.both has 1 entries for 2 rounds"):
        protocol.read_times(times, 2)


def test_a_description_may_claim_types_by_role_and_is_told_which_there_are() -> None:
    body = {"protocol": 2, "name": "mine", "capability": "net", "dtypes": ["bfloat16,loss float32 (computed float32)"]}
    assert protocol.read_description(body).dtypes == ("bfloat16, loss float32 (computed float32)",)
    with pytest.raises(ValueError, match="'bf16' is no claim of types: it is float16, bfloat16, float32 or float64"):
        protocol.read_description({**body, "dtypes": ["bf16"]})


def test_an_array_is_of_a_type_that_the_claim_stores() -> None:
    claim = "bfloat16, loss float32 (computed float32)"
    case = Case("it", "", {"x": np.zeros(2)})
    message = protocol.case_message(case, claim)
    assert message["inputs"]["x"] == {"dtype": "bfloat16", "shape": [2], "base64": "AAAAAA=="}

    def answered(dtype: str) -> Any:
        diff = protocol.array_message(np.array([0.5, 2.0]), dtype)
        return protocol.read_outcome({"loss": 1.0, "diff": {"x": diff}}, case, claim)

    assert [answered(dtype).diff["x"].dtype.name for dtype in ("bfloat16", "float32")] == ["bfloat16", "float32"]
    with pytest.raises(ValueError, match=f"diff.x is float16, asked for {claim[:8]}"):
        answered("float16")
