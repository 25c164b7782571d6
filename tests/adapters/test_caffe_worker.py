"""The C++ worker, compiled with a libcaffe of a few hundred lines that has what the worker touches.

One binary for all of it, with a stub of CUDA, so that GPU mode is run as well. A slow test runs this module once more
and holds it to having run every line of the worker.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.adapters import process
from conformance.adapters.process import ProcessImplementation
from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case, Pass
from conformance.contract.implementation import Crash, TimedOut
from conformance.contract.outcome import Outcome, Refusal
from tests.command_line import Lossconf, lossconf_in

pytestmark = pytest.mark.skipif(not shutil.which("g++") or not shutil.which("gcov"), reason="needs g++ and gcov")

ROOT = Path(__file__).resolve().parents[2]
MINIATURE = ROOT / "tests" / "miniature_libcaffe"
SOURCE = ROOT / "conformance" / "adapters" / "caffe_worker.cpp"

# Names the folder where lines are counted.
COUNTING = "LOSSCONF_TEST_COUNTS"

# _exit keeps no counts of lines
COUNTED = """#include <cstdlib>
extern "C" void __gcov_dump();
extern "C" void counted_exit(int code) { __gcov_dump(); _Exit(code); }
"""

INPUT = 'layer {{ name: "{0}" type: "Input" top: "{0}" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}\n'
X, Y = INPUT.format("x"), INPUT.format("y")
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "loss" }\n'
WEIGHT = 'layer { name: "w" type: "Parameter" top: "x" parameter_param { shape { dim: 2 dim: 3 } } }\n'
MISHAP = 'layer { name: "m" type: "Mishap" bottom: "x" top: "m" mishap_param { in: "%s" how: "%s" } }\n'
FORCED = "force_backward: true\n"
INPUTS = {"x": np.array([[1.0, 2.0, -3.0], [0.5, -0.25, 0.0]]), "y": np.zeros((2, 3))}
PLAIN = Case("plain", FORCED + X + Y + LOSS, INPUTS)


def compile_in(folder: Path, counting: bool) -> None:
    """The binary, and with ``counting`` the counts of its lines."""
    (folder / "counted.cpp").write_text(COUNTED if counting else "")
    flags = ["g++", "-std=c++11", "-O0", "-Wall", "-Wextra", "-Werror", f"-I{MINIATURE}/include", f"-I{MINIATURE}/cuda"]
    sources: Mapping[str, Sequence[str]] = {
        "worker": [*(["--coverage", "-D_exit=counted_exit"] if counting else []), str(SOURCE)],
        "miniature": [str(MINIATURE / "miniature.cpp")],
        "counted": [str(folder / "counted.cpp")],
    }
    compilers = [
        subprocess.Popen([*flags, "-c", *some, "-o", f"{name}.o"], cwd=folder) for name, some in sources.items()
    ]
    assert [compiler.wait() for compiler in compilers] == [0, 0, 0]
    objects = [f"{name}.o" for name in sources]
    counts = ["--coverage"] if counting else []
    subprocess.run(["g++", *counts, *objects, "-pthread", "-o", "caffe_worker"], cwd=folder, check=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the binary, compiled once for all processes of a run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "caffe_worker"
    folder = Path(os.environ.get(COUNTING, folder))
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "caffe_worker").exists():
            compile_in(folder, COUNTING in os.environ)
    return folder


def implementation(built: Path, *options: str, timeout: float = 20.0) -> ProcessImplementation:
    return ProcessImplementation([str(built / "caffe_worker"), *options], timeout=timeout)


@pytest.fixture(scope="module", autouse=True)
def unhurried() -> Iterator[None]:
    """Time to write the counts: a file that is cut off loses those of all the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "_GRACE", 20.0)
        yield


@pytest.fixture(scope="module")
def worker(built: Path) -> Iterator[ProcessImplementation]:
    with closing(implementation(built)) as one:
        yield one


def mishap(stage: str, how: str) -> Case:
    return Case(how, FORCED + X + MISHAP % (stage, how), {"x": INPUTS["x"]})


