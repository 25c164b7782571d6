"""``python-layer:``: pycaffe Python layers without Caffe, in a known type's place and on their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.adapters import open_implementation, worker
from conformance.adapters.python_layer import PythonLayer, open_python_layer
from conformance.contract.case import Case
from conformance.contract.errors import UsageError
from conformance.contract.implementation import Crash, DoesNotStart, Implementation, TimedOut, Unsupported
from conformance.contract.limits import Limits
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.engine.execution import execute
from conformance.fixtures import load
from conformance.losses import LOSSES
from conformance.losses.nets import layer, source
from conformance.suite import FAMILIES, all_checks
from tests.command_line import Lossconf, lossconf_in

ROOT = Path(__file__).parents[2]
LAYERS = Path(__file__).parents[1] / "miniature_layers" / "layers.py"
PROBE = LAYERS.with_name("probe.py")
EXAMPLES = ROOT / "docs" / "examples" / "python_layer" / "euclidean_loss.py"
REAL = os.environ.get("LOSSCONF_CAFFE_PYTHON", "")
X = np.array([[1.0, 2.0, -3.0], [0.5, -0.25, 0.0]])
HEADER = "import caffe\n"
METHODS = """
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape()
    def forward(self, bottom, top): top[0].data[...] = (bottom[0].data ** 2).sum()
    def backward(self, top, propagate_down, bottom): bottom[0].diff[...] = 2 * bottom[0].data * top[0].diff
