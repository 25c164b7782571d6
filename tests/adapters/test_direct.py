"""`direct:`: Python objects as implementations."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.adapters import open_implementation
from conformance.adapters.direct import open_direct, wrapped
from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case, Pass
from conformance.contract.implementation import (
    Crash,
    DoesNotStart,
    Implementation,
    ProtocolError,
    TimedOut,
    Unsupported,
)
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.fixtures import load
from conformance.suite import golden

PAGE = Path(__file__).parents[2] / "docs" / "adapters" / "direct.md"
EUCLIDEAN = load("euclidean_loss/grid-001").case


def opened(spec: str, timeout: float = 60.0) -> Implementation:
    """In this process, which is quicker; `tests.adapters.test_child` is about the other one."""
    return open_implementation(spec, timeout=timeout, in_process=True)


def direct(name: str, timeout: float = 60.0) -> Implementation:
    return opened(f"direct:tests.direct_miniatures:{name}", timeout)


def judged(implementation: Implementation, case_id: str, dtype: str = "float32") -> list[Verdict]:
    check = next(check for check in golden.checks() if check.id == case_id)
    return list(check.run(Session(implementation, implementation.describe(), dtype)))


def test_a_class_computes_the_layer_named_by_its_type() -> None:
    description = direct("Euclidean").describe()
    assert (description.capability, description.layers) == ("layer", ("EuclideanLoss",))
    assert description.dtypes == ("float32", "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layer_gets_its_bottoms_in_the_dtype_under_test(dtype: str) -> None:
    outcome = direct("Euclidean").run(EUCLIDEAN, dtype)
    assert isinstance(outcome, Outcome)
    assert {str(array.dtype) for array in (*outcome.data.values(), *outcome.diff.values())} == {dtype}


def test_a_right_layer_passes_and_one_that_ignores_its_weight_does_not() -> None:
    weighted = "euclidean_loss/grid-010"  # loss_weight 2.5
    assert {verdict.status for verdict in judged(direct("Euclidean"), weighted)} == {Status.PASSED}
    failed = [v.requirement for v in judged(direct("IgnoresWeight"), weighted) if v.status is Status.FAILED]
    assert "euclidean_loss.loss-weight" in failed


@pytest.mark.parametrize("case_id", ["hinge_loss/grid-006", "hinge_loss/grid-012"])
def test_a_class_that_takes_an_argument_gets_the_layers_parameters(case_id: str) -> None:
    assert {verdict.status for verdict in judged(direct("Hinge"), case_id)} == {Status.PASSED}


def test_a_mapping_and_a_module_hold_several_layers() -> None:
    assert direct("LAYERS").describe().layers == ("EuclideanLoss", "HingeLoss")
    whole = opened("direct:tests.direct_miniatures").describe()
    assert whole.layers == ("EuclideanLoss", "HingeLoss")


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("Reduced", ProtocolError, "shape (4, 5)"),
        ("NoGradient", ProtocolError, "nothing where numbers of shape"),
        ("Complex", ProtocolError, "complex128"),
        ("Raises", Crash, "ZeroDivisionError: a bug"),
        ("Exits", Crash, "SystemExit: done"),
        ("Unready", Unsupported, "no gradient yet"),
        ("WrongType", ProtocolError, "int32 where float64"),
        ("Silent", ProtocolError, "NoneType"),
    ],
)
def test_what_is_no_answer_is_told_apart(name: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as raised:
        direct(name).run(EUCLIDEAN, "float64")
    assert says in str(raised.value)


def test_a_crash_keeps_the_line_that_raised() -> None:
    with pytest.raises(Crash) as raised:
        direct("Raises").run(EUCLIDEAN, "float64")
    assert 'raise ZeroDivisionError("a bug")' in raised.value.detail


def test_inputs_are_read_only() -> None:
    answer = direct("Writes").run(EUCLIDEAN, "float64")
    assert isinstance(answer, Refusal)
    assert "read-only" in answer.message


def test_a_value_error_is_a_refusal_in_its_stage() -> None:
    answer = direct("Refuses").run(EUCLIDEAN, "float64")
    assert isinstance(answer, Refusal)
    assert (answer.stage, answer.layer) == ("forward", "loss")
    assert "no such batch" in answer.message


def test_a_case_that_takes_too_long_is_stopped_and_the_next_one_runs() -> None:
    implementation = direct("Sleeps", timeout=0.2)
    with pytest.raises(TimedOut):
        implementation.run(EUCLIDEAN, "float32")
    assert isinstance(implementation.run(EUCLIDEAN, "float64"), Outcome)


def test_a_net_answers_with_a_mapping() -> None:
    implementation = direct("Mapping")
    assert implementation.describe().name == "mapping"
    assert implementation.describe().capability == "net"
    outcome = implementation.run(EUCLIDEAN, "float64")
    assert isinstance(outcome, Outcome)
    np.testing.assert_array_equal(outcome.data["a"], EUCLIDEAN.inputs["a"])


def test_a_module_that_fails_to_import_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_layers.py").write_text("import numpy\nnumpy.no_such_thing\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(DoesNotStart) as raised:
        opened("direct:broken_layers:Layer")
    assert "no_such_thing" in str(raised.value)
    assert "line 2" in raised.value.detail


def test_the_working_directory_hides_no_installed_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the wrong numpy')\n")
    (tmp_path / "own_layers.py").write_text("import numpy\nfrom tests.direct_miniatures import Euclidean\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert opened("direct:own_layers:Euclidean").describe().layers == ("EuclideanLoss",)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mylayers.py").write_text("\n\n".join(blocks("python")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mylayers", raising=False)
    specs = re.findall(r"direct:mylayers\S*", "\n".join(blocks("sh")))
    assert specs == ["direct:mylayers:EuclideanLoss", "direct:mylayers:LAYERS", "direct:mylayers"]
    for spec in specs:
        assert {verdict.status for verdict in judged(opened(spec), EUCLIDEAN.id)} == {Status.PASSED}
    with pytest.raises(Unsupported, match="computes nothing"):
        opened("direct:mylayers:Nothing").run(EUCLIDEAN, "float32")


def test_the_first_example_is_ten_lines() -> None:
    assert len([line for line in blocks("python")[0].splitlines() if line.strip()]) <= 10


def test_learnable_parameters_are_beyond_it() -> None:
    from conformance.adapters.direct import LayerImplementation
    from conformance.contract.implementation import Description
    from tests.direct_miniatures import Euclidean

    net = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
    net += 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }'
    implementation = LayerImplementation({"InnerProduct": Euclidean}, Description("x"))
    with pytest.raises(Unsupported, match="learnable"):
        implementation.run(Case("x", net, {"x": np.zeros((2, 3))}), "float64")


class Says:
    """A net that answers what the reference does, spoilt."""

    def __init__(self, spoil: Callable[[Outcome], Any]) -> None:
        self.spoil = spoil

    def run(self, case: Case, dtype: str) -> Any:
        outcome = ReferenceImplementation().run(case, dtype)
        assert isinstance(outcome, Outcome)
        return self.spoil(outcome)


TWICE = replace(EUCLIDEAN, passes=(Pass(EUCLIDEAN.inputs),), each_pass=True)


@pytest.mark.parametrize(
    ("spoil", "case", "words"),
    [
        (lambda right: {"loss": right.loss}, EUCLIDEAN, "diff.a, diff.b missing"),
        (lambda right: replace(right, diff={}), EUCLIDEAN, "diff.a, diff.b missing"),
        (lambda right: replace(right, data={"nobody": right.data["a"]}), EUCLIDEAN, "data.nobody: the net has no such"),
        (lambda right: replace(right, param_diff={"ip": ()}), EUCLIDEAN, "param_diff.ip: the net has no such layer"),
        (lambda right: replace(right, passes=right.passes[:1]), TWICE, "passes has 1 entries for 2 passes"),
        (lambda right: replace(right, loss_trace=None), TWICE, "loss_trace missing"),
        (lambda right: replace(right, loss_trace=right.loss_trace[:1]), TWICE, "loss_trace has 1 entries for 4 steps"),
    ],
)
def test_a_net_owes_what_a_process_does(spoil: Callable[[Outcome], Any], case: Case, words: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(words)):
        wrapped(Says(spoil), "says").run(case, "float32")
    assert isinstance(wrapped(Says(lambda right: right), "says").run(case, "float32"), Outcome)


def test_a_mapping_may_hold_passes() -> None:
    def mapped(state: Outcome) -> dict[str, Any]:
        return {"loss": state.loss, "data": state.data, "diff": state.diff, "param_diff": state.param_diff}

    def spoil(right: Outcome) -> dict[str, Any]:
        return {**mapped(right), "loss_trace": right.loss_trace, "passes": [mapped(one) for one in right.passes]}

    outcome = wrapped(Says(spoil), "says").run(TWICE, "float32")
    assert isinstance(outcome, Outcome)
    assert len(outcome.passes) == 2


@pytest.mark.parametrize("path", ["caffelike:MyLoss", "caffelike.py:MyLoss"])
def test_a_file_that_imports_caffe_is_led_to_python_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    (tmp_path / "caffelike.py").write_text("import caffe\n\n\nclass MyLoss(caffe.Layer):\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "caffe", None)
    with pytest.raises(DoesNotStart, match=r"lossconf run python-layer:caffelike.py:MyLoss --as TYPE"):
        open_direct(path)