def talk(built: Path, lines: Sequence[str | Mapping[str, Any]], *options: str) -> list[dict[str, Any]]:
    """The answers to lines, or to requests whose ids are their places."""
    told = [line if isinstance(line, str) else json.dumps({"id": i, **line}) for i, line in enumerate(lines)]
    with tempfile.TemporaryFile() as file:  # no pipe: a case ends with the pipe that its request came from
        file.write("".join(f"{line}\n" for line in told).encode())
        file.seek(0)
        ran = subprocess.run([str(built / "caffe_worker"), *options], stdin=file, capture_output=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines() if b'"event"' not in line]


def test_a_worker_describes_its_caffe(built: Path, worker: ProcessImplementation) -> None:
    description = worker.describe()
    assert (description.name, description.version, description.capability) == ("libcaffe", "unknown", "net")
    assert (description.dtypes, description.devices) == (("float32", "float64"), ("cpu",))
    assert description.layers == ("EuclideanLoss", "Input", "Mishap", "Parameter", "SoftmaxWithLoss", "Split")
    named, old = talk(
        built, [{"verb": "describe"}, {"verb": "describe", "protocol": 1}], "--name", "my", "--version", "7"
    )
    assert (named["description"]["name"], named["description"]["version"]) == ("my", "7")
    assert [each["description"]["protocol"] for each in (named, old)] == [2, 1]


def test_what_is_no_option_is_told_in_one_line(built: Path) -> None:
    for words in (["--gpu"], ["--gpu", "x"], ["--cpu", "1"]):
        ran = subprocess.run([str(built / "caffe_worker"), *words], capture_output=True, text=True)
        assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
        assert "[--gpu N] [--name NAME] [--version VERSION]" in ran.stderr


