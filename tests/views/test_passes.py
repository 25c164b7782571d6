"""A failing case of several passes: shown pass by pass, and replayed by its script."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from conformance.contract.case import Pass
from conformance.contract.outcome import Outcome
from conformance.contract.verdict import Status
from conformance.diagnosis.diagnosis import Group
from conformance.diagnosis.investigator import with_expectation
from conformance.losses import LOSSES
from conformance.record.cause import Cause
from conformance.record.evidence import Evidence
from conformance.record.grade import Grade
from conformance.views.case import given
from conformance.views.failing_case import FailingCase
from conformance.views.html.details import details_of
from conformance.views.repro import repro_script
from tests.broken import Broken
from tests.reports import report_of, verdict

VARIANT = LOSSES["euclidean_loss"].plain
SECOND = Pass(VARIANT.batch(2).values(3), {}, {"x": 7.0}, {"loss": 4.0}, clear=False, steps=("forward", "backward"))
CASE = replace(VARIANT.case("passes/a", seed=1), passes=(SECOND, Pass(steps=("backward",))), each_pass=True)


def evidence() -> Evidence:
    """The second state has a wrong gradient."""
    answer = Broken().run(CASE, "float32")
    assert isinstance(answer, Outcome)
    second = answer.passes[1]
    wrong = replace(second, diff={**second.diff, "x": second.diff["x"] + np.float32(1)})
    answer = replace(answer, passes=(answer.passes[0], wrong, answer.passes[2]))
    piece = Evidence("passes/a", "float32", {Cause.STALE_BUFFER: Grade.EXACT}, case=CASE, answer=answer)
    return Evidence.from_json(with_expectation(piece, None).to_json())


def test_evidence_keeps_the_passes_and_names_the_state() -> None:
    kept = evidence()
    assert kept.case is not None
    assert kept.case.digest() == CASE.digest()
    assert isinstance(kept.answer, Outcome)
    assert [len(state.data["x"]) for state in kept.answer.passes] == [len(VARIANT.values()["x"]), 2, 2]
    assert [array.place for array in kept.wrong] == ["diff/x after pass 2"]
    places = {array.place for array in kept.arrays}
    assert {"loss", "loss after pass 1", "loss after pass 2", "data/x after pass 1"} <= places


def test_what_a_case_is_given_is_shown_pass_by_pass() -> None:
    text = "\n".join(given(CASE))
    for said in (
        "inputs of pass 1",
        "inputs of pass 2",
        "diffs before the first forward of pass 2",
        "  loss = 4",
        "forward, backward in phase TRAIN; the parameters' diffs are added to",
        "steps of pass 3\n  backward in phase TRAIN",
    ):
        assert said in text
    single = "\n".join(given(replace(CASE, passes=(), each_pass=False)))
    assert "of pass" not in single
    (detail,) = details_of([Group(Cause.STALE_BUFFER, [evidence()])]).values()
    assert detail["steps"] == "forward, backward; forward, backward; backward"
    assert [entry[0] for entry in detail["inputs"]] == ["x", "z", "x in pass 2", "z in pass 2"]


def test_the_script_holds_every_pass(tmp_path: Path) -> None:
    broken = verdict("passes/a", Status.FAILED)
    script = repro_script(FailingCase(report_of(broken), (broken,), evidence(), None))
    path = tmp_path / "repro.py"
    path.write_text(script)
    ran = subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
    assert ran.returncode == 1
    assert [line.partition(" wrong")[0].strip() for line in ran.stdout.splitlines() if " wrong in " in line] == [
        "diff/x after pass 2"
    ]
    told: dict[str, Any] = {}
    exec(compile(script.partition("def compare")[0], "repro", "exec"), told)
    second, third = told["PASSES"]
    np.testing.assert_array_equal(second[0]["x"], SECOND.inputs["x"])
    assert second[2:] == ({"x": 7.0}, {"loss": 4.0}, False, ["forward", "backward"])
    assert third == ({}, {}, {}, {}, True, ["backward"])
