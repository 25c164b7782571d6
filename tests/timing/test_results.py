"""Results: kept, read again, compared, drawn, and held against the past."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from conformance.contract.errors import UsageError
from conformance.losses import LOSSES
from conformance.timing.advice import environment_advice, run_advice
from conformance.timing.comparison import labelled, lines, render_comparison
from conformance.timing.gate import NEW, NOT_MEASURED, SAME, SLOWER, Limits
from conformance.timing.machine import Machine, describe_machine
from conformance.timing.machine import _quota as quota
from conformance.timing.plots import plot_all
from conformance.timing.portability import portabilities, render_portability
from conformance.timing.problem import Problem
from conformance.timing.recorded import against_result
from conformance.timing.result import Measured, Result, read_result, schema, write_result
from conformance.timing.sizes import SIZES, Size, size_named
from conformance.timing.subjects import About
from conformance.timing.table import render, shown_bytes, shown_seconds
from conformance.timing.traffic import traffic_of

MACHINE = Machine("Example CPU", "x86_64", 2, 2, caches=((1, "Data", 32768), (3, "Unified", 33554432)))
HINGE = Problem("hinge_loss", SIZES["large"], "float32")
RIGHT = {"accepted": True, "headroom": 6.0, "loss_error": 1e-8, "reason": ""}


def measured(problem: Problem = HINGE, **microseconds: float) -> Measured:
    """Fifteen rounds that hardly vary; names with an underscore stand for those with a dash."""
    seconds = {
        name.replace("_", "-"): {"both": [value * 1e-6 * (1 + 1e-4 * i) for i in range(15)]}
        for name, value in microseconds.items()
    }
    verdicts: dict[str, Mapping[str, Any]] = {name: RIGHT for name in seconds if name != "copy"}
    traffic = {"both": traffic_of(problem, "both").total}
    return Measured(problem, seconds, traffic, verdicts=verdicts, memory={"numba-cpu": 4096})


def result(*problems: Measured, specs: tuple[str, ...] = ("numba-cpu", "torch"), machine: Machine = MACHINE) -> Result:
    abouts = {spec: About(spec, "1") for spec in specs}
    return Result("2026-01-02T03:04:05+00:00", "0.1.0", "abc", machine, 2, 15, specs, abouts, problems)


def printed(render: Any, *arguments: Any) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    render(*arguments, console)
    console.file.close()
    return console.export_text()


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    written = result(measured(numba_cpu=1000, torch=4000, copy=800), machine=describe_machine())
    write_result(written, tmp_path / "r.json")
    assert read_result(tmp_path / "r.json") == written
    Draft202012Validator.check_schema(schema())


def test_a_problem_has_a_line_of_its_own_in_the_file(tmp_path: Path) -> None:
    write_result(
        result(measured(numba_cpu=1), measured(Problem("hinge_loss", SIZES["tiny"], "float32"))), tmp_path / "r"
    )
    assert sum(line.startswith('{"layer": "hinge_loss"') for line in (tmp_path / "r").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no result of lossconf bench"),
        ("[]", "is not of type 'object'"),
        ('{"schema": 2}', "no result of lossconf bench"),
    ],
)
def test_what_is_no_result_is_refused_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UsageError, match=told) as error:
        read_result(tmp_path / "r.json")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_result(tmp_path / "absent.json")
    with pytest.raises(UsageError, match="cannot write"):
        write_result(result(), tmp_path / "absent" / "r.json")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(7.6123e-6, "7.61 µs"), (9.4e-7, "940 ns"), (0.00999951, "10.0 ms"), (1.5, "1.50 s"), (0.99999, "1.00 s")],
)
def test_times_have_three_digits(seconds: float, shown: str) -> None:
    assert shown_seconds(seconds) == shown
    assert shown_bytes(3 * 2**29) == "1.50 GiB"


def test_the_table_has_times_ratios_shares_and_what_is_wrong() -> None:
    wrong = replace(
        measured(numba_cpu=1000, torch=4000, copy=800),
        verdicts={"numba-cpu": RIGHT, "torch": {**RIGHT, "accepted": False, "reason": "the loss is 1.0 where"}},
        not_timed={"jax": "jax is not installed"},
        memory={"torch": 1 << 26},
    )
    text = printed(render, replace(result(wrong), warnings=("the machine is busy",)))
    assert "4.00x [4.00, 4.00]" in text
    assert "80%" in text
    assert "4.00 ms (wrong)" in text
    assert "torch, hinge_loss large float32: the loss is 1.0 where" in text
    assert "jax: jax is not installed" in text
    assert "64.0 MiB beyond inputs and gradients" in text
    assert "the machine is busy" in text


def test_machines_are_compared_line_by_line(tmp_path: Path) -> None:
    tiny = Problem("hinge_loss", SIZES["tiny"], "float32")
    write_result(result(measured(numba_cpu=1000, copy=800), measured(tiny, numba_cpu=1.0)), tmp_path / "a.json")
    write_result(result(measured(numba_cpu=500, copy=450)), tmp_path / "b.json")
    results = labelled([tmp_path / "a.json", tmp_path / "b.json"])
    assert list(results) == ["a", "b"]
    large, small = lines(results)
    assert large.seconds == pytest.approx({"a": 1e-3, "b": 5e-4}, rel=1e-2)
    assert large.of_copy == pytest.approx({"a": 0.8, "b": 0.9}, rel=1e-2)
    assert small.seconds.keys() == {"a"}
    text = printed(render_comparison, results)
    assert "0.50x" in text
    assert "Example CPU" in text


def test_the_portability_is_the_harmonic_mean_of_shares_of_the_best() -> None:
    tiny = Problem("hinge_loss", SIZES["tiny"], "float32")
    here = result(measured(numba_cpu=1000, torch=2000), measured(tiny, numba_cpu=2, torch=1))
    there = result(measured(numba_cpu=900, torch=300))
    ours, torch = portabilities(list(lines({"here": here, "there": there})))
    assert (ours.spec, torch.spec) == ("numba-cpu", "torch")
    assert ours.efficiency == pytest.approx({"here": 2 / (1 + 2), "there": 1 / 3}, rel=1e-6)
    assert torch.efficiency == pytest.approx({"here": 2 / (2 + 1), "there": 1.0}, rel=1e-6)
    assert ours.over_all == pytest.approx(2 / (1.5 + 3), rel=1e-6)
    text = printed(render_portability, [ours, torch])
    assert "67%" in text and "33%" in text and "44%" in text


def test_what_is_wrong_or_missing_anywhere_is_not_portable_and_nobodys_best() -> None:
    wrong = replace(measured(numba_cpu=1000, torch=10), verdicts={"torch": {**RIGHT, "accepted": False}})
    right = result(measured(numba_cpu=1000, torch=500))
    ours, torch = portabilities(list(lines({"here": result(wrong), "there": right})))
    assert (ours.efficiency["here"], torch.efficiency["here"], torch.over_all) == (1.0, 0.0, 0.0)
    assert "WRONG" in printed(render_comparison, {"here": result(wrong), "there": right})
    alone = result(measured(numba_cpu=1000))
    ours, torch = portabilities(list(lines({"here": alone, "there": right})))
    assert (torch.efficiency, torch.over_all) == (pytest.approx({"here": 0.0, "there": 1.0}), 0.0)


def test_a_comparison_keeps_the_marks_of_disturbed_times(tmp_path: Path) -> None:
    busy = replace(measured(numba_cpu=500), waited={"numba-cpu": {"both": [0.5] * 15}})
    write_result(result(measured(numba_cpu=1000)), tmp_path / "a.json")
    write_result(result(busy), tmp_path / "b.json")
    text = printed(render_comparison, labelled([tmp_path / "a.json", tmp_path / "b.json"]))
    assert all(shown in text for shown in ("~500 µs", "~0.50x", "~: hardly a round"))
    assert "~1.00 ms" not in text
    calm = printed(render_comparison, labelled([tmp_path / "a.json"]))
    assert "~" not in calm


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_result(result(measured(numba_cpu=1)), tmp_path / folder / "bench.json")
    paths = [tmp_path / folder / "bench.json" for folder in ("one", "two")]
    assert list(labelled(paths)) == ["one/bench", "two/bench"]
    assert list(labelled([paths[0]])) == ["bench"]


def test_plots_are_drawn_as_svg_and_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sizes = ("tiny", "large")
    problems = [
        measured(Problem(layer, SIZES[size], "float32"), numba_cpu=1.0 * 10**i, torch=5.0 * 10**i, copy=0.9 * 10**i)
        for i, size in enumerate(sizes)
        for layer in LOSSES
    ]
    paths = plot_all({"here": result(*problems), "there": result(*problems)}, tmp_path / "plots")
    names = {path.name for path in paths}
    assert {path.suffix for path in paths} == {".svg", ".png"}
    assert {"times-float32.svg", "copy-float32.svg", "map-here-torch-float32.svg", "cascade-float32.svg"} <= names
    assert all(path.stat().st_size > 1000 for path in paths)
    drawn = (tmp_path / "plots" / "map-here-torch-float32.svg").read_text()
    assert drawn.count('<g id="text_') > len(LOSSES) * len(sizes)


def test_a_result_without_peers_draws_no_map(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    paths = plot_all({"here": result(measured(numba_cpu=1, copy=1), specs=("numba-cpu",))}, tmp_path)
    assert {path.stem for path in paths} == {"times-float32", "copy-float32"}


@pytest.mark.parametrize(
    ("now", "copy", "expected"),
    [(1000, 800, SAME), (1300, 800, SLOWER), (1300, 1040, NOT_MEASURED), (700, 800, SAME)],
)
def test_the_past_counts_only_where_the_machine_is_what_it_was(now: float, copy: float, expected: str) -> None:
    then = result(measured(numba_cpu=1000, copy=800), specs=("numba-cpu",))
    (found,) = against_result(then, result(measured(numba_cpu=now, copy=copy), specs=("numba-cpu",)), Limits())
    assert found.verdict == expected


def test_a_problem_that_the_past_lacks_is_new() -> None:
    then = result(specs=("numba-cpu",))
    (found,) = against_result(then, result(measured(numba_cpu=1, copy=1), specs=("numba-cpu",)), Limits())
    assert found.verdict == NEW


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"machine": replace(MACHINE, cpu="Another")}, "another machine"),
        ({"threads": 8}, "8 thread"),
        ({"specs": ("torch",)}, "is of torch"),
    ],
)
def test_results_of_other_machines_are_no_past(change: dict[str, Any], told: str) -> None:
    now = result(measured(numba_cpu=1000, copy=800), specs=("numba-cpu",))
    with pytest.raises(UsageError, match=told):
        against_result(replace(now, **change), now, Limits())


def waiting(share: float, rounds: int) -> Measured:
    """Times that are ten times as long in rounds in which torch waited; the first `rounds` of 15."""
    base = measured(numba_cpu=1000, torch=5000, copy=900)
    disturbed = [10 * seconds if i < rounds else seconds for i, seconds in enumerate(base.seconds["torch"]["both"])]
    waits = [share if i < rounds else 0.0 for i in range(15)]
    seconds = {**base.seconds, "torch": {"both": disturbed}}
    return replace(base, seconds=seconds, waited={"torch": {"both": waits}})


def test_rounds_in_which_somebody_waited_for_a_core_do_not_count() -> None:
    found = waiting(0.5, 9)
    assert len(found.of("torch", "both")) == 6
    assert max(found.ratios("numba-cpu", "torch", "both")) < 6
    assert not found.disturbed("both", "torch")


def test_where_every_round_was_disturbed_the_times_say_so() -> None:
    found = waiting(0.5, 13)
    assert len(found.of("torch", "both")) == 15
    assert found.disturbed("both", "numba-cpu", "torch")
    assert not found.disturbed("both", "numba-cpu")
    assert "~50.0 ms" in printed(render, result(found))


def test_this_machine_describes_itself() -> None:
    machine = describe_machine()
    assert machine.cores >= 1
    assert machine.libraries["numpy"]
    assert Machine.from_json(json.loads(json.dumps(machine.to_json()))) == machine


def test_a_machine_is_described_as_mlperf_does() -> None:
    gpus = ("Example GPU, 80 GB, 550", "Example GPU, 80 GB, 550")
    machine = replace(MACHINE, memory=3 << 29, gpus=gpus, boost=False, threads={"OMP_NUM_THREADS": "2"})
    assert machine.described() == {
        "number_of_nodes": 1,
        "host_processor_model_name": "Example CPU",
        "host_processor_vcpu_count": 2,
        "host_processor_caches": "L1 Data 32 KiB, L3 Unified 32768 KiB",
        "host_memory_capacity": "1.5 GiB",
        "accelerators_per_node": 2,
        "accelerator_model_name": "Example GPU, 80 GB, 550; Example GPU, 80 GB, 550",
        "hw_notes": "boost: False, cores used: 2",
        "sw_notes": "OMP_NUM_THREADS: 2",
    }
    assert MACHINE.described()["accelerators_per_node"] == 0


@pytest.mark.parametrize(("text", "cores"), [("max 100000", None), ("150000 100000", 1.5), ("", None)])
def test_a_containers_quota_is_read(text: str, cores: float | None) -> None:
    assert quota(text) == cores


@pytest.mark.parametrize(
    ("change", "threads", "load", "told"),
    [
        ({}, 2, 3.0, "the machine is busy"),
        ({}, 4, 0.0, "4 threads on 2 core"),
        ({"quota": 0.5}, 2, 0.0, "throttled"),
        ({"governor": "powersave"}, 2, 0.0, "governor is powersave"),
        ({"boost": True}, 2, 0.0, "boosted"),
        ({"virtual": True}, 2, 0.0, "virtual machine"),
        ({"threads": {"OMP_NUM_THREADS": "7"}}, 2, 0.0, "OMP_NUM_THREADS=7"),
        ({"threads": {"OMP_WAIT_POLICY": "active"}}, 2, 0.0, "OpenMP threads spin"),
    ],
)
def test_advice_is_given_where_it_is_due(change: dict[str, Any], threads: int, load: float, told: str) -> None:
    assert not list(environment_advice(MACHINE, 2, 0.0))
    (line,) = environment_advice(replace(MACHINE, **change), threads, load)
    assert told in line


def test_openmp_runtimes_and_unsteady_copies_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    one = About("torch", environment={"openmp": ["libgomp.so.1"]})
    two = About("mine", environment={"openmp": ["libgomp.so.1", "libiomp5.so"]})
    spinning, fighting, unsteady = run_advice({"torch": one, "mine": two, "n": About("n")}, 0.3, [])
    assert "spin on after a call" in spinning
    assert "2 OpenMP runtimes in one process" in fighting
    assert "30%" in unsteady
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert not list(run_advice({"torch": one}, 0.01, []))


def test_a_size_of_ones_own_is_kept_in_results(tmp_path: Path) -> None:
    problem = Problem("hinge_loss", size_named("12x7"), "float64")
    write_result(result(measured(problem, numba_cpu=1)), tmp_path / "r.json")
    assert read_result(tmp_path / "r.json").measured[0].problem.size == Size("12x7", (12, 7))
