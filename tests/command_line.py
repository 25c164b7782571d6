"""Runs `lossconf` in this process, as the tests of the command line do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.cli.main import main

__all__ = ["Ended", "Lossconf"]


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


Lossconf = Callable[..., Ended]


def lossconf_in(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    """A function that runs a command line in ``folder``."""
    monkeypatch.chdir(folder)

    def lossconf(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        written = capsys.readouterr()
        return Ended(int(ended.value.code or 0), written.out, written.err)

    return lossconf
