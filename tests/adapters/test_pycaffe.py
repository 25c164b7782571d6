"""``pycaffe:PYTHON``: the worker with a Caffe of a few lines, and with a real one where there is one."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from conformance.adapters import worker as worker_module
from conformance.adapters.process import ProcessImplementation
from conformance.adapters.pycaffe import PycaffeImplementation, open_pycaffe
from conformance.adapters.worker import fatal_text, signal_name
from conformance.contract.case import Case
from conformance.contract.errors import UsageError
from conformance.contract.implementation import Crash, Description, DoesNotStart, TimedOut, Unsupported
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.selection import Selection
from conformance.suite import profiles_asked
from fixtures.tools.replay import differences, recorded
from tests.adapters.test_process import running

MINIATURE = str(Path(__file__).resolve().parents[1] / "miniature_caffe")
REAL = os.environ.get("LOSSCONF_CAFFE_PYTHON", "")
X = np.array([[1.0, 2.0, -3.0], [0.5, -0.25, 0.0]])
DECOY = "raise RuntimeError('this is the folder in the working directory')\n"


T = TypeVar("T")


def miniature(timeout: float = 20.0, gpu: int | None = None) -> PycaffeImplementation:
    environment = {**os.environ, "PYTHONPATH": MINIATURE}
    return PycaffeImplementation(sys.executable, gpu=gpu, environment=environment, timeout=timeout)


@pytest.fixture(scope="module")
def worker() -> Iterator[PycaffeImplementation]:
    with closing(miniature()) as implementation:
        yield implementation


def wish(text: str, **fields: Any) -> Case:
    return Case(text, f"# {text}\n", {"x": X, "y": np.zeros((2, 3))}, **fields)


PLAIN = wish("nothing")


def test_a_worker_describes_its_caffe(worker: PycaffeImplementation) -> None:
    description = worker.describe()
    assert (description.name, description.version, description.capability) == ("pycaffe", "miniature", "net")
    assert (description.dtypes, description.devices, description.dialect) == (("float32",), ("cpu",), None)
    assert description.layers == ("EuclideanLoss", "Input")
    assert description.environment["caffe"] == os.path.join(MINIATURE, "caffe")


def test_an_outcome_holds_the_whole_net(worker: PycaffeImplementation) -> None:
    outcome = worker.run(PLAIN, "float32")
    assert isinstance(outcome, Outcome)
    assert outcome.loss == outcome.data["loss"] == np.float32((X**2).sum() / 4)
    np.testing.assert_array_equal(outcome.diff["x"], X.astype(np.float32) / 2)
    assert outcome.outputs == ("loss",)
    assert outcome.layers is not None
    assert [(layer.name, layer.type, layer.loss_weights) for layer in outcome.layers] == [
        ("x", "Input", (0.0,)),
        ("y", "Input", (0.0,)),
        ("loss", "EuclideanLoss", (1.0,)),
    ]


def test_inputs_are_reshaped_and_diffs_prefilled(worker: PycaffeImplementation) -> None:
    inputs = {"x": np.ones((5, 2)), "y": np.zeros((5, 2))}
    outcome = worker.run(Case("reshaped", "#\n", inputs, prefill_diff={"y": np.nan}, top_diff={"loss": 4.0}), "float32")
    assert isinstance(outcome, Outcome)
    np.testing.assert_array_equal(outcome.diff["x"], np.full((5, 2), 4 / 5, np.float32))
    assert np.isnan(outcome.diff["y"]).all()


def test_steps_repeat_and_the_losses_are_kept(worker: PycaffeImplementation) -> None:
    outcome = worker.run(wish("nothing", top_diff={"loss": 2.0}, steps=("forward", "backward") * 2), "float32")
    assert isinstance(outcome, Outcome)
    first = float(np.float32((X**2).sum() / 4))
    assert outcome.loss_trace == (first, first, 2 * first, 2 * first)
    assert outcome.param_diff["loss"][0].tolist() == [[[[2.0, 2.0]]]]


def test_parameters_keep_the_shape_that_the_case_gives_them(worker: PycaffeImplementation) -> None:
    outcome = worker.run(wish("nothing", params={"loss": (np.array([3.0, 4.0]),)}), "float32")
    assert isinstance(outcome, Outcome)
    assert outcome.param_diff["loss"][0].tolist() == [1.0, 1.0]


def test_a_net_gets_its_phase_level_stages_and_files(worker: PycaffeImplementation) -> None:
    case = wish("say how built", phase="TEST", level=2, stages=("deploy",), files={"matrix.binaryproto": b"\0\xff"})
    refusal = worker.run(case, "float32")
    words = "phase 1 level 2 stages ['deploy'] files ['matrix.binaryproto', 'net.prototxt'] on ['cpu']"
    assert refusal == Refusal("construct", f"RuntimeError: {words}")


@pytest.mark.parametrize("stage", ["construct", "forward", "backward"])
def test_a_failed_check_is_a_refusal_of_its_stage_in_caffes_words(worker: PycaffeImplementation, stage: str) -> None:
    text = "euclidean_loss_layer.cpp:12] Check failed: a == b (1 vs. 2) Inputs must agree."
    assert worker.run(wish(f"check in {stage}"), "float32") == Refusal(stage, text)
    assert isinstance(worker.run(PLAIN, "float32"), Outcome)


@pytest.mark.parametrize("stage", ["construct", "forward", "backward"])
@pytest.mark.parametrize(("death", "words"), [("segfault", "died by SIGSEGV"), ("exit", "exited with status 3")])
def test_any_other_death_is_a_crash(worker: PycaffeImplementation, stage: str, death: str, words: str) -> None:
    with pytest.raises(Crash, match=f"{words} in {stage}"):
        worker.run(wish(f"{death} in {stage}"), "float32")
    assert isinstance(worker.run(PLAIN, "float32"), Outcome)


def test_a_case_that_asks_for_what_the_net_lacks_is_refused(worker: PycaffeImplementation) -> None:
    refusal = worker.run(Case("astray", "#\n", {"nowhere": X}), "float32")
    assert refusal == Refusal("construct", "KeyError: 'nowhere'")


def test_a_request_that_makes_no_sense_is_answered_with_an_error(tmp_path: Path) -> None:
    requests = tmp_path / "requests.jsonl"
    lines = ['{"verb": "run", "id": 1, "case": {}}', '{"verb": "sing", "id": 2}', "[]", '{"verb": "describe", "id": 4}']
    requests.write_text("".join(f"{line}\n" for line in lines))
    command, environment = [sys.executable, worker_module.__file__], {**os.environ, "PYTHONPATH": MINIATURE}
    with requests.open() as file:
        ran = subprocess.run(command, stdin=file, capture_output=True, env=environment)
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [answer["id"] for answer in found] == [1, 2, None, 4]
    assert [answer.get("error", "").split(":")[0] for answer in found] == ["KeyError", "ValueError", "TypeError", ""]
    assert ran.returncode == 0


def test_an_exception_is_a_refusal_with_its_text(worker: PycaffeImplementation) -> None:
    refusal = worker.run(wish("raise in backward"), "float32")
    assert refusal == Refusal("backward", "RuntimeError: Could not open file")


def test_what_caffe_prints_stays_out_of_the_conversation(worker: PycaffeImplementation) -> None:
    for stage in ("construct", "forward", "backward"):
        assert isinstance(worker.run(wish(f"print in {stage}"), "float32"), Outcome)


def test_float64_is_not_to_be_had(worker: PycaffeImplementation) -> None:
    with pytest.raises(Unsupported, match="float64 is not among its types"):
        worker.run(PLAIN, "float64")


def test_times_are_taken_in_the_worker(worker: PycaffeImplementation) -> None:
    times = worker.time(PLAIN, "float32", rounds=4)
    assert isinstance(times, dict)
    assert {name: len(seconds) for name, seconds in times.items()} == {"forward": 4, "backward": 4, "both": 4}
    assert all(0 < second < 1 for seconds in times.values() for second in seconds)


def test_a_hanging_case_is_stopped_and_the_next_one_runs() -> None:
    with closing(miniature(timeout=1.5)) as implementation:
        with pytest.raises(TimedOut, match="in forward"):
            implementation.run(wish("hang in forward"), "float32")
        assert isinstance(implementation.run(PLAIN, "float32"), Outcome)


def test_cases_leave_no_folder_behind() -> None:
    with closing(miniature()) as implementation:
        implementation.describe()
        for text in ("nothing", "check in forward"):
            implementation.run(wish(text), "float32")
            assert os.listdir(str(implementation.scratch)) == []


def wait_for(condition: Callable[[], T], seconds: float = 10.0) -> T:
    """The first true value of a condition; fails where there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def grown(pid: int, generations: int) -> list[int]:
    """The pids below a process, once there are that many generations."""
    family: list[int] = []
    for _ in range(generations):
        below = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True).stdout.split()
        if not below:
            return []
        pid = int(below[0])
        family.append(pid)
    return family


