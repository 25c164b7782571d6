"""``process:COMMAND``: an implementation in its own process, spoken to in JSON lines (docs/protocol.md)."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from conformance.adapters.direct import LayerImplementation
from conformance.adapters.host import End, Ended, Host, Late, Overlong, last_lines
from conformance.adapters.remote_layer import Computed, RemoteLayer
from conformance.adapters.worker import fatal_text
from conformance.contract.alarm import alarm
from conformance.contract.case import Case
from conformance.contract.errors import one_line
from conformance.contract.implementation import Crash, Description, DoesNotStart, ProtocolError, TimedOut, Unsupported
from conformance.contract.outcome import Outcome, Refusal
from conformance.protocol import (
    PASSES_SINCE,
    SPOKEN,
    VERSION,
    Answer,
    case_message,
    read_answer,
    read_computed,
    read_description,
    read_outcome,
    read_times,
    request,
)
from refimpl.layers import REGISTRY

__all__ = ["ProcessImplementation", "open_process", "refuse_passes"]

T = TypeVar("T")
_MOST_FAILED_STARTS = 3  # in a row; a start may take a minute to fail, and there is one for every case left
_QUICK = 1 << 18  # bytes of an answer up to which reading it takes no time that anybody would miss
_GRACE = 2.0  # seconds a process has to end by itself once its pipes are closed


def open_process(argument: str, timeout: float = 60.0) -> ProcessImplementation:
    """The implementation behind a command line. Raises `ValueError` where there is none."""
    if not argument.strip():
        raise ValueError("process: needs a command, as in process:./my-caffe --serve")
    return ProcessImplementation(argument, timeout=timeout)


def refuse_passes(description: Description, case: Case) -> None:
    """Raises `Unsupported` for a case of several passes where the protocol spoken has none."""
    if case.passes and description.protocol is not None and description.protocol < PASSES_SINCE:
        raise Unsupported(
            f"it speaks version {description.protocol} of the protocol: cases of several passes come with version "
            f"{PASSES_SINCE}"
        )


class ProcessImplementation:
    """Starts a command, feeds it cases, and starts it again after whatever a case did to it.

    ``timeout`` is in seconds for a case, ``start_timeout`` for the start and its describe, ``limit`` in bytes for one
    answer. After every case the process is asked to describe itself once more: what it wrote before that, and its death
    if it died, belong to the case just run and never to the next one. TMPDIR is a folder that is removed with it.
    """

    def __init__(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 60.0,
        start_timeout: float = 60.0,
        limit: int = 64 << 20,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = tuple(shlex.split(command) if isinstance(command, str) else command)
        self.timeout, self.start_timeout, self.limit = timeout, start_timeout, limit
        self._environment = dict(os.environ if environment is None else environment)
        self._numbers = itertools.count(1)
        self._host: Host | None = None
        self._description: Description | None = None
        self._stage = "construct"
        self._version = VERSION
        self._failed_starts = 0
        self._large = False

    @property
    def scratch(self) -> str | None:
        """The running process's folder for what it leaves lying about."""
        return None if self._host is None else self._host.scratch

    def describe(self) -> Description:
        """What the process says of itself; starts it if need be. Raises `DoesNotStart`."""
        if self._description is None:
            self._started()
        assert self._description is not None
        return self._description

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        """The outcome of a case, checked against the protocol, or the refusal, by answer or by a failed check.

        Raises `Unsupported`, `Crash`, `TimedOut`, `ProtocolError`, and `DoesNotStart` where it cannot be started again.
        """
        description = self.describe()
        refuse_passes(description, case)
        if description.capability == "layer":
            make = partial(RemoteLayer, self._compute, description.protocol)
            layers = {kind: make for kind in description.layers if kind in REGISTRY}
            return LayerImplementation(layers, description).run(case, dtype)
        return self._run_net(case, dtype)

    def time(self, case: Case, dtype: str, rounds: int) -> dict[str, tuple[float, ...]] | Refusal:
        """Seconds of each round of forward, backward, and both, measured inside the process. Raises as `run` does."""
        description = self.describe()
        if description.capability == "layer":
            raise Unsupported("single layers are not timed: the net around them would be")
        fields = {"case": case_message(case, dtype, description.any_forms), "rounds": rounds}
        return self._exchange("time", "times", dtype, lambda body: read_times(body, rounds), **fields)

    def _run_net(self, case: Case, dtype: str) -> Outcome | Refusal:
        message = case_message(case, dtype, self.describe().any_forms)
        return self._exchange("run", "outcome", dtype, lambda body: read_outcome(body, case, dtype), case=message)

    def close(self) -> None:
        """Asks the process to stop, kills it where it does not, and leaves nothing behind."""
        if self._host is not None and self._host.alive:
            with contextlib.suppress(Ended, Late, OSError):  # whom words do not reach is killed
                self._host.send(request("stop", next(self._numbers)), time.monotonic() + _GRACE)
        self._discard(_GRACE)

    def _started(self) -> Host:
        """The running process: the one there is, unless it died or spoke out of turn since the last case."""
        if self._host is not None and self._host.alive and not self._host.unread:
            return self._host
        self._discard()
        if self._failed_starts >= _MOST_FAILED_STARTS:
            raise DoesNotStart(f"it has not started {self._failed_starts} times in a row and is not tried again")
        self._failed_starts += 1
        host, description = self._start()
        self._failed_starts = 0
        changed = self._changed(description)
        if changed:
            raise ProtocolError(f"started again, it is another one: {changed}", self._discard().said)
        self._description = description
        return host

    def _start(self) -> tuple[Host, Description]:
        try:
            host = self._host = Host(self.command, self._environment, self.limit)
            return host, self._introduce(host, time.monotonic() + self.start_timeout)
        except OSError as error:
            self._discard()
            raise DoesNotStart(f"cannot start {shlex.join(self.command)}: {error.strerror}") from None
        except (Late, TimedOut):
            raise DoesNotStart(f"no description within {self.start_timeout:g} s", self._discard().said) from None
        except Ended:
            end = self._discard(_GRACE)
            last = last_lines(end.errors, 1)
            raise DoesNotStart(f"{end.how} before it described itself{last and f': {last}'}", end.said) from None
        except (ValueError, Overlong) as error:
            raise DoesNotStart(f"its description is none: {error}", self._discard().said) from None

    def _introduce(self, host: Host, deadline: float) -> Description:
        """Asks in the version settled; in the next one where nothing could be made of that."""
        answer = self._ask(host, "describe", deadline, protocol=self._version)
        if answer.kind == "error" and self._description is None and self._version != SPOKEN[-1]:
            self._version = SPOKEN[SPOKEN.index(self._version) + 1]
            return self._introduce(host, deadline)
        return self._described(answer)

    def _described(self, answer: Answer) -> Description:
        if answer.kind != "description":
            raise ValueError(f"answered describe with {answer.kind}: {answer.body}")
        description = read_description(answer.body)
        self._version = description.protocol or VERSION
        return description

    def _changed(self, description: Description) -> str:
        """What it says of itself that it did not say at first, in words; a report names one implementation."""
        first = self._description or description
        names = ("name", "version", "capability")
        pairs = [(name, getattr(first, name), getattr(description, name)) for name in names]
        return ", ".join(
            f"its {name} was {one_line(old)} and is {one_line(new)}" for name, old, new in pairs if old != new
        )

    def _exchange(self, verb: str, kind: str, dtype: str, read: Callable[[Any], T], **fields: Any) -> T | Refusal:
        """A case's request and what ``read`` makes of its answer, all that can go wrong turned into what it means."""
        if not self.describe().takes(dtype):
            raise Unsupported(f"{dtype} is not among its types: {', '.join(self.describe().dtypes)}")
        host = self._started()
        host.forget_errors()
        deadline, self._stage, answer = time.monotonic() + self.timeout, "construct", None
        try:
            answer = self._ask(host, verb, deadline, dtype=dtype, **fields)
            changed = self._changed(self._introduce(host, deadline))
            if changed:
                raise ValueError(f"it is another one: {changed}")
        except Late:
            reason = f"no sign of life within {self.timeout:g} s, {self._when(answer)}"
            raise TimedOut(reason, self._discard().said) from None
        except (TimedOut, OSError):
            self._discard()
            raise
        except Overlong:
            raise ProtocolError(f"its answer exceeds {self.limit} bytes", self._discard().said) from None
        except ValueError as error:
            reason = str(error) if answer is None else f"after its answer: {error}"
            raise ProtocolError(reason, self._discard().said) from None
        except Ended:
            end = self._discard(_GRACE)
            text = fatal_text(end.errors) if end.status == -signal.SIGABRT else None
            if text is not None and answer is None:
                return Refusal(self._stage, text)
            raise Crash(f"{end.how} {self._when(answer)}", end.said) from None
        said = last_lines(host.errors)
        body = self._body(answer, kind, said)
        try:
            with self._in_time(deadline):
                return body if isinstance(body, Refusal) else read(body)
        except Late:
            raise TimedOut(f"its answer could not be read within {self.timeout:g} s", said) from None
        except ValueError as error:
            raise ProtocolError(str(error), said) from None

    def _body(self, answer: Answer, kind: str, said: str) -> Any:
        return answer.result(kind, said)

    def _compute(self, dtype: str, fields: Mapping[str, Any]) -> Computed | Refusal:
        """One layer's tops and gradients."""
        return self._exchange("run", "computed", dtype, lambda body: read_computed(body, dtype), **fields)

    def _when(self, answer: Answer | None) -> str:
        return f"in {self._stage}" if answer is None else "after its answer"

    def _ask(self, host: Host, verb: str, deadline: float, **fields: Any) -> Answer:
        """One request and its answer; notes the stages announced meanwhile.

        Raises `Late`, `Ended`, `Overlong`, `TimedOut` where the answer takes too long to read, and `ValueError` for
        what is no answer.
        """
        number = next(self._numbers)
        host.send(request(verb, number, **fields), deadline)
        while True:
            line = host.receive(deadline)
            self._large = len(line) > _QUICK
            with self._in_time(deadline):
                answer = read_answer(line)
            if answer.id != number:
                raise ValueError(f"{answer.kind} with id {answer.id} where {number} was asked")
            if answer.kind != "stage":
                return answer
            self._stage = answer.body

    @contextlib.contextmanager
    def _in_time(self, deadline: float) -> Iterator[None]:
        """What is read inside ends with the deadline, where it is large. Raises `Late` and `TimedOut`."""
        if not self._large:
            yield
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise Late
        with alarm(left, f"its answer could not be read within {self.timeout:g} s"):
            yield

    def _discard(self, grace: float = 0.0) -> End:
        """Ends the process, if there is one."""
        host, self._host = self._host, None
        return End(None, "") if host is None else host.end(grace)