def agree(got: Any, want: Any, dtype: str) -> None:
    assert isinstance(got, Outcome)
    near = 8 * float(np.finfo(dtype).eps)
    assert got.loss == pytest.approx(want.loss, rel=near)
    for part in ("data", "diff"):
        assert getattr(got, part).keys() == getattr(want, part).keys()
        for name, array in getattr(want, part).items():
            np.testing.assert_allclose(getattr(got, part)[name], array, rtol=near, atol=1e-30)
    for name, arrays in want.param_diff.items():
        for one, other in zip(got.param_diff[name], arrays, strict=True):
            np.testing.assert_allclose(one, other, rtol=near, atol=1e-30)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_outcome_is_all_that_a_net_holds_after_splitting(worker: ProcessImplementation, dtype: str) -> None:
    weighed = LOSS.replace('"loss" }', '"half" loss_weight: 0.5 }').replace('name: "loss"', 'name: "half"')
    case = Case("split", X + Y + WEIGHT.replace('"x"', '"w"') + LOSS.replace('"y"', '"w"') + weighed, INPUTS)
    outcome = worker.run(case, dtype)
    agree(outcome, ReferenceImplementation().run(case, "float64"), dtype)
    assert isinstance(outcome, Outcome)
    assert outcome.layers is not None
    told = {layer.name: (layer.type, layer.tops, layer.loss_weights, layer.need_backward) for layer in outcome.layers}
    assert told["x_x_0_split"] == ("Split", ("x_x_0_split_0", "x_x_0_split_1"), (0, 0), False)
    assert told["w"] == ("Parameter", ("w",), (0,), True)
    assert (told["half"], outcome.outputs) == (("EuclideanLoss", ("half",), (0.5,), False), ("half", "loss"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_net_lives_through_its_passes(worker: ProcessImplementation, dtype: str) -> None:
    weight = (np.arange(6.0).reshape(2, 3),)
    later = Pass(inputs={"y": np.ones((2, 3))}, params={"w": (2 * weight[0],)}, clear=False, prefill_diff={"x": 7.0})
    last = Pass(top_diff={"loss": 3.0}, steps=("forward", "backward", "forward"))
    case = Case(
        "passes", WEIGHT + Y + LOSS, {"y": INPUTS["y"]}, params={"w": weight}, passes=(later, last), each_pass=True
    )
    got, want = worker.run(case, dtype), ReferenceImplementation().run(case, "float64")
    agree(got, want, dtype)
    assert isinstance(got, Outcome) and isinstance(want, Outcome)
    assert got.loss_trace == pytest.approx(want.loss_trace)
    for one, other in zip(got.passes, want.passes, strict=True):
        agree(one, other, dtype)


def test_a_later_pass_may_bring_another_shape(worker: ProcessImplementation) -> None:
    larger = {"x": np.ones((5, 3)), "y": np.zeros((5, 3))}
    case = Case("larger", FORCED + X + Y + LOSS, INPUTS, passes=(Pass(inputs=larger),))
    agree(worker.run(case, "float64"), ReferenceImplementation().run(case, "float64"), "float64")


def test_an_empty_blob_is_not_touched(worker: ProcessImplementation) -> None:
    outcome = worker.run(Case("empty", X, {"x": np.zeros((0, 3))}, prefill_diff={"x": 1.0}), "float32")
    assert isinstance(outcome, Outcome)
    assert outcome.data["x"].shape == outcome.diff["x"].shape == (0, 3)


def test_a_net_gets_its_phase_level_stages_and_files(built: Path, worker: ProcessImplementation) -> None:
    rules = ["phase: TEST", "min_level: 2", 'stage: "deploy"']
    named = [INPUT.format(rule[:3]).replace("type", f"include {{ {rule} }} type", 1) for rule in rules]
    outcome = worker.run(Case("ruled", "".join([X, *named]), {}, phase="TEST", level=2, stages=("deploy",)), "float32")
    plain = worker.run(Case("ruled", "".join([X, *named]), {}), "float32")
    assert isinstance(outcome, Outcome) and isinstance(plain, Outcome)
    assert (list(outcome.data), list(plain.data)) == (["x", "pha", "min", "sta"], ["x"])
    files = {"net": X, "files": {"matrix.binaryproto": "AP8="}}
    fine, astray = talk(
        built,
        [{"verb": "run", "case": files}, {"verb": "run", "case": {"net": X, "files": {"nowhere/m": "AP8="}}}],
    )
    assert ("outcome" in fine, astray["error"]) == (True, "cannot write nowhere/m")


@pytest.mark.parametrize("stage", ["construct", "forward", "backward"])
def test_a_failed_check_is_a_refusal_of_its_stage_in_caffes_words(worker: ProcessImplementation, stage: str) -> None:
    refusal = worker.run(mishap(stage, "check"), "float64")
    assert isinstance(refusal, Refusal)
    place, text = refusal.message.split("] ", 1)
    assert (refusal.third_party_stage, place.split(":")[0]) == (stage, "miniature.cpp")
    assert text == 'Check failed: how != "check" It happened\non two lines.'
    assert isinstance(worker.run(PLAIN, "float32"), Outcome)


def test_what_fails_a_check_without_glog_or_throws_has_refused(worker: ProcessImplementation) -> None:
    assert worker.run(mishap("forward", "plain check"), "float32") == Refusal("forward", "Check failed: without glog")
    assert worker.run(mishap("backward", "throw"), "float32") == Refusal("backward", 'Could not open "file"\té?')
    unknown = worker.run(Case("unknown", X.replace("Input", "Unheard"), {}), "float32")
    assert isinstance(unknown, Refusal)
    assert unknown.message.endswith("Unknown layer type: Unheard")


@pytest.mark.parametrize("stage", ["construct", "forward", "backward"])
@pytest.mark.parametrize(
    ("death", "words"),
    [
        ("segfault", "died by SIGSEGV"),
        ("exit", "exited with status 3"),
        ("abort", "died by SIGABRT"),
        ("odd signal", "died by signal 10"),
    ],
)
def test_any_other_death_is_a_crash(worker: ProcessImplementation, stage: str, death: str, words: str) -> None:
    with pytest.raises(Crash, match=f"{words} in {stage}"):
        worker.run(mishap(stage, death), "float32")
    assert isinstance(worker.run(PLAIN, "float32"), Outcome)


def test_a_flood_on_standard_error_costs_nothing(worker: ProcessImplementation) -> None:
    assert isinstance(worker.run(mishap("forward", "flood"), "float32"), Outcome)


def test_a_case_that_hangs_ends_with_its_worker(built: Path) -> None:
    with closing(implementation(built, timeout=2.0)) as one, pytest.raises(TimedOut, match="in forward"):
        one.run(mishap("forward", "hang"), "float32")
    request = json.dumps({"verb": "run", "id": 1, "case": {"net": X + MISHAP % ("construct", "hang")}})
    with subprocess.Popen([str(built / "caffe_worker")], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdin and started.stdout
        started.stdin.write(f"{request}\n".encode())
        started.stdin.flush()
        assert json.loads(started.stdout.readline()) == {"event": "stage", "id": 1, "stage": "construct"}
        started.stdin.close()
        assert started.stdout.read() == b""  # nobody holds the pipe: the case has ended, too


def test_types_that_caffe_lacks_are_unsupported(built: Path) -> None:
    told = talk(built, [{"verb": "run", "dtype": "float16", "case": {"net": X}}])
    assert told == [{"id": 0, "unsupported": "there is no float16 in Caffe"}]


def array(numbers: Any, dtype: str = "float32") -> dict[str, Any]:
    raw = np.asarray(numbers, dtype)
    return {"dtype": dtype, "shape": list(raw.shape), "base64": base64.b64encode(raw.tobytes()).decode()}


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ({"inputs": {"nowhere": array([1.0])}}, "the net has no blob nowhere"),
        ({"inputs": {"x": {"shape": [2, 3], "data": [1]}}}, "x holds 6 numbers, not 1"),
        ({"inputs": {"x": array([1.0], "float64")}}, "float64 where float32 is asked for"),
        ({"inputs": {"x": {**array([1.0]), "base64": "!!!!"}}}, "base64: an unknown digit"),
        ({"params": {"x": [array([1.0])]}}, "layer x has 0 learnable blobs, not 1"),
        ({"inputs": {"x": {"shape": [1, 1], "data": ["one"]}}}, "JSON: text where number belongs"),
    ],
)
def test_what_does_not_fit_the_net_is_refused_when_it_is_built(built: Path, case: dict[str, Any], told: str) -> None:
    (answer,) = talk(built, [{"verb": "run", "case": {"net": X, **case}}])
    assert answer["refusal"] == {"stage": "construct", "message": told}


def test_numbers_come_in_either_form_and_names_in_any_script(built: Path) -> None:
    wild: list[Any] = ["NaN", "Infinity", "-Infinity", -0.0, 1e-45, 3]
    request = {"verb": "run", "case": {"net": INPUT.format("größe€𝄞"), "steps": [], "inputs": {}}}
    request["case"]["inputs"] = {"größe€𝄞": {"shape": [2, 3], "data": wild}}  # type: ignore[index]
    escaped, raw = json.dumps({"id": 5, **request}), json.dumps({"id": 6, **request}, ensure_ascii=False)
    for answer, number in zip(talk(built, [escaped, raw]), (5, 6), strict=True):
        assert answer["id"] == number
        bytes_ = base64.b64decode(answer["outcome"]["data"]["größe€𝄞"]["base64"])
        expected = np.array([float(x) for x in wild], np.float32).tobytes()
        assert bytes_ == expected


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "JSON: nothing where a value belongs"),
        ('{"verb": "run", "id": 1, "case": {}}', 'JSON: no "net"'),
        ('{"verb": "sing", "id": 1}', "unknown verb sing"),
        ("[]", "JSON: list where object belongs"),
        ('{"verb": null}', "JSON: null where text belongs"),
        ('{"verb": tru}', "JSON: nothing where a value belongs"),
        ('{"verb": true} 1', "JSON: more than one value"),
        ('{"verb" 1}', "JSON: no ':' where it belongs"),
        ('{"verb": "a\\q"}', "JSON: an unknown escape"),
        ('{"verb": "a\\u12x4"}', "JSON: a broken \\u"),
        ('{"verb": "a', "JSON: a text without an end"),
        ('{"a": []}', 'JSON: no "verb"'),
        ("[" * 200, "JSON: too deep"),
    ],
)
def test_a_request_that_makes_no_sense_is_answered_with_an_error(built: Path, line: str, told: str) -> None:
    wrong, right = talk(built, [line, '{"verb": "describe", "id": 4}'])
    assert (wrong["error"], wrong["id"]) == (told, 1 if '"id": 1' in line else None)
    assert right["id"] == 4