@pytest.mark.parametrize(("gpu", "generations"), [(None, 2), (0, 1)])
def test_the_case_being_run_ends_when_the_harness_is_killed(gpu: int | None, generations: int, tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np; from tests.adapters.test_pycaffe import miniature, wish\n"
        f"miniature(timeout=600.0, gpu={gpu}).run(wish('hang in forward'), 'float32')"
    )
    harness = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        family = wait_for(lambda: grown(harness.pid, generations))
        time.sleep(0.5)  # into the case
    finally:
        harness.kill()
        harness.wait()
    try:
        wait_for(lambda: not any(running(pid) for pid in family))
    finally:
        for pid in filter(running, family):
            os.kill(pid, signal.SIGKILL)


def test_on_a_gpu_cases_run_in_the_worker_itself() -> None:
    with closing(miniature(gpu=3)) as implementation:
        assert implementation.describe().devices == ("gpu:3",)
        refusal = implementation.run(wish("say how built"), "float32")
        assert isinstance(refusal, Refusal)
        assert refusal.message.endswith("on [3, 'gpu']")
        assert isinstance(implementation.run(PLAIN, "float32"), Outcome)
        assert os.listdir(str(implementation.scratch)) == []


def test_on_a_gpu_a_failed_check_is_a_refusal_all_the_same() -> None:
    text = "euclidean_loss_layer.cpp:12] Check failed: a == b (1 vs. 2) Inputs must agree."
    with closing(miniature(gpu=0)) as implementation:
        assert implementation.run(wish("check in backward"), "float32") == Refusal("backward", text)
        assert isinstance(implementation.run(PLAIN, "float32"), Outcome)


