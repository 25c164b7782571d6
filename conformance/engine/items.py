"""The pytest plugin: a run of the suite as a pytest session, one item per check and dtype.

pytest is used as a library: neither the user's configuration nor any plugin that happens to be installed takes part,
and the items come from the suite, not from files.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conformance.contract.errors import UsageError, one_line
from conformance.contract.implementation import Description, Implementation
from conformance.contract.selection import Planned, share
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Verdict
from conformance.diagnosis.investigator import Investigator
from conformance.engine.execution import execute, level_of
from conformance.engine.patience import Patience
from conformance.record.evidence import Evidence
from conformance.record.report import Judged
from conformance.record.whole import digest_of_items
from conformance.record.writer import verdict_to_json

__all__ = ["Execution", "SuitePlugin", "run_pytest"]

Emit = Callable[[Mapping[str, Any]], object]
"""Takes an event; says something true where it has had enough."""

_COUNTED = 100
"""Cases of an item after which it is told how far it is."""

_INERT = Path(__file__).with_name("pytest.ini")
_OPTIONS = ("--noconftest", "--capture=no", "--assert=plain", "--strict-markers")
_WITHOUT = (
    "terminal",
    "cacheprovider",
    "junitxml",
    "doctest",
    "pastebin",
    "logging",
    "warnings",
    "stepwise",
    "unittest",
    "faulthandler",
    "threadexception",
    "unraisableexception",  # collects garbage five times over at the end
)


@dataclass(frozen=True)
class Execution:
    """What the items of one process run on: an implementation, the dialect asked for, limits stated beside its own,
    the seed of fresh values, and the patience with what fails.

    ``another`` opens it once more, for a check after which it is thrown away.
    """

    implementation: Implementation
    description: Description
    dialect: str | None = None
    declines: tuple[str, ...] = ()
    fresh: int = 0
    investigator: Investigator = field(default_factory=Investigator)
    patience: Patience = field(default_factory=Patience)
    another: Callable[[], Implementation] | None = None

    @contextmanager
    def session(self, planned: Planned) -> Iterator[Session]:
        """A session for one item. Raises `DoesNotStart` where another process is needed and does not start."""
        if self.another is None or not planned.check.undefined:
            yield self._session(self.implementation, planned)
            return
        opened = self.another()
        try:
            yield self._session(opened, planned)
        finally:
            opened.close()

    def _session(self, implementation: Implementation, planned: Planned) -> Session:
        return Session(implementation, self.description, planned.dtype, self.dialect, self.declines, self.fresh)


class CheckItem(pytest.Item):
    """One check in one dtype."""

    planned: Planned
    execution: Execution
    verdicts: Sequence[Verdict] = ()
    evidence: Sequence[Evidence] = ()
    run: Session | None = None
    cut: bool = False
    counted: Callable[[int], object]

    @classmethod
    def of(cls, parent: pytest.Session, planned: Planned, execution: Execution) -> CheckItem:
        item: CheckItem = cls.from_parent(parent, name=planned.name, nodeid=planned.name)
        item.planned = planned
        item.execution = execution
        item.extra_keyword_matches.update((planned.check.family, planned.check.layer, *planned.check.requirements))
        return item

    def runtest(self) -> None:
        with self.execution.session(self.planned) as self.run:
            self.run.counted = self.counted
            self.verdicts = execute(self.planned.check, self.run, self.execution.patience)
            self.cut = self.execution.patience.cut
            self.evidence = self.execution.investigator.evidence(self.planned.check, self.run, self.verdicts)

    def forget(self) -> None:
        """Let go of what the item ran and found, once it is told."""
        self.verdicts, self.evidence, self.run = (), (), None

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        return "".join(traceback.format_exception(excinfo.value))

    def reportinfo(self) -> tuple[str, None, str]:
        return self.planned.check.family, None, self.name


class SuitePlugin:
    """Turns planned items into pytest's, leaves out those ``done``, takes this process's shares and emits what happens.

    ``shares`` are (index, count) pairs, applied one after the other; of what they leave, ``only`` some, or all. Events
    are JSON objects: ``collected``, ``start``, ``within``, ``verdict``, ``evidence``, ``harness_error``, ``end``.
    """

    def __init__(
        self,
        planned: Sequence[Planned],
        execution: Execution,
        emit: Emit,
        shares: Sequence[tuple[int, int]] = (),
        done: frozenset[str] = frozenset(),
        only: frozenset[str] | None = None,
    ) -> None:
        self._planned, self._execution, self._told = planned, execution, emit
        self._shares, self._done, self._only = shares, done, only
        self.refused: str | None = None
        self.enough = False
        self.failed: Exception | None = None

    def _emit(self, event: Mapping[str, Any]) -> object:
        """Passes an event on; where that fails, as on a full disk, the session ends, and nothing of it is pytest's."""
        try:
            return self._told(event)
        except Exception as error:
            self.failed = error
            pytest.exit("nobody takes what happens")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        session.items = [CheckItem.of(session, planned, self._execution) for planned in self._planned]
        try:
            session.config.hook.pytest_collection_modifyitems(
                session=session, config=session.config, items=session.items
            )
        except pytest.UsageError as error:
            self.refused = one_line(str(error))
            session.items = []
        plan = digest_of_items(item.name for item in session.items)
        for index, count in self._shares:
            session.items = share(session.items, index, count, _check_of)
        if self._only is not None:
            session.items = [item for item in session.items if item.name in self._only]
        self._emit({"kind": "collected", "items": [item.name for item in session.items], "plan": plan})
        session.items = [item for item in session.items if item.name not in self._done]
        session.testscollected = len(session.items)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: CheckItem) -> Iterator[None]:
        check = item.planned.check
        place = {"check": check.id, "family": check.family, "stem": check.layer, "dtype": item.planned.dtype}
        place["since"] = check.since
        levels = {name: (Level.SHOULD if check.undefined else level_of(name)).value for name in check.requirements}
        self._emit({"kind": "start", "item": item.name, **place, "requirements": levels})
        item.counted = partial(self._counted, item.name)
        result = yield
        for verdict in item.verdicts:
            self._emit({"item": item.name, **verdict_to_json(Judged(check.family, check.layer, verdict))})
        for evidence in item.evidence:
            self._emit({"item": item.name, **evidence.to_json()})
        if self._emit(_end(item)):
            item.session.shouldstop = "enough has failed"
            self.enough = True
        item.forget()
        return result

    def _counted(self, name: str, cases: int) -> None:
        """Tell how far an item of many cases is."""
        if cases % _COUNTED == 0:
            self._emit({"kind": "within", "item": name, "cases": cases})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            text = str(report.longrepr)
            last = text.strip().splitlines()[-1] if text.strip() else "no reason given"
            self._emit(
                {"kind": "harness_error", "item": report.nodeid, "message": one_line(last), "trace": text[-8000:]}
            )