def test_a_worker_without_a_folder_for_the_case_says_so(built: Path) -> None:
    request = json.dumps({"verb": "run", "id": 1, "case": {"net": X}})
    around = {**os.environ, "TMPDIR": "/nowhere"}
    told = subprocess.run([str(built / "caffe_worker")], input=request, capture_output=True, text=True, env=around)
    assert json.loads(told.stdout)["error"] == "no folder: /nowhere/lossconf-XXXXXX: No such file or directory"


@pytest.mark.parametrize("options", [(), ("--gpu", "0")])
def test_rounds_are_timed_each_on_its_own(built: Path, options: tuple[str, ...]) -> None:
    with closing(implementation(built, *options)) as one:
        times = one.time(PLAIN, "float64", 3)
    assert isinstance(times, dict)
    assert {name: len(seconds) for name, seconds in times.items()} == {"forward": 3, "backward": 3, "both": 3}
    if options:  # by Caffe's timer, which waits for the device
        assert set(times["both"]) == {0.0015}


def test_on_a_gpu_a_failed_check_costs_a_restart_and_no_more(built: Path) -> None:
    with closing(implementation(built, "--gpu", "0")) as one:
        assert (one.describe().devices, one.describe().environment["gpu"]) == (("gpu:0",), "miniature")
        before = one.run(PLAIN, "float32")
        assert isinstance(before, Outcome)
        refusal = one.run(mishap("forward", "check"), "float32")
        assert isinstance(refusal, Refusal)
        assert (refusal.third_party_stage, "It happened" in refusal.message) == ("forward", True)
        thrown = one.run(mishap("backward", "throw"), "float32")
        assert isinstance(thrown, Refusal)
        with pytest.raises(Crash, match="died by SIGSEGV in backward"):
            one.run(mishap("backward", "segfault"), "float32")
        after = one.run(PLAIN, "float32")
        assert isinstance(after, Outcome)
        assert after.loss == before.loss