def test_on_a_gpu_caffes_own_clock_is_read() -> None:
    with closing(miniature(gpu=0)) as implementation:
        times = implementation.time(PLAIN, "float32", rounds=2)
    assert times == {"forward": (0.007,) * 2, "backward": (0.007,) * 2, "both": (0.007,) * 2}


def test_a_folder_named_caffe_in_the_working_directory_fools_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "caffe").mkdir()
    (tmp_path / "caffe" / "__init__.py").write_text(DECOY)
    monkeypatch.chdir(tmp_path)
    for path in (MINIATURE, os.pathsep + MINIATURE, os.pathsep.join([".", MINIATURE])):
        with closing(PycaffeImplementation(sys.executable, environment={**os.environ, "PYTHONPATH": path})) as found:
            assert found.describe().version == "miniature"


def test_a_compiled_caffe_in_the_working_directory_is_found_where_the_path_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(Path(MINIATURE) / "caffe", tmp_path / "caffe")
    (tmp_path / "caffe" / "_caffe.so").touch()
    monkeypatch.chdir(tmp_path)
    with closing(PycaffeImplementation(sys.executable, environment={**os.environ, "PYTHONPATH": "."})) as found:
        assert found.describe().environment["caffe"] == str(tmp_path / "caffe")


def test_no_caffe_is_said_in_one_line() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    reason = r"no usable caffe in .* \(Python 3\..*\): No module named 'caffe'"
    with (
        closing(PycaffeImplementation(sys.executable, environment=environment)) as implementation,
        pytest.raises(DoesNotStart, match=reason),
    ):
        implementation.describe()


