"""The commands that need no run: list, show, eval, report, completion, help."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from conformance.cli.main import COMMANDS
from conformance.contract.exit_codes import MEANINGS
from conformance.fixtures import case_ids, load
from conformance.losses import PROFILES
from conformance.record.shape import schema as line_schema
from conformance.requirements import CATALOGUE
from conformance.suite import all_checks
from tests.command_line import Lossconf, lossconf_in

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" loss_weight: 2 }
"""


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    (tmp_path / "net.prototxt").write_text(NET)
    arrays = {"x": np.eye(2, 3), "y": np.array([0, 2]), "ip[0]": np.eye(3), "ip[1]": np.zeros(3)}
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    return lossconf_in(tmp_path, monkeypatch, capsys)


def test_help_names_every_command_and_exit_code(lossconf: Lossconf) -> None:
    told = lossconf("--help")
    assert told.code == 0
    assert all(f"\n  {name} " in told.out for name in COMMANDS)
    assert all(f"{int(code)}  {meaning}" in told.out for code, meaning in MEANINGS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples(lossconf: Lossconf, name: str) -> None:
    told = lossconf(name, "--help")
    assert told.code == 0
    assert "Examples:" in told.out


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("cases", len(case_ids())),
        ("requirements", len(CATALOGUE)),
        ("checks", sum(1 for _ in all_checks(profiles=tuple(PROFILES)))),
    ],
)
def test_list_has_one_line_for_each(lossconf: Lossconf, kind: str, count: int) -> None:
    lines = lossconf("list", kind).out.splitlines()
    assert len(lines) == count == int(lossconf("list", kind, "--count").out)
    assert len({line.split()[0] for line in lines}) == count


def test_list_narrows_to_a_layer(lossconf: Lossconf) -> None:
    lines = lossconf("list", "cases", "--layer", "hinge_loss").out.splitlines()
    assert lines
    assert all(line.startswith("hinge_loss/") for line in lines)


def test_show_tells_net_inputs_and_answer(lossconf: Lossconf) -> None:
    fixture = load("hinge_loss/grid-006")
    told = lossconf("show", fixture.id)
    answer = fixture.expected("float64")
    assert told.code == 0
    assert fixture.purpose in told.out
    assert 'type: "HingeLoss"' in told.out
    assert repr(answer.loss) in told.out  # type: ignore[union-attr]
    assert "provenance" not in told.out


def test_show_tells_a_refusal(lossconf: Lossconf) -> None:
    told = lossconf("show", "error/E-batch-mismatch", "--dtype", "float32")
    assert "refused at setup" in told.out


def test_eval_prints_the_weighted_total_and_the_gradients_asked_for(lossconf: Lossconf) -> None:
    told = lossconf("eval", "net.prototxt", "--inputs", "x.npz")
    loss = (-np.log(np.e / (np.e + 2)) + -np.log(1 / (np.e + 2))) / 2
    assert told.code == 0
    assert f"total\n  {2 * loss:.10f}"[:16] in told.out
    assert "ip[0] (3, 3)" in told.out
    assert "  x (2, 3)" not in told.out


def test_eval_saves_every_blob(lossconf: Lossconf, tmp_path: Path) -> None:
    assert lossconf("eval", "net.prototxt", "--inputs", "x.npz", "--force-backward", "--save", "out.npz").code == 0
    with np.load(tmp_path / "out.npz") as saved:
        probability = np.exp(np.eye(2, 3)) / np.exp(np.eye(2, 3)).sum(axis=1, keepdims=True)
        gradient = probability - np.eye(3)[[0, 2]]
        np.testing.assert_allclose(saved["diff/x"], gradient, rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(saved["param_diff/ip[1]"], gradient.sum(axis=0), rtol=1e-14, atol=1e-15)
        assert saved["data/loss"].shape == saved["loss"].shape == ()
        assert saved["loss"] == 2 * saved["data/loss"]


def test_eval_reads_an_infogain_matrix_beside_the_net(lossconf: Lossconf, tmp_path: Path) -> None:
    case = load("infogain_source/" + next(i for i in case_ids() if i.startswith("infogain_source/")).split("/")[1]).case
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "net.prototxt").write_text(case.net)
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    np.savez(tmp_path / "in.npz", **case.inputs)  # type: ignore[arg-type]
    assert lossconf("eval", "elsewhere/net.prototxt", "--inputs", "in.npz", "--dialect", "bvlc").code == 0


def test_the_schema_of_reports_is_a_schema(lossconf: Lossconf) -> None:
    schema = json.loads(lossconf("report", "--schema").out)
    Draft202012Validator.check_schema(schema)
    assert schema == line_schema()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(lossconf: Lossconf, shell: str) -> None:
    told = lossconf("completion", shell)
    assert told.code == 0
    assert "_LOSSCONF_COMPLETE" in told.out


def test_completion_completes_a_command(monkeypatch: pytest.MonkeyPatch, lossconf: Lossconf) -> None:
    monkeypatch.setenv("_LOSSCONF_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "lossconf comp")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert lossconf().out == "plain,completion\n"