def _check_of(item: pytest.Item) -> str:
    """In all types the cases of a check are the same: one process reads them, and what they touch, once."""
    assert isinstance(item, CheckItem)
    return item.planned.check.id


def _end(item: CheckItem) -> dict[str, Any]:
    """The end of an item: the implementation's seconds, the digests of the cases it was given, and whether it was cut
    short."""
    cases: dict[str, str] = {}
    for run in item.run.runs if item.run is not None else ():
        if run.case.id not in cases:  # a check's first case does not depend on any answer
            cases[run.case.id] = run.case.digest()
    seconds = round(item.run.seconds, 6) if item.run is not None else 0.0
    return {"kind": "end", "item": item.name, "seconds": seconds, "cases": cases, **({"cut": True} if item.cut else {})}


def run_pytest(plugin: SuitePlugin, keyword: str = "") -> None:
    """Run a plugin's items. Raises `UsageError` for a keyword expression that pytest does not read."""
    options = [*_OPTIONS, f"-c={_INERT}", f"--rootdir={_INERT.parent}"]
    options += [word for name in _WITHOUT for word in ("-p", f"no:{name}")]
    options += ["-k", keyword] if keyword else []
    with _own_environment():
        code = pytest.main([*options, str(_INERT.parent)], plugins=[plugin])
    if plugin.failed is not None:
        raise plugin.failed
    if plugin.refused is not None:
        raise UsageError(f"-k {keyword!r}: {plugin.refused}")
    if code == pytest.ExitCode.INTERRUPTED and plugin.enough:
        return
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(f"pytest ended with {code!r}")


@contextmanager
def _own_environment() -> Iterator[None]:
    """The environment without what would change how pytest runs."""
    foreign = {name: os.environ.pop(name) for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS") if name in os.environ}
    before = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        os.environ.update(foreign)
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        if before is not None:
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = before
