"""Miniatures: fake implementations that go wrong in one way each, and the verdict that each way is to cost.

The workers are under ``miniature_workers/``; `command` gives the command line of one, for `ProcessImplementation` or,
joined, for ``process:``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from conformance.contract.implementation import (
    Crash,
    DoesNotStart,
    ImplementationError,
    ProtocolError,
    TimedOut,
    Unsupported,
)

__all__ = ["AT_START", "IN_A_CASE", "IN_PASSES", "Miniature", "command", "well_behaved"]

WORKERS = Path(__file__).resolve().parent / "miniature_workers"


@dataclass(frozen=True)
class Miniature:
    """A behaviour, the exception its case is to end with, and words of the reason; ``hangs`` asks for a short limit."""

    behaviour: str
    verdict: type[ImplementationError]
    reason: str
    hangs: bool = False


def command(behaviour: str, when: str = "spoil me", *, honest: bool = False) -> list[str]:
    """The command line of a misbehaving worker; the behaviour sets in where a case's net contains ``when``."""
    line = [sys.executable, str(WORKERS / "misbehaving.py"), behaviour, "--when", when]
    return [*line, "--honest"] if honest else line


def well_behaved(*, honest: bool = False) -> list[str]:
    """The command line of the worker that gets everything right."""
    return [sys.executable, str(WORKERS / "well_behaved.py"), *(["--honest"] if honest else [])]


AT_START = (
    Miniature("exits_at_start", DoesNotStart, "exited with status 1 before it described itself: no Caffe here"),
    Miniature("silent_at_start", DoesNotStart, "no description within", hangs=True),
    Miniature("banner_at_start", DoesNotStart, "its description is none: not JSON .* 'Caffe 1.0"),
    Miniature("speaks_another_version", DoesNotStart, "version 99 of the protocol, this harness versions 1 and 2"),
    Miniature("describes_nothing", DoesNotStart, "'protocol' is a required property"),
)

IN_A_CASE = (
    Miniature("exits_quietly", Crash, "exited with status 0 in construct"),
    Miniature("exits_with_status_3", Crash, "exited with status 3"),
    Miniature("aborts", Crash, "died by SIGABRT"),
    Miniature("exits_after_a_failed_check", Crash, "exited with status 1"),
    Miniature("segfaults", Crash, "died by SIGSEGV"),
    Miniature("divides_by_zero", Crash, "died by SIGFPE"),
    Miniature("is_killed", Crash, "died by SIGKILL"),
    Miniature("raises", Crash, "exited with status 1"),
    Miniature("dies_after_its_answer", Crash, "died by SIGSEGV after its answer"),
    Miniature("dies_and_leaves_a_child", Crash, "exited with status 1"),
    Miniature("floods_stderr_and_dies", Crash, "exited with status 1"),
    Miniature("closes_stdout", Crash, "closed its standard output and went on"),
    Miniature("hangs", TimedOut, "no sign of life within .* in backward", hangs=True),
    Miniature("hangs_deaf_to_signals", TimedOut, "no sign of life within .* in construct", hangs=True),
    Miniature("never_flushes", TimedOut, "no sign of life", hangs=True),
    Miniature("stops_in_mid_line", TimedOut, "no sign of life", hangs=True),
    Miniature("announces_stages_without_end", TimedOut, "no sign of life within .* in forward", hangs=True),
    Miniature("hangs_after_its_answer", TimedOut, "after its answer", hangs=True),
    Miniature("prints_to_stdout", ProtocolError, "not JSON .* 'I1121 net.cpp:744"),
    Miniature("prints_after_its_answer", ProtocolError, "after its answer: not JSON .* 'done'"),
    Miniature("answers_twice", ProtocolError, "after its answer: outcome with id"),
    Miniature("is_another_one_after_its_answer", ProtocolError, "its name was miniature and is other"),
    Miniature("answers_the_case_before", ProtocolError, "outcome with id .* where .* was asked"),
    Miniature("answers_with_a_wrong_id", ProtocolError, "outcome with id .* where .* was asked"),
    Miniature("answers_with_a_text_for_an_id", ProtocolError, "id: '.*' is not of type 'integer'"),
    Miniature("answers_without_an_id", ProtocolError, "'id' is a required property"),
    Miniature("answers_another_question", ProtocolError, "answered with description"),
    Miniature("answers_two_things_at_once", ProtocolError, "exactly one of"),
    Miniature("announces_an_unknown_stage", ProtocolError, "stage: 'training' is not one of"),
    Miniature("complains_about_the_request", ProtocolError, "could make nothing of the request: KeyError: 'shape'"),
    Miniature("answers_garbage", ProtocolError, "not JSON .* 'loss = 0.55"),
    Miniature("answers_invalid_utf8", ProtocolError, "not UTF-8 at byte"),
    Miniature("answers_a_list", ProtocolError, "not a JSON object"),
    Miniature("answers_half_a_line", ProtocolError, "not JSON"),
    Miniature("answers_bare_nan", ProtocolError, 'NaN is not JSON: write the string "NaN"'),
    Miniature("answers_a_tower", ProtocolError, "nested more than 64 deep"),
    Miniature("answers_without_end", ProtocolError, "its answer exceeds"),
    Miniature("forgets_the_total", ProtocolError, "outcome: 'loss' is a required property"),
    Miniature("forgets_a_gradient", ProtocolError, "diff.x missing"),
    Miniature("reports_a_stranger", ProtocolError, "data.nobody: the net has no such blob"),
    Miniature("tells_passes_unasked", ProtocolError, "passes has 1 entries for a case that does not ask for it"),
    Miniature("misspells_a_field", ProtocolError, "'diffs' was unexpected"),
    Miniature("says_the_wrong_type", ProtocolError, "dtype is float64, asked for float32"),
    Miniature("sends_float64_for_float32", ProtocolError, "diff.x is float64, asked for float32"),
    Miniature("sends_a_wrong_shape", ProtocolError, r"diff.x has shape \[2, 3, 1\], .* has \[2, 3\]"),
    Miniature("sends_too_few_numbers", ProtocolError, r"diff.x: .* shape \[2, 3\] does not hold the data"),
    Miniature("sends_a_negative_size", ProtocolError, "diff.x.shape.0: -1 is less than the minimum"),
    Miniature("sends_broken_base64", ProtocolError, "diff.x: (Only base64 data is allowed|Non-base64 digit found)"),
    Miniature("sends_a_number_beyond_float", ProtocolError, "too large"),
    Miniature("declines", Unsupported, "no InfogainLoss in this build"),
)

IN_PASSES = (
    Miniature("forgets_a_pass", ProtocolError, "passes has 2 entries for 3 passes"),
    Miniature("forgets_the_totals", ProtocolError, "loss_trace missing: a case of 3 passes"),
    Miniature("answers_the_first_pass", ProtocolError, "passes has 1 entries for 3 passes"),
    Miniature("forgets_a_gradient", ProtocolError, r"diff.x missing"),
    Miniature("spoils_the_last_state", ProtocolError, r"passes\[2\]: the last pass's state is the outcome's own"),
    Miniature("answers_passes_of_one_size", ProtocolError, r"passes\[1\]: data.x has shape \[2, 3\], .* has \[4, 3\]"),
)
"""What a case of three passes, each of them asked for, may meet besides."""