def test_a_device_that_is_not_there_is_caffes_to_refuse(built: Path) -> None:
    (told,) = talk(built, [{"verb": "describe"}], "--gpu", "7")
    assert told["description"]["environment"]["gpu"] == "unknown: 7"
    with closing(implementation(built, "--gpu", "7")) as one:
        refusal = one.run(PLAIN, "float32")
    assert isinstance(refusal, Refusal)
    assert refusal.message.endswith("Check failed: device == 0 invalid device ordinal")


def test_the_suite_says_that_the_miniature_conforms_in_both_types(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lossconf: Lossconf = lossconf_in(tmp_path, monkeypatch, capsys)
    told = lossconf(
        "run", f"process:{built / 'caffe_worker'}", "--layer", "euclidean_loss", "-k", "euclidean_loss/grid-00"
    )
    assert told.code == 0, told.out
    assert "libcaffe unknown, float32 and float64" in told.out


def test_the_command_prints_either_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lossconf: Lossconf = lossconf_in(tmp_path, monkeypatch, capsys)
    assert lossconf("worker", "--cpp").out == SOURCE.read_text("utf-8")
    assert lossconf("worker", "--python").out == SOURCE.with_name("worker.py").read_text("utf-8")
    told = lossconf("worker")
    assert (told.code, told.err) == (2, "lossconf: say which worker: --cpp or --python\n")


@pytest.mark.slow
def test_every_line_of_the_worker_is_run_here(tmp_path: Path) -> None:
    around = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        __file__,
        "-q",
        "-m",
        "not slow",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
    ]
    ran = subprocess.run(command, cwd=ROOT, env={**around, COUNTING: str(tmp_path)}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    gcov = subprocess.run(
        ["gcov", "--json-format", "--stdout", "worker"], cwd=tmp_path, capture_output=True, check=True
    )
    files = {Path(one["file"]).name: one["lines"] for one in json.loads(gcov.stdout)["files"]}
    lines = files[SOURCE.name]
    missed = {line["line_number"] for line in lines} - {line["line_number"] for line in lines if line["count"]}
    text = SOURCE.read_text("utf-8").splitlines()
    told = [f"{number}: {text[number - 1].strip()}" for number in sorted(missed)]
    assert len(lines) > 400
    assert [line for line in told if not line.endswith(": }")] == []  # a brace alone is where exceptions pass
