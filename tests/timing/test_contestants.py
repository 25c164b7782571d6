"""Subjects in processes of their own: started, timed, asked, and dead."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from conformance.contract.errors import UsageError
from conformance.timing.contestants import Contestant, Hosted, Remote, Sample, contestant
from conformance.timing.expectation import expect
from conformance.timing.machine import idle_share, wait_until_quiet
from conformance.timing.measure import Plan, all_measured, measure
from conformance.timing.problem import Problem
from conformance.timing.process import TOLERATED, openmp_runtimes, spins, waited
from conformance.timing.rounds import calm_rounds, interleave
from conformance.timing.sizes import Size
from conformance.timing.subjects import NotTimed
from conformance.timing.worker import SAMPLE, loops_for, per_call, undisturbed
from tests.miniatures import command, well_behaved

SMALL = Problem("hinge_loss", Size("small", (6, 5)), "float32")


@pytest.fixture(scope="module")
def hosted() -> Iterator[Hosted]:
    with_kernels = Hosted("numba-cpu", 1)
    with_kernels.open()
    yield with_kernels
    with_kernels.close()


def process(words: list[str]) -> str:
    return "process:" + shlex.join(words)


def test_a_hosted_subject_answers_what_the_reference_expects(hosted: Hosted) -> None:
    assert hosted.prepare(SMALL, ("forward", "both")) == ("forward", "both")
    expectation = expect(SMALL)
    loss, gradients = hosted.answer(expectation.entries)
    assert expectation.judge(loss, gradients).accepted
    assert gradients[0].shape == expectation.entries.shape


def test_a_hosted_subject_is_timed_in_every_mode_asked_for(hosted: Hosted) -> None:
    hosted.prepare(SMALL, ("forward", "backward", "both"))
    sampled = hosted.sample(("backward", "both"), best_of=2)
    assert sampled.keys() == {"backward", "both"}
    assert all(0 < sample.seconds < 10 for sample in sampled.values())


def test_memory_is_told_in_bytes_or_not_at_all(hosted: Hosted) -> None:
    hosted.prepare(SMALL, ("both",))
    used = hosted.memory()
    assert used is None or 0 <= used < 1 << 28


def test_a_dead_process_is_no_measurement_and_can_be_started_again(hosted: Hosted) -> None:
    doomed = Hosted("numba-cpu", 1)
    doomed.open()
    assert doomed._host is not None
    doomed._host._popen.kill()
    with pytest.raises(NotTimed, match="its process died by SIGKILL"):
        doomed.prepare(SMALL, ("both",))
    assert doomed.prepare(SMALL, ("both",)) == ("both",)
    doomed.close()


def test_a_tree_is_where_the_kernels_come_from(tmp_path: Path) -> None:
    package = tmp_path / "refimpl" / "fast" / "cpu"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").write_text("")
    (package.parent / "cache.py").write_text("def source_key(): return 'the other tree'")
    (package / "hinge_loss.py").write_text(
        "def hinge_loss(x, labels, *, threads, out=None):\n    out[...] = 2\n    return 7.0\n"
    )
    other = Hosted("numba-cpu", 1, tmp_path)
    assert other.open().version == "the other tree"
    other.prepare(SMALL, ("both",))
    loss, gradients = other.answer(np.arange(3))
    assert loss == 7.0
    assert gradients[0].tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(NotTimed, match="no kernel for euclidean_loss"):
        other.prepare(Problem("euclidean_loss", SMALL.size, "float32"), ("both",))
    other.close()


def test_a_process_times_itself() -> None:
    remote = contestant(process(well_behaved(honest=True)), 1)
    assert isinstance(remote, Remote)
    assert remote.open().name == "miniature"
    assert remote.prepare(SMALL, ("forward", "both")) == ("forward", "both")
    assert remote.sample(("forward", "both")) == {"forward": Sample(1e-6), "both": Sample(1e-6)}
    expectation = expect(SMALL)
    assert expectation.judge(*remote.answer(expectation.entries)).accepted
    assert remote.memory() is None
    remote.close()


def test_a_large_problem_is_not_sent() -> None:
    remote = contestant(process(well_behaved()), 1)
    with pytest.raises(NotTimed, match="not sent to another process"):
        remote.prepare(Problem("hinge_loss", Size("big", (4096, 4096)), "float32"), ("both",))
    remote.close()


@pytest.mark.parametrize(("spec", "error"), [("process:", UsageError), ("no-such-thing", UsageError)])
def test_what_makes_no_sense_is_a_mistake_of_usage(spec: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        contestant(spec, 1)


def test_an_implementation_that_fails_in_the_middle_drops_out() -> None:
    class Fails:
        spec, spins, calls = "fails", False, 0

        def sample(self, modes: object, best_of: int = 1) -> dict[str, Sample]:
            self.calls += 1
            if self.calls > 2:
                raise NotTimed("it had enough")
            return {"both": Sample(1.0)}

    class Goes(Fails):
        def sample(self, modes: object, best_of: int = 1) -> dict[str, Sample]:
            return {"both": Sample(2.0)}

    ready: dict[str, tuple[Contestant, tuple[str, ...]]] = {
        "fails": (Fails(), ("both",)),  # type: ignore[dict-item]
        "goes": (Goes(), ("both",)),  # type: ignore[dict-item]
    }
    times = interleave(ready, 5)
    assert times.seconds() == {"fails": {"both": [1.0, 1.0]}, "goes": {"both": [2.0] * 5}}
    assert times.dropped == {"fails": "it had enough"}


def test_rounds_end_when_their_time_is_over() -> None:
    class Slow:
        spins = False

        def sample(self, modes: object, best_of: int = 1) -> dict[str, Sample]:
            return {"both": Sample(1.0)}

    times = interleave({"slow": (Slow(), ("both",))}, 1000, limit=-1.0)  # type: ignore[dict-item]
    assert len(times.of("slow", "both")) == 5


def test_a_run_measures_judges_and_tells_what_it_could_not() -> None:
    right, wrong = process(well_behaved(honest=True)), process(well_behaved())
    crashes = process(command("segfaults", "Hinge"))
    result = measure(Plan(("numba-cpu", right, wrong, crashes), (SMALL,), ("both",), 1, 3))
    (measured,) = result.measured
    assert {spec: verdict["accepted"] for spec, verdict in measured.verdicts.items()} == {
        "numba-cpu": True,
        right: True,
        wrong: False,
        crashes: False,
    }
    assert "the loss is 0.0 where" in measured.verdicts[wrong]["reason"]
    assert "no answer: died by SIGSEGV" in measured.verdicts[crashes]["reason"]
    assert len(measured.of("numba-cpu", "both")) == len(measured.of("copy", "both")) == 3
    assert len(measured.ratios("numba-cpu", right, "both")) == 3
    assert result.specs == ("numba-cpu", right, wrong, crashes)
    assert result.subjects["numba-cpu"].environment["threads"] == 1


def test_the_first_must_start_and_others_need_not() -> None:
    absent = process([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(NotTimed):
        measure(Plan((absent, "numba-cpu"), (SMALL,), ("both",), 1, 1))
    result = measure(Plan(("numba-cpu", absent), (SMALL,), ("both",), 1, 1))
    assert result.specs == ("numba-cpu",)
    assert any(absent in line and "not timed" in line for line in result.warnings)


def test_short_calls_are_timed_many_at_once() -> None:
    calls: list[int] = []
    assert per_call(lambda: calls.append(1), 10) > 0
    assert len(calls) == 10
    assert loops_for(lambda: None) > 1
    assert loops_for(lambda: time.sleep(2 * SAMPLE)) == 1


def test_a_round_is_calm_where_nobody_waited_for_a_core() -> None:
    calm, busy = [0.0] * 6 + [1.0], [0.0, 0.5] + [TOLERATED] * 4 + [0.0]
    assert calm_rounds([calm]) == [0, 1, 2, 3, 4, 5]
    assert calm_rounds([calm, busy]) == [0, 2, 3, 4, 5]
    assert calm_rounds([calm, [None] * 7]) == [0, 1, 2, 3, 4, 5]


def test_all_rounds_count_where_too_few_are_calm() -> None:
    assert calm_rounds([[0.0, 1.0, 1.0, 1.0, 1.0, 1.0]]) == [0, 1, 2, 3, 4, 5]
    assert calm_rounds([[0.0] * 9, [0.0] * 3]) == [0, 1, 2]
    assert calm_rounds([]) == []


def test_a_quiet_machine_is_waited_for_but_not_for_ever() -> None:
    seen = iter([0.2, 0.5, 0.97])
    assert wait_until_quiet(math.inf, lambda: next(seen), pause=0.0)
    assert not wait_until_quiet(time.monotonic() - 1, lambda: 0.2)
    assert 0 <= idle_share() <= 1


def test_what_was_disturbed_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is quiet from the second time on."""
    shares = iter([1.0] * 5 + [0.0] * 100)

    class Counted:
        spec, spins = "counted", False

        def prepare(self, problem: Problem, modes: Sequence[str]) -> tuple[str, ...]:
            return tuple(modes)

        def sample(self, modes: Sequence[str], best_of: int = 1) -> dict[str, Sample]:
            return {mode: Sample(1.0, next(shares)) for mode in modes}

        def memory(self) -> int | None:
            return None

        def release(self) -> None:
            """Nothing is held."""

    monkeypatch.setattr("conformance.timing.measure.wait_until_quiet", lambda deadline: True)
    told: list[str] = []
    plan = Plan(("counted",), (SMALL,), ("both",), 1, 5, patience=60.0, judged=False)
    (measured,) = all_measured(plan, {"counted": Counted()}, told.append)  # type: ignore[dict-item]
    assert [line.startswith("again") for line in told] == [False, True]
    assert not measured.disturbed("both", "counted")


