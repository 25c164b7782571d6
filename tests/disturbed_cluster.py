"""Runs on a cluster that is disturbed: ``python -m tests.disturbed_cluster --kills 20 -- reference --family golden``.

A scheduler and workers are started on this machine. Every few seconds a worker is killed with SIGKILL and another one
started; with ``--delay``, everybody reaches the scheduler through a proxy that holds every byte back for a while, and
with ``--cut`` closes all its connections now and then. The report must be that of a run in processes here.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.kill_and_resume import verdicts

__all__ = ["Proxy", "Workers", "disturbed", "scheduler"]

ROOT = Path(__file__).resolve().parent.parent
_CHUNK = 1 << 16


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


class Proxy:
    """Passes what it gets on to a port of this machine ``delay`` seconds later, either way; `cut` ends all connections.

    Runs in a thread until it is closed. A delay holds nothing up: as on a long line, much may be under way at a time.
    """

    def __init__(self, target: int, delay: float) -> None:
        self.port = free_port()
        self.connections = 0
        self._target, self._delay = target, delay
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[Any] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._listen(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def cut(self) -> int:
        """Close every connection at once; how many there were."""

        async def close() -> int:
            writers = list(self._open)
            for writer in writers:
                writer.transport.abort()
            return len(writers) // 2

        return asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    async def _listen(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self._ready.set()
        await self._over.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self.connections += 1
        self._serving.add(asyncio.current_task())
        pair = {writer, far_writer}
        self._open |= pair
        with suppress(OSError):
            await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))
        self._open -= pair
        for each in pair:
            each.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def let_go() -> None:
            while True:
                due, chunk = await held.get()
                await asyncio.sleep(max(due - self._loop.time(), 0.0))
                if not chunk:
                    writer.close()
                    return
                writer.write(chunk)
                await writer.drain()

        async def hold() -> None:
            chunk = b"-"
            while chunk:
                with suppress(OSError):
                    chunk = b""
                    chunk = await reader.read(_CHUNK)
                held.put_nowait((self._loop.time() + self._delay, chunk))

        await asyncio.gather(hold(), let_go())


@contextmanager
def scheduler() -> Iterator[int]:
    """The port of a scheduler on this machine."""
    port = free_port()
    where = ("--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0")
    process = _dask("scheduler", *where, "--no-dashboard")
    try:
        for _ in range(600):
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
                break
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


class Workers:
    """So many workers of one thread each; one that has ended is started anew by `tend`, whatever it ended of."""

    def __init__(self, address: str, count: int) -> None:
        self._address, self._count = address, count
        self._running: list[subprocess.Popen[bytes]] = []
        self.started = 0
        self.tend()

    def tend(self) -> None:
        self._running = [worker for worker in self._running if worker.poll() is None]
        while len(self._running) < self._count:
            words = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--memory-limit", "0")
            self._running.append(_dask("worker", self._address, *words))
            self.started += 1

    def kill(self, chance: random.Random) -> None:
        victim = chance.choice(self._running)
        victim.send_signal(signal.SIGKILL)
        victim.wait()

    def close(self) -> None:
        for worker in self._running:
            worker.kill()
            worker.wait()


def _dask(*words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def disturbed(
    run: Sequence[str], report: Path, *, kills: int, every: float, delay: float = 0.0, cuts: int = 0, workers: int = 2
) -> str:
    """Run a part of the suite on a cluster, disturb it every so many seconds until it was often enough, and say what
    was done. Raises `AssertionError` where the run does not end with an exit code of a verdict."""
    chance = random.Random(20)
    with scheduler() as port, closing(Proxy(port, delay)) as proxy:
        address = f"tcp://127.0.0.1:{proxy.port if delay or cuts else port}"
        with closing(Workers(address, workers)) as crew:
            started = time.monotonic()
            command = [sys.executable, "-m", "conformance", "run", *run, "--on", address, "--report", str(report)]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                killed = cut = 0
                due = time.monotonic() + every
                while process.poll() is None:
                    time.sleep(0.1)
                    if time.monotonic() > due:
                        due += every
                        if killed < kills:
                            crew.kill(chance)
                            killed += 1
                        if cut < cuts:
                            proxy.cut()
                            cut += 1
                    crew.tend()
                assert process.stderr is not None
                said = process.stderr.read().decode()
            assert process.returncode in (0, 1, 7), said
            spent = time.monotonic() - started
            counted = f"{killed} workers killed, {crew.started} started, {cut} times all connections cut"
            return f"{spent:.0f} s, {counted}, {proxy.connections} connections through the proxy"


def main() -> int:
    """Entry point; 1 where a report differs from that of a run in processes here."""
    parser = argparse.ArgumentParser(prog="disturbed_cluster", description=__doc__)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--cuts", type=int, default=0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between them")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that the proxy holds everything back")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("run", nargs="+", help="what `lossconf run` is given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        here, there = Path(folder, "here.jsonl"), Path(folder, "there.jsonl")
        command = [sys.executable, "-m", "conformance", "run", *options.run, "-j", "2", "--report", str(here)]
        started = time.monotonic()
        subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        print(f"here: {time.monotonic() - started:.0f} s")
        how = {name: getattr(options, name) for name in ("kills", "cuts", "every", "delay", "workers")}
        print(f"there: {disturbed(options.run, there, **how)}")
        wanted, got = verdicts(here), verdicts(there)
        lost, more = wanted - got, got - wanted
        print(f"{sum(wanted.values())} verdicts here; {sum(lost.values())} lost, {sum(more.values())} too many")
        return int(bool(lost or more))


if __name__ == "__main__":
    sys.exit(main())
