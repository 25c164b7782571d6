"""Child: somebody's Python code in a process of its own, where nothing that it does reaches the judge.

What is opened there answers whole cases in the messages of docs/protocol.md, a single layer too: the net around it is
the child's. Nothing but JSON comes back, so that an answer is data and never code.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from conformance.adapters.host import Channel, Host, own_command
from conformance.adapters.process import ProcessImplementation
from conformance.contract.case import Case
from conformance.contract.errors import UsageError
from conformance.contract.implementation import (
    Crash,
    Description,
    DoesNotStart,
    Implementation,
    ImplementationError,
    ProtocolError,
    Unsupported,
)
from conformance.contract.intake import decoding, json_of
from conformance.contract.outcome import Outcome, Refusal
from conformance.protocol import VERSION, Answer, outcome_message, read_case, refusal_message
from conformance.suite.outside import installed, load_loss, loaded

__all__ = ["Child", "main"]


class Child(ProcessImplementation):
    """What ``spec`` spells, opened in a process of its own; ``dialect`` and ``timeout`` as in `open_implementation`."""

    def __init__(self, spec: str, dialect: str | None = None, timeout: float = 60.0) -> None:
        # This side ends a case; an alarm inside at the same moment would race it to another reason.
        command = own_command(__name__, spec, dialect or "", repr(2 * timeout), *loaded())
        super().__init__(command, timeout=timeout)

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        """Raises as `ProcessImplementation.run` does."""
        return self._run_net(case, dtype)

    def _introduce(self, host: Host, deadline: float) -> Description:
        """Raises `UsageError` and `DoesNotStart` as opening it in this process would."""
        answer = self._ask(host, "describe", deadline, protocol=VERSION)
        if answer.kind != "error":
            return self._described(answer)
        with decoding():
            told = json_of(answer.body)
            error = UsageError(told["usage"]) if "usage" in told else DoesNotStart(told["reason"], told["detail"])
        self._discard()
        raise error

    def _body(self, answer: Answer, kind: str, said: str) -> Any:
        if answer.kind == "error":
            raise ProtocolError(answer.body, said)
        return super()._body(answer, kind, said)

    def _when(self, answer: Answer | None) -> str:
        return "while it ran a case" if answer is None else super()._when(answer)


def main() -> None:
    """Answers requests until there are no more.

    The command line: spelling, dialect ("" for none), timeout, files of losses from outside.
    """
    channel = Channel()
    spec, dialect, timeout, *losses = sys.argv[1:]
    list(installed())
    for name in losses:
        load_loss(name)
    with os.fdopen(os.dup(0), "rb") as requests:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        served = _Served(spec, dialect or None, float(timeout))
        for line in requests:
            request = json.loads(line)
            if request["verb"] == "stop":
                break
            channel.send({"id": request["id"], **served.answer(request)})
    served.close()


class _Served:
    """An implementation that is opened when it is first asked who it is."""

    def __init__(self, spec: str, dialect: str | None, timeout: float) -> None:
        self._spec, self._dialect, self._timeout = spec, dialect, timeout
        self._implementation: Implementation | None = None

    def answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to describe or run, less its id."""
        if request["verb"] == "describe":
            return self._described()
        assert self._implementation is not None
        try:
            outcome = self._implementation.run(read_case(request["case"]), request["dtype"])
            return refusal_message(outcome) if isinstance(outcome, Refusal) else outcome_message(outcome)
        except Unsupported as error:
            return {"unsupported": error.reason}
        except Crash as error:
            print(error.detail, file=sys.stderr, flush=True)
            return {"crash": {"reason": error.reason}}
        except ImplementationError as error:
            print(error.detail, file=sys.stderr, flush=True)
            return {"error": error.reason}

    def close(self) -> None:
        if self._implementation is not None:
            self._implementation.close()

    def _described(self) -> Mapping[str, Any]:
        from conformance.adapters.opening import open_implementation

        try:
            if self._implementation is None:
                self._implementation = open_implementation(self._spec, self._dialect, self._timeout, in_process=True)
                self._description = _plain(self._implementation.describe())
        except UsageError as error:
            return {"error": json.dumps({"usage": str(error)})}
        except DoesNotStart as error:
            return {"error": json.dumps({"reason": error.reason, "detail": error.detail})}
        except (Exception, SystemExit) as error:
            reason = f"opening it raised {type(error).__name__}: {error}"
            return {"error": json.dumps({"reason": reason, "detail": traceback.format_exc()})}
        return {"description": self._description}


def _plain(description: Description) -> dict[str, Any]:
    """A description as JSON; in an environment anything may stand."""
    told = {**asdict(description), "protocol": description.protocol or VERSION}
    del told["in_process"]
    plain: dict[str, Any] = json.loads(json.dumps(told, default=str))
    return plain