def test_waiting_is_counted_where_linux_counts_it() -> None:
    before = waited()
    seconds, share = undisturbed(lambda: math.fsum(range(1000)), 10)
    assert seconds > 0
    assert (share is None) == (before is None)
    assert share is None or share >= 0


def test_openmp_runtimes_are_found_among_the_files_that_are_mapped() -> None:
    mapped = [
        "/usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0",
        "/opt/venv/lib/torch/lib/libgomp-a34b3233.so.1",
        "/opt/venv/lib/torch/lib/libgomp-a34b3233.so.1",
        "/opt/intel/libiomp5.so",
        "/usr/lib/libompenmpi.txt",
        "[heap]",
    ]
    assert openmp_runtimes(mapped) == ["libgomp-a34b3233.so.1", "libgomp.so.1.0.0", "libiomp5.so"]
    assert openmp_runtimes([]) == []


@pytest.mark.parametrize(
    ("runtimes", "policy", "expected"),
    [
        ([], "", False),
        (["libgomp.so.1"], "", True),
        (["libgomp.so.1"], "PASSIVE", False),
        (["libomp.so"], "active", True),
    ],
)
def test_threads_spin_unless_they_are_told_to_sleep(runtimes: list[str], policy: str, expected: bool) -> None:
    assert spins(runtimes, {"OMP_WAIT_POLICY": policy}) is expected
