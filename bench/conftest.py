"""Options of ``pytest bench``."""

from __future__ import annotations

import pytest

from refimpl.fast.cpu.threads import available_threads


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kernel-threads", type=int, default=available_threads(), help="Threads that a subject may use.")
