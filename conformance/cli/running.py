"""Running: an order carried out with a report and a progress bar, for the commands that do so."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from conformance.contract.errors import Stopped, UsageError
from conformance.contract.exit_codes import ExitCode
from conformance.engine.order import Order
from conformance.engine.recorder import Recorder
from conformance.engine.stopped_run import StoppedRun
from conformance.record.writer import ReportWriter
from conformance.views.progress import ProgressBar

__all__ = ["TimeOver", "refuse_cut_index", "run"]


def refuse_cut_index(spec: str) -> None:
    """Raises `NotWhole` where the answers in files that ``spec`` spells come with another index than was exported."""
    from conformance.adapters.files import Answers
    from conformance.adapters.opening import open_implementation
    from conformance.engine.export import refuse_other_index

    opened = open_implementation(spec)
    if isinstance(opened, Answers):
        refuse_other_index(opened.index, opened.folder)


class TimeOver(Exception):
    """The time that a run was given is over, and some of it is left to go on with."""


def run(
    order: Order,
    workers: int,
    path: Path,
    console: Console,
    stopped: StoppedRun | None = None,
    on: str = "",
    until: float = math.inf,
) -> ExitCode:
    """Carry out the order in so many processes, 0 meaning this one, or ``on`` the cluster at an address, and write the
    report to ``path``.

    Raises `UsageError` where no check matches, `Stopped` where the run could not go on, `TimeOver` where it has not
    ended ``until`` a time of `time.monotonic`.
    """
    if stopped is not None:
        order = order.without(stopped.done)
    with ReportWriter(path) as writer, ProgressBar(console) as display:
        recorder = Recorder(order, 1 if on else max(workers, 1), writer, display, stopped)
        over = False

        def emit(event: Mapping[str, Any]) -> bool:
            nonlocal over
            over = time.monotonic() > until
            return recorder(event) or over

        if on:
            from conformance.engine.cluster import cluster_at
            from conformance.engine.spread import spread

            with cluster_at(on) as cluster:
                spread(order, cluster, emit)
        elif workers:
            from conformance.engine.supervisor import supervise

            supervise(order, workers, emit)
        else:
            from conformance.engine.shard import run_order

            run_order(order, emit)
        if over and recorder.stop is None:
            raise TimeOver
        if recorder.stop is None and recorder.items:
            return recorder.finish()
    if recorder.stop is None:
        raise UsageError("no check matches: nothing was run")
    raise Stopped(recorder.stop["exit"], recorder.stop["message"], recorder.stop["detail"])
