"""The worker finds Python layers as a script in the working directory does, and tells why one cannot be imported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conformance.adapters import worker

PRINTED = """Traceback (most recent call last):
  File "<string>", line 1, in <module>
ModuleNotFoundError: No module named 'mylayers'
"""


def test_layers_are_found_in_the_working_directory_and_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = str(Path(worker.__file__).parent)
    assert worker.where_layers_are([own, "/somewhere", str(tmp_path)]) == [os.getcwd(), "/somewhere", str(tmp_path)]


def test_what_python_printed_is_the_message_where_pycaffe_kept_none() -> None:
    kept = "SystemError: <Boost.Python.function object at 0x55> returned NULL without setting an error"
    assert worker.import_error(kept, PRINTED) == "ModuleNotFoundError: No module named 'mylayers'"
    assert worker.import_error(kept, "nothing of use") == kept
    assert worker.import_error("ValueError: two bottoms", PRINTED) == "ValueError: two bottoms"
