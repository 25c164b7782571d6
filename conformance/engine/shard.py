"""Shard: a process that runs its share of the suite on its own implementation, and tells what happens in JSON lines.

Started by the supervisor with an order on standard input.
"""

from __future__ import annotations

import os
import platform
import traceback
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from conformance.adapters import open_implementation
from conformance.adapters.host import Channel
from conformance.contract.case import Case
from conformance.contract.errors import Stopped, UsageError, one_line
from conformance.contract.exit_codes import ExitCode
from conformance.contract.implementation import (
    Description,
    DoesNotStart,
    Implementation,
    ImplementationError,
    Threaded,
    TimedOut,
)
from conformance.contract.limits import Limits
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.paths import system_told
from conformance.contract.selection import Planned
from conformance.engine.endurance import Endurance
from conformance.engine.items import Emit, Execution, SuitePlugin, run_pytest
from conformance.engine.order import Order
from conformance.engine.patience import Patience
from conformance.record.writer import plain
from conformance.requirements import CATALOGUE
from conformance.suite.outside import installed, load_loss

__all__ = ["main", "run_order"]

_UNDEFINED = 10.0  # seconds that a case may take whose behaviour Caffe leaves undefined
_GRACE = 5.0  # seconds beyond its own limit that an implementation has before its process is stopped


def run_order(order: Order, emit: Emit) -> None:
    """Run an order in this process; what goes wrong ends in a ``stop`` event with exit code, message and details."""
    try:
        emit({"kind": "finished", "hung": _run(order, emit)})
    except UsageError as error:
        emit(_stop(ExitCode.USAGE, str(error)))
    except Stopped as error:
        emit(_stop(ExitCode(error.code), error.message, error.detail))
    except DoesNotStart as error:
        emit(_stop(ExitCode.DOES_NOT_START, f"{order.spec} does not start: {one_line(error.reason)}", error.detail))
    except OSError as error:
        emit(_stop(ExitCode.HARNESS_BROKEN, system_told(error), traceback.format_exc()))
    except Exception as error:
        emit(_stop(ExitCode.HARNESS_BROKEN, f"the suite broke: {_named(error)}", traceback.format_exc()))


def main() -> None:
    """The order on standard input, the events on standard output."""
    channel = Channel()
    run_order(Order.from_json(channel.order()), channel.send)


def _planned(order: Order, description: Description) -> list[Planned]:
    """The items of the run: case files alone, or the suite's; where nothing else is asked for, layers given as snippets
    are what it is about."""
    from conformance.suite import FAMILIES, case_file, formula_free, plan, profiles_asked
    from conformance.suite.quick import golden_of, of_families, quick_of

    if order.case_files:
        return case_file.planned(order.case_files, description.dtypes, order.selection.dtypes)
    snippets = order.snippets or description.snippets
    selection = order.selection
    if (snippets and not selection.names_checks) or (order.snippets and selection.families):
        selection = replace(selection, families=(*selection.families, formula_free.FAMILY))
    drawn = (order.seed, order.explore, profiles_asked(selection, description.profiles))
    asked = partial(plan, selection, description.dtypes, description.differences, snippets, *drawn)
    quick = {"golden": golden_of(), "families": of_families(FAMILIES)} if order.quick else {}
    items = quick_of(asked(**quick)) if quick else asked()
    if selection.profiles or selection.names_checks or description.any_forms:
        return items
    known = set(description.layers)  # a type alone does not say which form it is
    return [item for item in items if not item.check.forms or known & set(item.check.forms)]


def _run(order: Order, emit: Emit) -> int:
    """Do the order; how many cases have hung in a row at its end."""
    endurance = Endurance(order.max_time, order.max_hangs, order.hung)
    implementation = _opened(order, order.timeout, emit, endurance)
    try:
        description = replace(implementation.describe(), in_process=order.in_process)
        limits = Limits.of(description, order.declines)
        limits.refuse_unknown(CATALOGUE)
        planned = _planned(order, description)
        told = {"implementation": plain(asdict(description)), "limits": limits.stated, "machine": _machine()}
        emit({"kind": "ready", **told})
        another = partial(_opened, order, min(order.timeout, _UNDEFINED), emit, endurance)
        asked = (order.dialect, order.declines, order.fresh)
        patience = Patience(order.fail_fast)
        execution = Execution(implementation, description, *asked, patience=patience, another=another)
        run_pytest(SuitePlugin(planned, execution, emit, order.shares, order.done, order.only), order.keyword)
        return endurance.hung
    finally:
        implementation.close()


def _opened(order: Order, timeout: float, emit: Emit, endurance: Endurance) -> Implementation:
    list(installed())
    for name in order.losses:
        load_loss(name)
    opened = open_implementation(order.spec, order.dialect, timeout, in_process=order.in_process)
    watched = _WatchedThreaded if isinstance(opened, Threaded) else _Watched
    return watched(opened, timeout, emit, endurance)


class _Watched:
    """An implementation whose cases are announced, so that a supervisor can tell one that hangs, and begun as long as
    there is endurance."""

    def __init__(self, inner: Implementation, timeout: float, emit: Emit, endurance: Endurance) -> None:
        self._inner, self._emit, self._endurance = inner, emit, endurance
        self._allowed = timeout + float(getattr(inner, "start_timeout", 0.0)) + _GRACE

    def describe(self) -> Description:
        return self._inner.describe()

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        self._endurance.refuse()
        self._emit({"kind": "entered", "allowed": self._allowed})
        try:
            answer = self._inner.run(case, dtype)
        except TimedOut:
            self._endurance.hanged()
            raise
        except ImplementationError:
            self._endurance.answered()
            raise
        finally:
            self._emit({"kind": "left"})
        self._endurance.answered()
        return answer

    def close(self) -> None:
        self._inner.close()


class _WatchedThreaded(_Watched):
    def use_threads(self, count: int | None) -> None:
        assert isinstance(self._inner, Threaded)
        self._inner.use_threads(count)


def _stop(code: ExitCode, message: str, detail: str = "") -> dict[str, Any]:
    return {"kind": "stop", "exit": int(code), "message": message, "detail": detail}


def _named(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}")


def _machine() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
    }