def test_a_caffe_that_is_not_pycaffe_is_named(tmp_path: Path) -> None:
    (tmp_path / "caffe").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with (
        closing(PycaffeImplementation(sys.executable, environment=environment)) as implementation,
        pytest.raises(DoesNotStart, match=f"it has no Net.*{tmp_path}"),
    ):
        implementation.describe()


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("", ["python3"]),
        ("/opt/py36/bin/python", ["/opt/py36/bin/python"]),
        ("python3.9 --gpu 1", ["python3.9", "--gpu", "1"]),
        ("--gpu 0", ["python3", "--gpu", "0"]),
    ],
)
def test_what_stands_after_the_colon_is_an_interpreter_and_a_device(text: str, command: list[str]) -> None:
    line = list(open_pycaffe(text).command)
    assert line.pop(1).endswith("worker.py")
    assert line == command


@pytest.mark.parametrize("text", ["python3 other.py", "python3 --gpu", "python3 --gpu first", "python3 --cpu"])
def test_anything_else_after_the_colon_is_a_mistake(text: str) -> None:
    with pytest.raises(ValueError, match="pycaffe:python3"):
        open_pycaffe(text)


HEADER = "1121 12:00:00.000000    77"


@pytest.mark.parametrize(
    ("stderr", "text"),
    [
        ("", None),
        (f"I{HEADER} net.cpp:744] Ignoring\nSegmentation fault", None),
        (
            f"F{HEADER} io.cpp:54] Check failed: fd\n*** Check failure stack trace: ***\n  @ 0x0",
            "io.cpp:54] Check failed: fd",
        ),
        (f"F{HEADER} a.cpp:1] first\nF2026{HEADER} b.cpp:2] second", "b.cpp:2] second"),
        (f"F{HEADER} a.cpp:1] one\ntwo\nI{HEADER} c.cpp:3] noise", "a.cpp:1] one\ntwo"),
        ("caffe.cpp:9: Check failed: x\nAborted", "caffe.cpp:9: Check failed: x"),
    ],
)
def test_the_fatal_message_is_found_among_the_noise(stderr: str, text: str | None) -> None:
    assert fatal_text(stderr) == text


def test_signals_have_names() -> None:
    assert signal_name(11) == "SIGSEGV"
    assert signal_name(250) == "signal 250"


def test_image_libraries_are_stubbed_where_they_are_absent_and_only_there(tmp_path: Path) -> None:
    (tmp_path / "scipy").mkdir()
    (tmp_path / "scipy" / "__init__.py").write_text("REAL = True")
    (tmp_path / "scipy" / "ndimage.py").write_text("zoom = 'real'")
    script = (
        "import sys; from worker import StubFinder; sys.meta_path.append(StubFinder())\n"
        "from scipy.ndimage import zoom; import skimage.io; from skimage.transform import resize\n"
        "try: resize(1)\n"
        "except NotImplementedError as error: print(zoom, error)\n"
        "try: import scipy._absent\n"  # a real scipy asks for what its build may lack
        "except ImportError as error: print(error)\n"
    )
    for folder in Path(np.__file__).parents[1].glob("numpy*"):
        (tmp_path / folder.name).symlink_to(folder)
    (tmp_path / "worker.py").symlink_to(worker_module.__file__)
    command = [sys.executable, "-S", "-c", script]  # -S: without whatever else is installed here
    ran = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    told = "real skimage.transform is not installed; the worker put a stub in its place\n"
    assert ran.stdout == f"{told}No module named 'scipy._absent'\n", ran.stderr


