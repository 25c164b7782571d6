"""A run on a cluster whose workers are killed and whose connections are slow and cut: the verdicts of a run here."""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.command_line import lossconf_in
from tests.disturbed_cluster import Proxy, disturbed
from tests.kill_and_resume import verdicts

RUN = ("reference", "--family", "golden", "--layer", "multinomial_logistic_loss")


@pytest.mark.slow
def test_whatever_becomes_of_workers_and_connections_the_verdicts_are_those_of_a_run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lossconf_in(tmp_path, monkeypatch, capsys)("run", *RUN, "-j", "0", "--report", "here.jsonl")
    disturbed(RUN, tmp_path / "there.jsonl", kills=2, cuts=1, every=3.0, delay=0.02)
    assert verdicts(tmp_path / "there.jsonl") == verdicts(tmp_path / "here.jsonl")


def test_the_proxy_passes_everything_on_and_cuts() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def echo() -> None:
            connection, _ = server.accept()
            with connection:
                while chunk := connection.recv(1000):
                    connection.sendall(chunk)

        Thread(target=echo, daemon=True).start()
        with closing(Proxy(server.getsockname()[1], 0.001)) as proxy:
            client = socket.create_connection(("127.0.0.1", proxy.port), 10)
            with client, client.makefile("rb") as answers:
                client.sendall(b"some words\n")
                assert answers.readline() == b"some words\n"
                assert proxy.cut() == 1
                with suppress(ConnectionResetError):
                    assert client.recv(1) == b""
