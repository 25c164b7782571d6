"""Recorder: turns a run's events into its report, and tells a display how far it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Protocol

from conformance.contract.errors import Stopped, one_line
from conformance.contract.exit_codes import ExitCode
from conformance.contract.verdict import Verdict
from conformance.contract.version import SUITE, VERSION
from conformance.engine.order import Order
from conformance.engine.patience import failing
from conformance.engine.stopped_run import CHANGING, StoppedRun
from conformance.record.reader import judged_from_json
from conformance.record.report import SCHEMA, Judged, Report
from conformance.record.whole import digest_of_items, footer_of
from conformance.record.writer import ReportWriter
from conformance.requirements import CATALOGUE
from conformance.suite.outside import digest_of

__all__ = ["Display", "Recorder"]


class Display(Protocol):
    """What is shown while a run goes on."""

    def expect(self, items: int) -> None:
        """So many items will run."""

    def at(self, item: str) -> None:
        """An item begins."""

    def within(self, item: str, cases: int) -> None:
        """An item has run so many cases."""

    def judged(self, broken: bool) -> None:
        """An item has ended; ``broken`` where the implementation failed something that counts."""


class Recorder:
    """Receives the events of ``parts`` processes. The header is written once all of them know their share.

    The lines of an item are written together when it ends, whatever other processes do meanwhile. With a ``stopped``
    run, the report goes on from what that one left.
    """

    def __init__(
        self, order: Order, parts: int, writer: ReportWriter, display: Display, stopped: StoppedRun | None = None
    ) -> None:
        self._order, self._parts, self._writer, self._display = order, parts, writer, display
        self._stopped = stopped
        self._started = time.monotonic()
        self._ready: Mapping[str, Any] | None = None
        self._shares: list[Sequence[str]] = []
        self._plan = ""
        self._waiting: list[Mapping[str, Any]] = []
        self._judged: list[Judged] = list(stopped.judged) if stopped else []
        self._open: dict[str, list[Mapping[str, Any]]] = {}
        self._since: dict[str, str] = {}
        self._errors: list[Mapping[str, Any]] = []
        self._lines = Counter(line["kind"] for line in stopped.lines) if stopped else Counter[str]()
        self._failing = 0
        self.stop: Mapping[str, Any] | None = None

    def __call__(self, event: Mapping[str, Any]) -> bool:
        """Take one event, and say whether that is enough. Raises `UsageError` where the report to go on from is another
        run's, `Stopped` where the implementation is not the same in every process."""
        kind = event["kind"]
        if kind == "ready":
            self._ready = self._ready or event
            self._refuse_another(event["implementation"])
            if self._stopped is not None:
                self._stopped.refuse_another(self._header())
        elif kind == "collected":
            self._shares.append(event["items"])
            self._plan = event["plan"]
            if len(self._shares) == self._parts:
                self._begin()
        elif kind == "stop":
            self.stop = event
        elif len(self._shares) < self._parts:
            self._waiting.append(event)
        else:
            self._record(event)
        return self.had_enough

    def _refuse_another(self, told: Mapping[str, Any]) -> None:
        """Raises `Stopped` where one process tells of another implementation than the first did: a report has one."""
        assert self._ready is not None
        for name, first in self._ready["implementation"].items():
            if name not in CHANGING and told[name] != first:
                was, now = (one_line(str(value), 60) for value in (first, told[name]))
                reason = (
                    f"{self._order.spec} is not one implementation: its {name} is {was}, and {now} in another process"
                )
                raise Stopped(ExitCode.DOES_NOT_START, reason)

    @property
    def items(self) -> int:
        """How many items were to run."""
        return sum(map(len, self._shares))

    @property
    def had_enough(self) -> bool:
        """Whether as many cases have failed as the run was to bear."""
        return 0 < self._order.fail_fast <= self._failing

    def finish(self) -> ExitCode:
        """Write the footer, and say how the run ended."""
        stopped = {"stopped_after": self._failing} if self.had_enough else {}
        report = Report(self._header(), tuple(self._judged), tuple(self._errors), stopped)
        kept = {"evidence": self._lines["evidence"], "ended": self._lines["end"]}
        footer = footer_of(report, time.monotonic() - self._started) | kept | stopped
        self._writer.write(footer)
        return ExitCode(footer["exit"])

    def _begin(self) -> None:
        header = self._header()
        if self._stopped is None:
            self._writer.write(header)
        else:
            self._stopped.refuse_other_items(header)
            again = {"kind": "resumed", "started": header["started"], "machine": header["machine"]}
            self._writer.begin_with([*self._stopped.lines, again])
        self._display.expect(self.items - (len(self._stopped.done) if self._stopped else 0))
        for event in self._waiting:
            self._record(event)
        self._waiting.clear()

    def _header(self) -> dict[str, Any]:
        assert self._ready is not None
        order = self._order
        selection = ("selection", "keyword", "shares", "snippets", *["case_files"] * bool(order.case_files))
        selection += ("quick",) * order.quick
        return {
            "kind": "header",
            "schema": SCHEMA,
            "suite": {"name": "caffe-loss-conformance", "version": VERSION, "requirements": SUITE},
            "implementation": {"spec": order.spec, **self._ready["implementation"]},
            "limits": list(self._ready["limits"]),
            "dialect": order.dialect,
            **({"losses": digest_of(order.losses)} if order.losses else {}),
            "seed": order.seed,
            "explore": order.explore,
            "fresh": order.fresh,
            "dtypes": list(order.selection.dtypes or self._ready["implementation"]["dtypes"]),
            "machine": self._ready["machine"],
            "selection": {name: value for name, value in order.to_json().items() if name in selection},
            "items": self.items,
            "digest": digest_of_items(name for share in self._shares for name in share),
            "plan": self._plan,
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }

    def _record(self, event: Mapping[str, Any]) -> None:
        kind, item = event["kind"], event.get("item")
        if item is None:
            return
        if kind == "start":
            self._open[item] = []
            self._since[item] = event["since"]
            self._display.at(item)
            return
        if kind == "within":
            self._display.within(item, event["cases"])
            return
        self._open[item].append(self._verdict(event) if kind == "verdict" else event)
        if kind == "harness_error":
            self._errors.append(event)
        elif kind == "end":
            lines = self._open.pop(item)
            judged = [judged_from_json(line) for line in lines if line["kind"] == "verdict"]
            lines[-1:] = [*self._lost(lines, [each.verdict for each in judged]), {**event, "verdicts": len(judged)}]
            self._writer.write(*lines)
            self._lines.update(line["kind"] for line in lines)
            self._judged += judged
            broken = len(failing(each.verdict for each in judged))
            self._failing += broken
            self._display.judged(broken > 0)

    def _verdict(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """A verdict's line: with the version that it is asked for since, where that is not the first."""
        line = {name: value for name, value in event.items() if name != "item"}
        requirement = CATALOGUE.get(event["requirement"])
        since = max(self._since[event["item"]], requirement.since if requirement else "1", key=int)
        return line if since == "1" else {**line, "since": since}

    def _lost(self, lines: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict]) -> list[Mapping[str, Any]]:
        """The evidence on an item whose process died before it could give any."""
        broken = [verdict for verdict in verdicts if verdict.status.breaks]
        if not broken or any(line["kind"] == "evidence" for line in lines):
            return []
        from conformance.engine.lost import lost_evidence  # brings the whole suite along

        order, first, requirements = self._order, broken[0], [verdict.requirement for verdict in broken]
        lost = lost_evidence(
            first.check, first.dtype, requirements, order.dialect, order.seed, order.explore, order.fresh
        )
        return [lost.to_json()]
