"""``process:COMMAND``: whatever a process does costs the case that it did it in, and nothing else."""

from __future__ import annotations

import errno
import os
import re
import shlex
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema.validators import extend

from conformance.adapters import process
from conformance.adapters.host import Host
from conformance.adapters.process import ProcessImplementation
from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case, Pass
from conformance.contract.implementation import (
    Crash,
    DoesNotStart,
    ImplementationError,
    ProtocolError,
    TimedOut,
    Unsupported,
)
from conformance.contract.outcome import Outcome, Refusal
from conformance.protocol import Answer, schema, violation
from tests.miniatures import AT_START, IN_A_CASE, IN_PASSES, Miniature, command, well_behaved

NET = textwrap.dedent("""\
    name: "%s"
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "loss" }
    """)
X = np.array([[1.0, 2.0, -3.0], [0.5, -0.25, np.inf]])


def case(name: str = "leave me alone") -> Case:
    return Case(name, NET % name, {"x": X, "y": np.zeros((2, 3))})


GOOD, BAD = case(), case("spoil me")


@contextmanager
def plugged_in(line: list[str], **options: Any) -> Iterator[ProcessImplementation]:
    """An implementation that must leave nothing behind: no process of its group, no thread, no folder."""
    threads = threading.active_count()
    implementation = ProcessImplementation(line, **{"timeout": 20.0, "start_timeout": 20.0, **options})
    scratch = None
    try:
        yield implementation
        scratch = implementation.scratch
    finally:
        implementation.close()
    assert threading.active_count() == threads
    assert scratch is None or not os.path.exists(scratch)


def answer(implementation: ProcessImplementation, subject: Case) -> Outcome | Refusal | ImplementationError:
    try:
        return implementation.run(subject, "float32")
    except ImplementationError as error:
        return error


def complaint(implementation: ProcessImplementation, subject: Case) -> ImplementationError:
    with pytest.raises(ImplementationError) as caught:
        implementation.run(subject, "float32")
    return caught.value


def test_who_is_another_one_after_a_restart_is_not_judged(tmp_path: Path) -> None:
    environment = {**os.environ, "LOSSCONF_TEST_FOLDER": str(tmp_path)}
    with plugged_in(command("is_another_one_after_a_restart"), environment=environment) as implementation:
        assert isinstance(complaint(implementation, BAD), Crash)
        for _ in range(2):
            told = complaint(implementation, GOOD)
            assert isinstance(told, ProtocolError)
            assert str(told) == "started again, it is another one: its name was miniature and is other"
        assert implementation.describe().name == "miniature"


@pytest.mark.parametrize("miniature", IN_A_CASE, ids=lambda miniature: miniature.behaviour)
def test_misbehaviour_costs_its_case_and_no_other(miniature: Miniature) -> None:
    options = {"timeout": 1.5} if miniature.hangs else {"limit": 1 << 20}
    with plugged_in(command(miniature.behaviour), **options) as implementation:
        answers = [answer(implementation, subject) for subject in (GOOD, BAD, GOOD, GOOD)]
    spoilt = answers.pop(1)
    assert type(spoilt) is miniature.verdict
    assert re.search(miniature.reason, str(spoilt))
    for other in answers:
        assert isinstance(other, Outcome)
        np.testing.assert_array_equal(other.data["x"], X)


@pytest.mark.parametrize("miniature", AT_START, ids=lambda miniature: miniature.behaviour)
def test_what_does_not_start_says_why(miniature: Miniature) -> None:
    patience = 1.0 if miniature.hangs else 20.0
    with (
        plugged_in(command(miniature.behaviour), start_timeout=patience) as implementation,
        pytest.raises(DoesNotStart, match=miniature.reason),
    ):
        implementation.describe()


def test_misbehaviour_in_every_case_ends_by_itself() -> None:
    with plugged_in(command("segfaults", when="")) as implementation:
        answers = [answer(implementation, GOOD) for _ in range(5)]
    assert [type(answer) for answer in answers] == [Crash] * 5