def test_the_worker_is_one_file_that_python_3_6_reads() -> None:
    source = Path(worker_module.__file__).read_text("utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    imports = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imports |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imports - set(sys.stdlib_module_names) == {"numpy", "caffe"}


# With a real Caffe.

absent = pytest.mark.skipif(
    not REAL,
    reason="not run: needs CPython 3.6-3.9 with a Caffe, named by LOSSCONF_CAFFE_PYTHON (see docs/protocol.md)",
)


@pytest.fixture(scope="module")
def caffe() -> Iterator[PycaffeImplementation]:
    with closing(PycaffeImplementation(REAL)) as implementation:
        yield implementation


@pytest.mark.caffe
@absent
def test_a_real_caffe_describes_itself(caffe: PycaffeImplementation) -> None:
    assert {"SoftmaxWithLoss", "EuclideanLoss", "ContrastiveLoss"} <= set(caffe.describe().layers)


@pytest.mark.caffe
@absent
@pytest.mark.parametrize("family", ["hinge_loss", "infogain_source", "euclidean_loss"])
def test_a_real_caffe_repeats_the_recordings_bit_for_bit(caffe: PycaffeImplementation, family: str) -> None:
    for record in recorded([family]):
        assert not list(differences(caffe.run(record.case, "float32"), record.outcome)), record.case.id


@pytest.mark.caffe
@absent
def test_a_real_caffe_refuses_in_the_stage_recorded(caffe: PycaffeImplementation) -> None:
    for record in recorded(["error"]):
        refusal = caffe.run(record.case, "float32")
        assert isinstance(refusal, Refusal)
        assert isinstance(record.outcome, Refusal)
        assert (refusal.stage, record.case.id) == (record.outcome.third_party_stage, record.case.id)
        assert ("Check failed" in refusal.message) == ("Check failed" in record.outcome.message)


@pytest.mark.caffe
@absent
def test_a_real_caffe_survives_a_label_out_of_range(caffe: PycaffeImplementation) -> None:
    net = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }\n'
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "loss" }\n'
    )
    with pytest.raises(Crash, match="SIGSEGV in forward"):
        caffe.run(Case("wild", net, {"x": X, "y": np.array([1e9, 0.0])}), "float32")
    assert isinstance(caffe.run(Case("tame", net, {"x": X, "y": np.array([1.0, 0.0])}), "float32"), Outcome)


@pytest.mark.caffe
@absent
def test_a_real_caffe_is_timed(caffe: PycaffeImplementation) -> None:
    case = next(recorded(["softmax_with_loss"])).case
    times = caffe.time(case, "float32", rounds=5)
    assert isinstance(times, dict)
    assert all(0 < second < 1 for seconds in times.values() for second in seconds)


def test_a_pycaffe_is_asked_for_no_profile_because_of_a_types_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks mean several things by one name: a list of types claims none of them."""
    types = ("EuclideanLoss", "CtcLoss")
    monkeypatch.setattr(ProcessImplementation, "describe", lambda self: Description("a fork", layers=types))
    assert PycaffeImplementation().describe().profiles == ()


def test_profiles_that_are_claimed_are_asked_for_where_nothing_else_is() -> None:
    assert profiles_asked(Selection(), ("faces",)) == ("bvlc", "faces")
    assert profiles_asked(Selection(families=("golden",)), ("faces",)) == ("bvlc",)
    assert profiles_asked(Selection(profiles=("dense",)), ("faces",)) == ("dense",)


def test_a_profile_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="no profile named 'facs'"):
        profiles_asked(Selection(), ("facs",))
