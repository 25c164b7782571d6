"""Cluster: the workers of a Dask cluster, which call functions of the suite; nobody else imports Dask."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from conformance.contract.errors import Stopped, UsageError, one_line
from conformance.contract.exit_codes import ExitCode

__all__ = ["ALONE", "Cluster", "Lost", "cluster_at"]

ALONE = "machine"
"""The resource of a worker that has a machine to itself: ``dask worker --resources machine=1``."""

MOST_LOCAL = 64
"""Workers that are started on this machine."""

_CONNECTING = 10.0  # seconds for a scheduler to answer
_JOINING = 60.0  # seconds for the first worker to be there
_ALONE = 600.0  # seconds that a run waits for a worker, once there is none any more
_LOOK = 0.02  # seconds between looks at what has ended
_FETCHED = 32  # results that are asked for at a time
_COUNTING = 1.0  # seconds between counts of the workers
_ADDRESS = re.compile(r"inproc://.+|(?:tcp|tls|ucx|ws|wss)://.+:[0-9]+")

Ticket = TypeVar("Ticket")


class Lost:
    """What comes of a call whose worker was lost: ``killed`` where several were, one after the other, and else with
    everything that the scheduler knew of this run, as when a connection is cut."""

    def __init__(self, killed: bool) -> None:
        self.killed = killed


@contextmanager
def cluster_at(address: str) -> Iterator[Cluster[Any]]:
    """The cluster at an address, ``tcp://HOST:PORT`` and the like, or ``local:N``, N workers on this machine.

    Raises `UsageError` for what is no address and where Dask is not installed, `Stopped` where no scheduler answers or
    no worker joins.
    """
    count = _local(address)
    try:
        import distributed
    except ImportError as error:
        raise UsageError(f"--on needs Dask ({error}): pip install 'caffe-loss-conformance[dask]'") from None
    if re.match("tls|wss", address) and distributed.Security().get_connection_args("client")["ssl_context"] is None:
        told = "Dask's configuration has no certificates (distributed.comm.tls)"
        raise UsageError(f"--on {address}: {told}; https://distributed.dask.org/en/stable/tls.html")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it is said here, in a line
    if count is None:
        with _client(distributed, address, address) as client:
            yield _joined(client, address)
        return
    options = {
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": logging.CRITICAL,
        "memory_limit": 0,
        "resources": {ALONE: 1},
    }
    with (
        distributed.LocalCluster(n_workers=count, threads_per_worker=1, **options) as workers,
        _client(distributed, workers, address) as client,
    ):
        yield _joined(client, address)


def _local(address: str) -> int | None:
    """How many workers to start; None where they are elsewhere."""
    if address.startswith("local:"):
        count = address.removeprefix("local:")
        if not (count.isdecimal() and 1 <= int(count) <= MOST_LOCAL):
            raise UsageError(f"--on {address}: use local:1 to local:{MOST_LOCAL}, so many workers on this machine")
        return int(count)
    if not _ADDRESS.fullmatch(address):
        told = "use the scheduler's, tcp://HOST:PORT, or local:N for N workers on this machine"
        raise UsageError(f"--on {address}: this is no address of a Dask cluster; {told}")
    return None


@contextmanager
def _client(distributed: Any, where: Any, address: str) -> Iterator[Any]:
    try:
        client = distributed.Client(where, timeout=_CONNECTING, set_as_default=False)
    except OSError as error:  # a time-out is one, too
        told = f"no scheduler answers at {address} ({one_line(str(error), 120)}); `dask scheduler` starts one"
        raise Stopped(ExitCode.HARNESS_BROKEN, told) from None
    try:
        yield client
    finally:
        with suppress(OSError, RuntimeError):
            client.close(timeout=_CONNECTING)


def _joined(client: Any, address: str) -> Cluster[Any]:
    try:
        client.wait_for_workers(1, timeout=_JOINING)
    except OSError:
        told = f"no worker has joined the scheduler at {address}; `dask worker {address}` starts one"
        raise Stopped(ExitCode.HARNESS_BROKEN, told) from None
    return Cluster(client, address)


class Cluster(Generic[Ticket]):
    """Calls by name, ``package.module:function``, on whatever worker is free; arguments and results are strings.

    The scheduler reads neither, and needs nothing of the suite. ``run`` is a name that no other run has.
    """

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self._calls: dict[Any, Ticket] = {}
        self._hands, self._counted = 1, -_COUNTING
        self._seen = time.monotonic()
        self.run = uuid.uuid4().hex

    @property
    def calls(self) -> int:
        """How many have not ended."""
        return len(self._calls)

    def hands(self) -> int:
        """The threads of all workers, at least 1. Raises `Stopped` where there has been no worker for minutes."""
        now = time.monotonic()
        if now - self._counted >= _COUNTING:
            self._counted = now
            with suppress(OSError):  # a connection that was cut comes back, or the client closes
                count = sum(self._client.nthreads().values())
                self._hands = count or self._hands
                self._seen = time.monotonic() if count else self._seen
        if now - self._seen > _ALONE:
            raise self._gone(f"there has been no worker for {_ALONE:.0f} s")
        return self._hands

    def call(self, ticket: Ticket, function: str, *words: Any, worker: str = "") -> None:
        """Have a worker call a function; `ended` gives the ticket back with what came of it.

        A named ``worker`` calls it beside nothing else that is called by name: it has `ALONE` for one at a time.
        """
        options = {"workers": [worker], "resources": {ALONE: 1}} if worker else {}
        self._calls[self._client.submit(_by_name(), function, *words, pure=False, **options)] = ticket

    def ended(self, seconds: float) -> list[tuple[Ticket, Any | Lost]]:
        """The calls that have ended since, each with its result or with `Lost`; waits ``seconds`` for one, at most.

        Raises `Stopped` where the scheduler is gone, a worker could not call the function, or the function raised it.
        """
        deadline = time.monotonic() + seconds
        while not (ended := [future for future in self._calls if future.status != "pending"]):
            if self._client.status in ("closing", "closed"):
                raise self._gone("the scheduler does not answer any more")
            if time.monotonic() > deadline:
                return []
            time.sleep(_LOOK)
        with ThreadPoolExecutor(_FETCHED) as pool:  # each takes a way there and back, on a long line
            results = list(pool.map(self._result, ended))
        there = [(future, result) for future, result in zip(ended, results, strict=True) if result is not None]
        return [(self._calls.pop(future), result) for future, result in there]

    def everywhere(self, function: str, *words: Any) -> dict[str, Any]:
        """Have every worker that there is call a function, outside all tasks; the results by the workers' addresses,
        but for those that could not."""
        with suppress(OSError, RuntimeError, CancelledError):
            results: dict[str, Any] = self._client.run(_by_name(), function, *words, on_error="ignore")
            return results
        return {}

    def alone(self) -> set[str]:
        """The addresses of the workers that can be named: those that were started with a resource of that name."""
        workers = self._client.scheduler_info(-1)["workers"]
        return {address for address, told in workers.items() if told["resources"].get(ALONE, 0) >= 1}

    def cancel(self) -> None:
        """Forget the calls that have not ended; those that were begun go on."""
        with suppress(OSError, RuntimeError, CancelledError):
            self._client.cancel(list(self._calls))
        self._calls.clear()

    def _result(self, future: Any) -> Any | Lost | None:
        """None where it was there and is lost: then it is computed again."""
        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        try:
            return future.result(timeout=_CONNECTING)
        except KilledWorker:
            return Lost(killed=True)
        except (CancelledError, CommClosedError):
            return Lost(killed=False)
        except TimeoutError:
            return None
        except (Stopped, UsageError):
            raise
        except Exception as error:
            told = f"a worker of {self._address} cannot do its part: {type(error).__name__}: {error}"
            needs = "where workers run, the same caffe-loss-conformance has to be installed"
            raise Stopped(ExitCode.HARNESS_BROKEN, one_line(f"{told}; {needs}")) from None

    def _gone(self, what: str) -> Stopped:
        return Stopped(ExitCode.HARNESS_BROKEN, f"{self._address}: {what}; --resume goes on from the report")


def _by_name() -> Callable[..., Any]:
    """A function that travels as a whole, so that nothing between here and the worker has to have the suite."""

    def call(function: str, *words: Any) -> Any:
        from importlib.metadata import EntryPoint

        return EntryPoint(function, function, "").load()(*words)

    return call