def test_what_cannot_start_again_is_not_tried_for_ever(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    once = f"[ -e {starts} ] && echo again >> {starts} && exit 1; echo first > {starts}; exec "
    with plugged_in(["sh", "-c", once + shlex.join(command("segfaults"))]) as implementation:
        answers = [answer(implementation, subject) for subject in (GOOD, BAD, GOOD, GOOD, GOOD, GOOD, GOOD)]
    assert [type(answer) for answer in answers] == [Outcome, Crash] + [DoesNotStart] * 5
    assert "3 times in a row" in str(answers[-1])
    assert starts.read_text().split() == ["first", "again", "again", "again"]


def test_a_command_that_is_not_there_does_not_start() -> None:
    reason = "cannot start no-such-command-anywhere: No such file"
    with plugged_in(["no-such-command-anywhere"]) as implementation, pytest.raises(DoesNotStart, match=reason):
        implementation.describe()


def test_a_command_line_is_split_as_a_shell_would() -> None:
    implementation = ProcessImplementation("python3 'my worker.py' --gpu 0")
    assert implementation.command == ("python3", "my worker.py", "--gpu", "0")


def test_a_description_arrives_whole() -> None:
    with plugged_in(well_behaved()) as implementation:
        description = implementation.describe()
    assert (description.name, description.version, description.language) == ("miniature", "1", "Python")
    assert (description.capability, description.dtypes) == ("net", ("float32", "float64"))


def test_what_is_not_among_the_types_is_unsupported() -> None:
    reason = "float16 is not among its types: float32, float64"
    with plugged_in(well_behaved()) as implementation, pytest.raises(Unsupported, match=reason):
        implementation.run(GOOD, "float16")


def test_a_failed_check_is_a_refusal_with_its_text_and_stage() -> None:
    with plugged_in(command("fails_a_check")) as implementation:
        refusal = implementation.run(BAD, "float32")
        assert isinstance(implementation.run(GOOD, "float32"), Outcome)
    text = "euclidean_loss_layer.cpp:12] Check failed: a == b (1 vs. 2) Inputs must agree."
    assert refusal == Refusal("forward", text)


def test_a_refusal_in_words_is_a_refusal() -> None:
    with plugged_in(command("refuses")) as implementation:
        assert implementation.run(BAD, "float32") == Refusal("forward", "labels out of range", "loss")


def test_nan_is_an_answer_for_the_judges() -> None:
    with plugged_in(command("sends_nan_where_finite")) as implementation:
        outcome = implementation.run(BAD, "float32")
    assert isinstance(outcome, Outcome)
    assert np.isnan(outcome.loss)
    assert np.isnan(outcome.diff["x"]).all()
    assert outcome.diff["x"].dtype == np.float32


def test_a_flood_of_stderr_blocks_nobody() -> None:
    with plugged_in(command("floods_stderr")) as implementation:
        assert isinstance(implementation.run(BAD, "float32"), Outcome)
        assert isinstance(implementation.run(GOOD, "float32"), Outcome)


def test_the_last_lines_of_stderr_come_with_the_failure() -> None:
    with plugged_in(command("floods_stderr_and_dies")) as implementation, pytest.raises(Crash) as caught:
        implementation.run(BAD, "float32")
    lines = caught.value.detail.splitlines()
    assert lines[-1] == "the last words"
    assert len(lines) <= 30


def test_the_stderr_of_one_case_is_not_shown_with_the_next() -> None:
    with plugged_in(command("complains_about_the_request", when="")) as implementation:
        details = [complaint(implementation, case(name)).detail for name in ("first", "second")]
    assert details == ['name: "first"', 'name: "second"']


def test_children_of_the_process_end_with_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"echo $$ > {pids}; sleep 3600 & echo $! >> {pids}; exec {shlex.join(well_behaved())}"
    with plugged_in(["sh", "-c", script]) as implementation:
        assert isinstance(implementation.run(GOOD, "float32"), Outcome)
    leader, child = (int(word) for word in pids.read_text().split())
    assert not running(leader)
    deadline = time.monotonic() + 10.0  # it has been sent its signal, and dies when it is next scheduled
    while running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(child)


def test_a_death_between_cases_costs_no_case(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with plugged_in(["sh", "-c", f"echo $$ >> {pids}; exec {shlex.join(well_behaved())}"]) as implementation:
        assert isinstance(implementation.run(GOOD, "float32"), Outcome)
        os.kill(int(pids.read_text()), 9)
        time.sleep(0.2)
        assert isinstance(implementation.run(GOOD, "float32"), Outcome)
    assert len(pids.read_text().split()) == 2


def test_the_process_ends_when_the_harness_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    line = ["sh", "-c", f"echo $$ > {pids}; exec {shlex.join(well_behaved())}"]
    harness = (
        "import os, time; from conformance.adapters.process import ProcessImplementation\n"
        f"ProcessImplementation({line!r}).describe(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", harness], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    deadline = time.monotonic() + 10
    while running(int(pids.read_text())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(int(pids.read_text()))


def test_a_large_case_goes_through_narrow_pipes() -> None:
    inputs = {"x": np.linspace(-1.0, 1.0, 300_000).reshape(3, 100_000), "y": np.zeros((2, 3))}
    with plugged_in(well_behaved()) as implementation:
        outcome = implementation.run(Case("large", NET % "large", inputs), "float64")
    assert isinstance(outcome, Outcome)
    np.testing.assert_array_equal(outcome.data["x"], inputs["x"])


def test_times_come_per_round() -> None:
    with plugged_in(well_behaved()) as implementation:
        times = implementation.time(GOOD, "float32", rounds=3)
    assert times == {"forward": (1e-6,) * 3, "backward": (1e-6,) * 3, "both": (1e-6,) * 3}


def test_closing_twice_is_closing() -> None:
    implementation = ProcessImplementation(well_behaved())
    implementation.describe()
    implementation.close()
    implementation.close()


def test_it_starts_again_after_closing() -> None:
    with plugged_in(well_behaved()) as implementation:
        implementation.describe()
        implementation.close()
        assert isinstance(implementation.run(GOOD, "float32"), Outcome)


def test_a_slow_case_is_stopped() -> None:
    with plugged_in(command("hangs"), timeout=1.0) as implementation:
        implementation.describe()
        with pytest.raises(TimedOut):
            implementation.run(BAD, "float32")


def running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def passing(name: str = "leave me alone") -> Case:
    """A case of three passes, the second of another size."""
    larger = {"x": np.ones((4, 3)), "y": np.zeros((4, 3))}
    others = (Pass(larger), Pass({"x": X, "y": np.zeros((2, 3))}, top_diff={"loss": 2.0}, clear=False))
    return replace(case(name), passes=others, each_pass=True)


@pytest.mark.parametrize("miniature", IN_PASSES, ids=lambda miniature: miniature.behaviour)
def test_what_is_wrong_with_a_pass_costs_its_case(miniature: Miniature) -> None:
    with plugged_in(command(miniature.behaviour)) as implementation:
        spoilt = complaint(implementation, passing("spoil me"))
        good = implementation.run(passing(), "float32")
    assert type(spoilt) is miniature.verdict
    assert re.search(miniature.reason, str(spoilt))
    assert len(str(spoilt).splitlines()) == 1
    assert isinstance(good, Outcome)
    assert [state.data["x"].shape for state in good.passes] == [(2, 3), (4, 3), (2, 3)]
    assert good.loss_trace == (0.0,) * 6


def test_a_process_computes_the_passes_that_the_reference_does() -> None:
    wanted = ReferenceImplementation().run(passing(), "float32")
    with plugged_in(well_behaved(honest=True)) as implementation:
        found = implementation.run(passing(), "float32")
    assert isinstance(wanted, Outcome) and isinstance(found, Outcome)
    assert len(found.passes) == 3
    for one, other in zip(found.passes, wanted.passes, strict=True):
        np.testing.assert_array_equal(one.diff["x"], other.diff["x"])


@pytest.mark.parametrize("behaviour", ["speaks_version_1", "speaks_version_1_alone"])
def test_an_older_process_is_never_sent_a_case_of_several_passes(behaviour: str) -> None:
    with plugged_in(command(behaviour)) as implementation:
        assert implementation.describe().protocol == 1
        with pytest.raises(Unsupported, match="version 1 of the protocol: cases of several passes come with version 2"):
            implementation.run(passing("spoil me"), "float32")
        assert isinstance(implementation.run(GOOD, "float32"), Outcome)


def test_reading_an_answer_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    read = process.read_answer

    def slow(line: bytes) -> Answer:
        if b"outcome" in line:
            time.sleep(600)
        return read(line)

    monkeypatch.setattr(process, "read_answer", slow)
    monkeypatch.setattr(process, "_QUICK", 0)
    with plugged_in(well_behaved(), timeout=1.0) as implementation:
        answers = [answer(implementation, GOOD)]
        monkeypatch.setattr(process, "read_answer", read)
        implementation.timeout = 20.0
        answers.append(answer(implementation, GOOD))
    assert isinstance(answers[0], TimedOut)
    assert str(answers[0]) == "its answer could not be read within 1 s"
    assert isinstance(answers[1], Outcome)


def test_thousands_of_numbers_are_held_against_the_schema_as_one() -> None:
    numbers: list[Any] = [1.5, 2, -3.0] * 1000
    told = {"id": 1, "outcome": {"loss": 1.0, "data": {"x": {"shape": [len(numbers)], "data": numbers}}}}
    looked_at = []

    def count(validator: Any, kind: Any, instance: Any, schema: Any) -> Iterator[Any]:
        looked_at.append(instance)
        yield from ()

    counting = extend(type(schema._validator("outcome")), {"type": count})
    whole = schema._validator("outcome")
    list(counting(whole.schema, registry=whole._registry).iter_errors(told))
    assert len(looked_at) < 20
    numbers[-1] = None
    wrong = violation("outcome", told)
    assert wrong is not None and "None is not of type" in wrong


def test_a_process_is_ended_whatever_the_system_says_to_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host([sys.executable, "-c", "import time; time.sleep(600)"])

    def fails(*arguments: Any) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "read", fails)
    assert host.end(0.1).status is None
    monkeypatch.undo()
    assert host._popen.poll() is not None
    assert not os.path.exists(host.scratch)


def test_a_process_that_the_system_does_not_let_speak_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with plugged_in(well_behaved()) as implementation:
        assert isinstance(answer(implementation, GOOD), Outcome)
        host = implementation._host
        assert host is not None
        monkeypatch.setattr(host, "send", fails)
        with pytest.raises(OSError, match="Input/output error"):
            implementation.run(GOOD, "float32")
        assert not host.alive
        assert isinstance(answer(implementation, GOOD), Outcome)
