"""Broken inputs: each gives one line that says what is wrong, a non-zero exit code, and no traceback."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conformance.fixtures import folder
from tests.command_line import Ended, Lossconf, lossconf_in

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
LABEL = 'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }\n'
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "loss" }\n'
NET = INPUT + LABEL + LOSS

PROTOTXTS: dict[str, tuple[str | bytes, str]] = {
    "brace left open": (NET + "layer {", "parse, line 4"),
    "brace too many": (NET + "}", "parse, line 4"),
    "unknown field": (NET.replace("shape", "shapes", 1), "shapes"),
    "misspelled known field": (NET.replace("bottom:", "botom:", 1), "bottom"),
    "string not ended": (NET.replace('"loss" }', '"loss }'), "line 3"),
    "number where a name belongs": (NET.replace('type: "Input"', "type: 7", 1), "line 1"),
    "enum that does not exist": (NET.replace('top: "loss"', "loss_param { normalization: MEAN }"), "MEAN"),
    "dimension that is no number": (NET.replace("dim: 3", "dim: three"), "three"),
    "nothing at all": ("", "without layers"),
    "only a comment": ("# a net", "without layers"),
    "bytes of a binary proto": (b"\n\x04net\x80\xff\xfe", "UTF-8"),
    "unknown layer type": (NET.replace("SoftmaxWithLoss", "SoftmaxLoss"), "SoftmaxLoss"),
    "bottom that nobody makes": (NET.replace('bottom: "x"', 'bottom: "z"'), "'z'"),
    "top made twice": (NET + INPUT, "'x'"),
    "loss with one bottom": (NET.replace('bottom: "y" ', ""), "bottom"),
    "loss with three tops": (NET.replace('top: "loss"', 'top: "a" top: "b" top: "c"'), "top"),
    "two weights for one top": (NET.replace('top: "loss"', 'top: "loss" loss_weight: 1 loss_weight: 2'), "loss_weight"),
    "batch that differs": (NET.replace("dim: 2 }", "dim: 5 }"), "loss"),
    "V0 layers": ('layers { layer { name: "x" type: "data" } }', "V0"),
}

ARRAYS = {"x": np.eye(2, 3), "y": np.array([0.0, 2.0])}


def npz(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{**ARRAYS, **arrays})  # type: ignore[arg-type]
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.eye(3))
    return file.getvalue()


def torn() -> bytes:
    return npz()[:-40]


INPUTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"x = 1", "no .npz"),
    "nothing": (lambda: b"", "no .npz"),
    "torn": (torn, "no .npz"),
    "one array without a name": (npy, "without a name"),
    "an input missing": (lambda: npz_of(x=ARRAYS["x"]), "'y'"),
    "an array nobody takes": (lambda: npz(z=np.zeros(3)), "'z'"),
    "an array almost named": (lambda: npz(xx=np.zeros(3)), "did you mean x"),
    "strings": (lambda: npz(x=np.array([["a", "b"]])), "numbers belong"),
    "objects": (lambda: npz(x=np.array([{}, None], dtype=object)), "no .npz"),
    "complex numbers": (lambda: npz(x=np.eye(2, 3) * 1j), "numbers belong"),
    "another batch": (lambda: npz(x=np.zeros((3, 3))), "first dimensions"),
    "a label outside": (lambda: npz(y=np.array([0, 9])), "outside 0..2"),
    "an empty batch": (lambda: npz(x=np.zeros((0, 3)), y=np.zeros(0)), "empty batch"),
}


def npz_of(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def fixture(**changes: object) -> bytes:
    document = json.loads((folder() / "euclidean_loss" / "grid-001.json").read_text("utf-8"))
    changed = {**document, **changes}
    return json.dumps({name: value for name, value in changed.items() if value is not None}).encode()


def case(**changes: object) -> bytes:
    return fixture(case={**json.loads(fixture())["case"], **changes})


FIXTURES: dict[str, tuple[Callable[[], bytes], str]] = {
    "not JSON": (lambda: b"{'id': 1}", "line 1, column 2"),
    "not UTF-8": (lambda: b'{"id": "\xff"}', "UTF-8"),
    "a list": (lambda: b"[]", "JSON object"),
    "nested without end": (lambda: b"[" * 200_000, "nested too deeply"),
    "another schema": (lambda: fixture(schema=2), "schema is 2"),
    "no id": (lambda: fixture(id=None), "'id' is missing"),
    "no purpose": (lambda: fixture(purpose=None), "'purpose' is missing"),
    "requirements that are text": (lambda: fixture(requirements="all"), "'requirements' is a str"),
    "an unknown dialect": (lambda: fixture(dialect="caffe2"), "'caffe2'"),
    "no case": (lambda: fixture(case=None), "'case' is missing"),
    "a case without a net": (lambda: fixture(case={"inputs": {}}), "case.net"),
    "an answer in half precision": (lambda: fixture(expected={"float16": {}}), "float16"),
    "no answer": (lambda: fixture(expected={}), "float32 or float64"),
    "data that do not fill the shape": (lambda: case(inputs={"x": {"shape": [2, 3], "data": [1]}}), "shape [2, 3]"),
    "a negative size": (lambda: case(inputs={"x": {"shape": [-1], "data": []}}), "list of sizes"),
    "a number that is a word": (lambda: case(inputs={"x": {"shape": [1], "data": ["one"]}}), "'one'"),
    "a step that does not exist": (lambda: case(steps=["sideways"]), "sideways"),
    "a file that is not base64": (lambda: case(files={"H": "*"}), "case euclidean_loss/grid-001"),
    "an answer without a loss": (lambda: fixture(expected={"float64": {"data": {}}}), "'loss'"),
}

SPECS: dict[str, tuple[str, str, int]] = {
    "no such implementation": ("refrence", "did you mean reference", 2),
    "no such dialect": ("reference:caffe2", "caffe2", 2),
    "no module": ("direct:", "no module's name", 2),
    "a path for a module": ("direct:./layers.py:Euclidean", "no module's name", 2),
    "a module that is not there": ("direct:nowhere.layers:Euclidean", "no module nowhere", 6),
    "an object that is not there": ("direct:tests.direct_miniatures:Nobody", "'Nobody'", 2),
    "an object that is none": ("direct:math:pi", "no implementation", 2),
    "a module that holds none": ("direct:math", "no implementation", 2),
    "an object that cannot describe itself": ("direct:tests.direct_miniatures:Recursive", "cannot say who I am", 6),
    "no command": ("process:", "needs a command", 2),
    "a command that is not there": ("process:/nowhere/caffe", "/nowhere/caffe", 6),
    "a Python that is not there": ("pycaffe:/nowhere/python", "/nowhere/python", 6),
    "a device that is no number": ("pycaffe:python3 --gpu first", "--gpu", 2),
}

OPTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "no such command": (("rnu",), "rnu"),
    "no such option": (("run", "--dilect", "bvlc"), "--dilect"),
    "no such dialect": (("run", "--dialect", "caffe"), "caffe"),
    "no such dtype": (("run", "-j", "0", "--dtype", "float8"), "float16, bfloat16"),
    "no such family": (("run", "-j", "0", "--family", "goldn"), "did you mean golden"),
    "no such layer": (("run", "-j", "0", "--layer", "hinge"), "hinge_loss"),
    "no such case": (("run", "-j", "0", "--case", "hinge_loss/grid-00x"), "hinge_loss/grid-00"),
    "an expression that is none": (("run", "-j", "0", "-k", "hinge and (or"), "-k"),
    "an expression that matches nothing": (("run", "-j", "0", "-k", "nothing_like_this"), "no check matches"),
    "a shard of nothing": (("run", "--shard", "4/3"), "4/3"),
    "a shard in words": (("run", "--shard", "first"), "first"),
    "a negative timeout": (("run", "--timeout", "-1"), "--timeout"),
    "a report that cannot be written": (("run", "-j", "0", "--report", "no/such/folder.jsonl"), "folder.jsonl"),
    "a report that is not there": (("report", "nowhere.jsonl"), "nowhere.jsonl"),
    "a case that is not there": (("show", "hinge_loss/grid-999"), "did you mean"),
    "a case outside the folder": (("show", "../pyproject"), "no case named"),
    "a fixture that is not there": (("show", "nowhere.json"), "nowhere.json"),
    "a net that is not there": (("eval", "nowhere.prototxt"), "nowhere.prototxt"),
    "a folder for a net": (("eval", "."), "directory"),
    "a list of something else": (("list", "bugs"), "bugs"),
    "a layer without cases": (("list", "cases", "--layer", "triplet_loss"), "triplet_loss"),
    "a shell that is none": (("completion", "csh"), "csh"),
}


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


def assert_one_line(ended: Ended, says: str, code: int = 2) -> None:
    assert ended.code == code, ended
    assert ended.err.startswith("lossconf: "), ended.err
    first, *rest = ended.err.splitlines()
    assert all(line.startswith("  | ") for line in rest), ended.err
    assert says in first, first
    assert len(first) < 500
    if code == 2:
        assert not rest, ended.err


@pytest.mark.parametrize("name", PROTOTXTS)
def test_a_broken_prototxt_gives_one_line(lossconf: Lossconf, tmp_path: Path, name: str) -> None:
    text, says = PROTOTXTS[name]
    (tmp_path / "net.prototxt").write_bytes(text.encode() if isinstance(text, str) else text)
    (tmp_path / "x.npz").write_bytes(npz())
    assert_one_line(lossconf("eval", "net.prototxt", "--inputs", "x.npz"), says)


@pytest.mark.parametrize("name", INPUTS)
def test_a_broken_npz_gives_one_line(lossconf: Lossconf, tmp_path: Path, name: str) -> None:
    make, says = INPUTS[name]
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "x.npz").write_bytes(make())
    assert_one_line(lossconf("eval", "net.prototxt", "--inputs", "x.npz"), says)


@pytest.mark.parametrize("name", FIXTURES)
def test_a_broken_fixture_gives_one_line(lossconf: Lossconf, tmp_path: Path, name: str) -> None:
    make, says = FIXTURES[name]
    (tmp_path / "case.json").write_bytes(make())
    assert_one_line(lossconf("show", "case.json"), says)


@pytest.mark.parametrize("name", SPECS)
def test_a_broken_specification_gives_one_line(lossconf: Lossconf, name: str) -> None:
    spec, says, code = SPECS[name]
    assert_one_line(lossconf("run", spec, "-j", "0"), says, code)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_broken_command_line_gives_one_line(lossconf: Lossconf, name: str) -> None:
    arguments, says = OPTIONS[name]
    assert_one_line(lossconf(*arguments), says)


def test_no_failed_start_leaves_or_ruins_a_report(lossconf: Lossconf, tmp_path: Path) -> None:
    (tmp_path / "report.jsonl").write_text("an earlier one\n")
    assert lossconf("run", "direct:nowhere:x", "-j", "0").code == 6
    assert (tmp_path / "report.jsonl").read_text() == "an earlier one\n"
