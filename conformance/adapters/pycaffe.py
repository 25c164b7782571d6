"""``pycaffe[:PYTHON] [--gpu N]``: any Caffe with pycaffe, in the interpreter it was built for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from conformance.adapters.process import ProcessImplementation

__all__ = ["PycaffeImplementation", "open_pycaffe"]

_WORKER = Path(__file__).with_name("worker.py")


def open_pycaffe(argument: str, timeout: float = 60.0) -> PycaffeImplementation:
    """From what stands after ``pycaffe:`` on the command line, as in ``/opt/py36/bin/python --gpu 0``.

    Raises `ValueError` for anything else.
    """
    words = shlex.split(argument)
    gpu = None
    if "--gpu" in words:
        place = words.index("--gpu")
        if not words[place + 1 : place + 2] or not words[place + 1].isdigit():
            raise ValueError(f"--gpu takes a device number: pycaffe:{argument}")
        gpu = int(words[place + 1])
        del words[place : place + 2]
    if len(words) > 1:
        raise ValueError(f"one interpreter and --gpu N is all that pycaffe takes: pycaffe:{argument}")
    return PycaffeImplementation(*words, gpu=gpu, timeout=timeout)


class PycaffeImplementation(ProcessImplementation):
    """The worker in ``python`` (a path or a command's name), on CPU or on CUDA device ``gpu``.

    The user's environment reaches it whole: PYTHONPATH and LD_LIBRARY_PATH are how most Caffes are found.
    """

    def __init__(
        self,
        python: str = "python3",
        *,
        gpu: int | None = None,
        timeout: float = 60.0,
        start_timeout: float = 120.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        device = [] if gpu is None else ["--gpu", str(gpu)]
        super().__init__(
            [python, str(_WORKER), *device], timeout=timeout, start_timeout=start_timeout, environment=environment
        )