"""


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


def python_case(options: str = "", bottoms: Sequence[str] = ("x",), weight: float = 1.0, **fields: Any) -> Case:
    """Inputs of shape (2, 3) into a layer of type Python."""
    net = "force_backward: true\n" + "".join(source(name, X.shape) for name in bottoms)
    net += layer("layer", "Python", bottoms, ["top"], (weight,), options)
    return Case("test", net, {name: X for name in bottoms}, **fields)


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def outcome_of(implementation: Implementation, case: Case, dtype: str = "float32") -> Outcome:
    answer = implementation.run(case, dtype)
    assert isinstance(answer, Outcome), answer
    return answer


def run_everything(spec: str, families: Sequence[str] = FAMILIES) -> list[Verdict]:
    """The suite, as far as it applies, as a run plans it."""
    implementation = open_implementation(spec, in_process=True)
    description = implementation.describe()
    limits, found = Limits.of(description), list[Verdict]()
    for check in all_checks():
        if check.family in families and not limits.of_check(check):
            also = description.differences if check.differences else ()
            for dtype in (*description.dtypes, *also):
                found += execute(check, Session(implementation, description, dtype))
    return found


class TestTheExamples:
    """The layer of the docs, and the one with the mistake that most Python losses have."""

    @pytest.mark.slow
    def test_the_right_one_passes_the_whole_suite(self) -> None:
        verdicts = run_everything(f"python-layer:{EXAMPLES}:EuclideanLoss --as EuclideanLoss")
        assert [v for v in verdicts if v.status.breaks] == []
        passed = {v.requirement for v in verdicts if v.status is Status.PASSED}
        assert {"euclidean_loss.forward", "euclidean_loss.gradient", "euclidean_loss.loss-weight"} <= passed
        assert {v.dtype for v in verdicts if v.requirement == "euclidean_loss.gradient"} == {"float32", "float64"}

    @pytest.mark.slow
    def test_the_one_that_forgets_the_weight_fails_under_loss_weights_only(self) -> None:
        verdicts = run_everything(f"python-layer:{EXAMPLES}:ForgetsTheWeight --as EuclideanLoss")
        failed = {v.requirement for v in verdicts if v.status.breaks}
        assert failed
        assert {"euclidean_loss.loss-weight", "euclidean_loss.weight-scaling", "net.explicit-loss-weight"} <= failed
        assert {name for name in failed if "weight" not in name} <= {"net.consumed-loss-top", "net.multi-top"}
        passed = {v.requirement for v in verdicts if v.status is Status.PASSED}
        assert {"euclidean_loss.forward", "euclidean_loss.backward", "net.repeated-passes"} <= passed

    def test_no_formula_is_needed_to_find_it(self) -> None:
        lost = [check for check in all_checks() if check.family == "formula_free"]
        assert lost == []  # without a layer of the user's own there is nothing to check

    def test_a_top_of_one_entry_is_as_good_as_a_scalar_but_should_be_one(self) -> None:
        spec = f"python-layer:{LAYERS}:WithAFloat32Buffer --as EuclideanLoss"
        verdicts = run_everything(spec, ("contract", "gradients", "properties"))
        broken = [v for v in verdicts if v.status.breaks]
        assert {"net.top-shape", "euclidean_loss.top-shape"} <= {v.requirement for v in broken}
        assert {v.level for v in broken} == {Level.SHOULD}

    def test_a_float32_buffer_cannot_be_differenced(self) -> None:
        spec = f"{LAYERS}:WithAFloat32Buffer --as EuclideanLoss"
        implementation = open_python_layer(spec)
        check = next(c for c in all_checks() if c.id == "gradients/euclidean_loss/plain")
        (verdict,) = execute(check, Session(implementation, implementation.describe(), "float64"))
        assert verdict.status is Status.INCONCLUSIVE
        assert "too noisy to difference" in verdict.reason


class TestSpelling:
    def test_options_are_read(self) -> None:
        found = PythonLayer.from_text(f"{LAYERS}:SquaredError --as EuclideanLoss --param-str '{{\"k\": 2}}'")
        assert (found.path, found.name, found.kind, found.param_str) == (
            LAYERS.resolve(),
            "SquaredError",
            "EuclideanLoss",
            '{"k": 2}',
        )

    @pytest.mark.parametrize(
        ("argument", "complaint"),
        [
            ("", "a file and a class are needed"),
            ("layers.py", "a file and a class are needed"),
            ("absent.py:Mine", "there is no file absent.py"),
            (f"{LAYERS}:SquaredError --as Euclidean", "no layer type named 'Euclidean'; did you mean EuclideanLoss"),
            (f"{LAYERS}:SquaredError --as", "--as needs a value"),
            (f"{LAYERS}:SquaredError --sa EuclideanLoss", "'--sa' is not among"),
            (f"{LAYERS}:SquaredError --param-str x --options-as-param-str", "exclude each other"),
            (f"{LAYERS}:Absent", "there is no Absent in .*; its layers: .*SquaredError"),
            (f"{LAYERS}:NoLayer", "NoLayer is no caffe.Layer"),
            (f"{LAYERS}:NO_LAYER", "NO_LAYER is no caffe.Layer"),
            (f"{LAYERS}:HasNoBackward", "lacks backward"),
        ],
    )
    def test_a_mistake_is_told_in_one_line(self, argument: str, complaint: str) -> None:
        with pytest.raises(UsageError, match=complaint) as error:
            open_implementation(f"python-layer:{argument}", in_process=True)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("import caffe\n!", "SyntaxError: invalid syntax"),
            ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
            ("from caffe.proto import caffe_pb2", "No module named 'caffe.proto'.*try pycaffe:PYTHON"),
            ("import caffe\ncaffe.Net('a')", "AttributeError: the stand-in for caffe has no Net: it has Layer, TRAIN"),
            ("raise SystemExit(2)", "SystemExit: 2"),
        ],
    )
    def test_a_file_that_cannot_be_imported_does_not_start(self, tmp_path: Path, text: str, complaint: str) -> None:
        path = written(tmp_path, text)
        with pytest.raises(DoesNotStart, match=complaint):
            open_python_layer(f"{path}:Mine")
        assert "python_layer_mine" not in sys.modules

    def test_it_describes_itself(self) -> None:
        known = open_python_layer(f"{LAYERS}:SquaredError --as EuclideanLoss").describe()
        assert (known.capability, known.layers, known.dtypes) == ("layer", ("EuclideanLoss",), ("float32",))
        assert (known.differences, known.snippets) == (("float64",), ())
        unknown = open_python_layer(f"{LAYERS}:SquaredError").describe()
        assert unknown.layers == ("Python",)
        assert 'layer: "SquaredError"' in unknown.snippets[0]


class TestCommandLine:
    def test_a_layer_of_no_known_type_gets_the_checks_without_a_formula(self, lossconf: Lossconf) -> None:
        ended = lossconf("run", f"python-layer:{EXAMPLES}:EuclideanLoss", "-j", "0")
        assert ended.code == 0
        assert "formula free" in ended.out

    def test_as_gives_it_a_place_in_the_suite(self, lossconf: Lossconf) -> None:
        spec = f"python-layer:{EXAMPLES}:ForgetsTheWeight"
        ended = lossconf("run", spec, "--as", "EuclideanLoss", "--family", "gradients", "-j", "0")
        assert ended.code == 1
        assert "euclidean_loss.loss-weight" in ended.out
        assert "euclidean_loss.gradient  failed" not in ended.out

    def test_a_snippet_gives_a_layer_of_any_implementation_those_checks(
        self, lossconf: Lossconf, tmp_path: Path
    ) -> None:
        written(tmp_path, layer("l", "Power", ["x"], options="power_param { power: 2 }"), "power.prototxt")
        ended = lossconf("run", "reference", "--layer", "power.prototxt", "-j", "1")
        assert ended.code == 0, ended.err
        verdicts = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
        assert {v["family"] for v in verdicts if v["kind"] == "verdict"} == {"formula_free"}

    def test_a_snippet_beside_a_layer_adds_to_it(self, lossconf: Lossconf, tmp_path: Path) -> None:
        written(tmp_path, layer("l", "Power", ["x"]), "power.prototxt")
        layers = ("--layer", "power.prototxt", "--layer", "hinge_loss")
        lossconf("run", "reference", *layers, "--family", "gradients", "-k", "default or overwrite", "-j", "0")
        verdicts = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
        assert {v["stem"] for v in verdicts if v["kind"] == "verdict"} == {"power", "hinge_loss"}

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (("reference", "--as", "EuclideanLoss"), "--as is for python-layer:FILE:CLASS, torch:MODULE:FUNCTION and"),
            (
                ("torch:m:f", "--as", "EuclideanLoss", "--param-str", "x"),
                "--param-str is for python-layer:FILE:CLASS, and",
            ),
            (("jax:m:f", "--options-as-param-str"), "--options-as-param-str is for python-layer:FILE:CLASS, and"),
            (("reference", "--layer", "absent.prototxt"), "cannot read the snippet absent.prototxt: No such file"),
            (("reference", "--layer", "broken.prototxt"), "broken.prototxt: parse, line 1"),
            ((f"python-layer:{LAYERS}:Absent",), "there is no Absent in"),
        ],
    )
    def test_a_mistake_ends_with_2(
        self, lossconf: Lossconf, tmp_path: Path, arguments: tuple[str, ...], complaint: str
    ) -> None:
        written(tmp_path, "layer {", "broken.prototxt")
        ended = lossconf("run", *arguments, "-j", "0")
        assert ended.code == 2
        assert complaint in ended.err
        assert len(ended.err.strip().splitlines()) == 1

    def test_a_file_that_cannot_be_imported_ends_with_6(self, lossconf: Lossconf, tmp_path: Path) -> None:
        path = written(tmp_path, "import no_such_module\n")
        ended = lossconf("run", f"python-layer:{path}:Mine")
        assert ended.code == 6
        assert "does not start: cannot import" in ended.err.splitlines()[0]


class TestRunning:
    def test_blobs_are_of_the_runs_type(self, tmp_path: Path) -> None:
        path = written(tmp_path, f"{HEADER}class Mine(caffe.Layer):{METHODS}")
        implementation = open_python_layer(f"{path}:Mine")
        for dtype in ("float32", "float64"):
            outcome = outcome_of(implementation, python_case(weight=2.5), dtype)
            assert outcome.loss == 2.5 * np.sum(X**2)
            assert {array.dtype for array in (*outcome.data.values(), *outcome.diff.values())} == {np.dtype(dtype)}
            np.testing.assert_array_equal(outcome.diff["x"], 5 * X)

    def test_there_is_no_implicit_weight_without_a_known_type(self, tmp_path: Path) -> None:
        path = written(tmp_path, f"{HEADER}class MyLoss(caffe.Layer):{METHODS}")
        case = python_case()
        without = Case("test", case.net.replace("loss_weight: 1.0", ""), case.inputs)
        assert outcome_of(open_python_layer(f"{path}:MyLoss"), without).loss == 0

    def test_a_known_type_has_its_implicit_weight(self) -> None:
        implementation = open_python_layer(f"{EXAMPLES}:EuclideanLoss --as EuclideanLoss")
        outcome = outcome_of(implementation, LOSSES["euclidean_loss"].plain.case("test"))
        assert outcome.loss == outcome.data["loss"] != 0
        assert outcome.layers is not None
        assert outcome.layers[-1].loss_weights == (1.0,)

    def test_the_phase_and_param_str_arrive(self) -> None:
        implementation = open_python_layer(f"{LAYERS}:ScaledByItsParameters --param-str '{{\"k\": 2}}'")
        assert outcome_of(implementation, python_case()).loss == 2 * np.sum(X**2)
        assert outcome_of(implementation, python_case(phase="TEST")).loss == 200 * np.sum(X**2)
        own = python_case("python_param { param_str: '{\"k\": 3}' }")
        assert outcome_of(implementation, own).loss == 3 * np.sum(X**2)

    def test_learnable_blobs_are_the_nets_parameters(self) -> None:
        case = python_case(params={"layer": (np.array([1.0, 2.0, 3.0]),)}, steps=("forward", "backward", "backward"))
        outcome = outcome_of(open_python_layer(f"{LAYERS}:Weighted"), case)
        np.testing.assert_array_equal(outcome.data["top"], X * [1, 2, 3])
        np.testing.assert_array_equal(outcome.param_diff["layer"][0], 2 * X.sum(axis=0))

    def test_options_that_it_cannot_be_told_are_unsupported(self) -> None:
        recipe = next(v for v in LOSSES["hinge_loss"].variants if v.name == "l2-plain")
        implementation = open_python_layer(f"{LAYERS}:Logistic --as HingeLoss")
        with pytest.raises(Unsupported, match="cannot be told hinge_loss_param; --options-as-param-str"):
            implementation.run(recipe.case("test"), "float32")
        assert isinstance(implementation.run(LOSSES["hinge_loss"].variants[-1].case("test"), "float32"), Outcome)

    def test_options_can_be_told_as_json(self, tmp_path: Path) -> None:
        told = (
            "class Mine(caffe.Layer):" + METHODS.replace("pass", "self.seen.append(self.param_str)") + "    seen = []\n"
        )
        path = written(tmp_path, HEADER + told)
        implementation = open_python_layer(f"{path}:Mine --as HingeLoss --options-as-param-str")
        recipe = next(v for v in LOSSES["hinge_loss"].variants if v.name == "l2-plain")
        implementation.run(recipe.case("test"), "float32")
        assert json.loads(sys.modules["python_layer_mine"].Mine.seen[-1]) == {"hinge_loss_param": {"norm": "L2"}}

    def test_a_block_that_caffe_lacks_cannot_be_told_at_all(self) -> None:
        implementation = open_python_layer(f"{LAYERS}:Weighted --options-as-param-str")
        with pytest.raises(Unsupported, match=r"cannot be told focal_param$"):
            implementation.run(python_case("focal_param { gamma: 2 }"), "float32")

    @pytest.mark.parametrize(
        ("name", "stage", "message"),
        [
            ("RefusesEverything", "construct", "Exception: param_str is to say which margin"),
            ("IteratesOverBottoms", "construct", "TypeError: pycaffe cannot iterate over bottoms"),
            ("BuffersTheFirstBatch", "forward", "ValueError: "),
            ("RefusesBackward", "backward", "NotImplementedError: no gradient yet"),
        ],
    )
    def test_what_it_raises_is_a_refusal_of_that_stage(self, name: str, stage: str, message: str) -> None:
        case = python_case(bottoms=("x", "z"))
        grown = Case("test", case.net, {blob: np.vstack([X, X]) for blob in ("x", "z")})
        answer = open_python_layer(f"{LAYERS}:{name}").run(grown, "float32")
        assert isinstance(answer, Refusal)
        assert answer.third_party_stage == stage
        assert message in answer.message
        assert answer.layer == "layer"

    def test_ending_the_process_is_a_crash(self) -> None:
        with pytest.raises(Crash, match="EndsTheProcess ended the process: SystemExit: 3"):
            open_python_layer(f"{LAYERS}:EndsTheProcess").run(python_case(bottoms=("x", "z")), "float32")

    def test_a_layer_that_never_ends_is_timed_out(self, tmp_path: Path) -> None:
        endless = METHODS.replace("top[0].reshape()", "\n        while True: pass")
        path = written(tmp_path, f"{HEADER}class Mine(caffe.Layer):{endless}")
        with pytest.raises(TimedOut):
            open_python_layer(f"{path}:Mine", timeout=0.2).run(python_case(), "float32")


class TestTheStandIn:
    def test_a_caffe_that_is_there_is_left_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real, submodule = types.ModuleType("caffe"), types.ModuleType("caffe.io")
        monkeypatch.setitem(sys.modules, "caffe", real)
        monkeypatch.setitem(sys.modules, "caffe.io", submodule)
        path = written(tmp_path, f"{HEADER}class Mine(caffe.Layer):{METHODS}")
        outcome_of(open_python_layer(f"{path}:Mine"), python_case())
        assert sys.modules["caffe"] is real
        assert sys.modules["caffe.io"] is submodule

    def test_no_caffe_is_left_behind(self, tmp_path: Path) -> None:
        path = written(tmp_path, f"{HEADER}class Mine(caffe.Layer):{METHODS}")
        before = list(sys.path)
        outcome_of(open_python_layer(f"{path}:Mine"), python_case())
        assert "caffe" not in sys.modules
        assert sys.path == before

    def test_a_layer_may_import_caffe_and_its_neighbours_while_it_runs(self, tmp_path: Path) -> None:
        written(tmp_path, "import caffe\nFACTOR = 3 if caffe.TRAIN == 0 else 0\n", "neighbour_of_mine.py")
        lazy = METHODS.replace("pass", "\n        import caffe, neighbour_of_mine\n        caffe.set_mode_cpu()")
        path = written(tmp_path, f"{HEADER}class Mine(caffe.Layer):{lazy}")
        outcome_of(open_python_layer(f"{path}:Mine"), python_case())
        assert sys.modules.pop("neighbour_of_mine").FACTOR == 3

    def test_it_is_as_strict_as_pycaffe(self) -> None:
        facts = self.standing_in()
        assert facts["[blob.count for blob in bottom]"] == "TypeError"
        assert facts["bottom[0].shape == bottom[0].shape"] == "False"
        assert facts["bottom[0].reshape(np.int64(2), 3)"] == "TypeError"
        assert facts["setattr(bottom[0], 'data', 3)"] == "AttributeError"
        assert facts["top[0].reshape(), list(top[0].shape), top[0].data.shape, top[0].count, top[0].num"] == (
            "(None, [], (), 1, 1)"
        )

    @pytest.mark.caffe
    @pytest.mark.skipif(not REAL, reason="LOSSCONF_CAFFE_PYTHON names no Python with a Caffe")
    def test_a_probe_finds_no_difference_from_pycaffe(self, tmp_path: Path) -> None:
        path = written(tmp_path, self.net().net, "probe.prototxt")
        program = (
            f"import json, sys; sys.path[:0] = [{str(PROBE.parent)!r}, {str(Path(worker.__file__).parent)!r}]\n"
            "import worker; caffe = worker.import_caffe(); import probe\n"
            f"net = caffe.Net({str(path)!r}, caffe.TRAIN); net.forward(); net.backward()\n"
            "print(json.dumps(probe.FACTS))"
        )
        done = subprocess.run([REAL, "-c", program], capture_output=True, text=True, timeout=120, check=True)
        assert dict(json.loads(done.stdout.splitlines()[-1])) == self.standing_in()

    def net(self) -> Case:
        return python_case('python_param { module: "probe" layer: "Probe" param_str: "hi" }', ("x", "z"), weight=2.0)

    def standing_in(self) -> dict[str, str]:
        outcome_of(open_python_layer(f"{PROBE}:Probe"), self.net())
        return dict(sys.modules["python_layer_probe"].FACTS)


def test_options_that_never_reach_the_layer_are_declined_beforehand_and_told_of() -> None:
    spec = f"python-layer:{EXAMPLES}:EuclideanLoss --as"
    fixed = open_implementation(f"{spec} HingeLoss", in_process=True).describe()
    hint = "(--options-as-param-str passes it on)"
    assert fixed.declines == (f"loss_param {hint}", f"hinge_loss_param {hint}")
    told = open_implementation(f"{spec} HingeLoss --options-as-param-str", in_process=True).describe()
    assert told.declines == ()
    hinge = load("hinge_loss/grid-006").case
    assert Limits.of(fixed).of_case(hinge) == f"hinge_loss_param {hint}"
    assert Limits.of(told).of_case(hinge) == ""
    assert Limits.of(fixed).of_case(load("euclidean_loss/grid-001").case) == ""


def test_a_layer_in_a_process_of_its_own_runs_in_the_type_that_its_loss_is_differenced_in() -> None:
    with closing(open_implementation(f"python-layer:{EXAMPLES}:EuclideanLoss --as EuclideanLoss")) as implementation:
        assert implementation.describe().dtypes == ("float32",)
        assert outcome_of(implementation, load("euclidean_loss/grid-001").case, "float64").dtype == "float64"
