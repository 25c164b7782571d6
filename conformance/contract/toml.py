"""TOML files that people write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conformance.contract.errors import UsageError, one_line
from conformance.contract.intake import Malformed, toml_of
from conformance.contract.paths import content_of

__all__ = ["LARGEST", "read_toml"]

LARGEST = 1 << 24
"""Bytes of a TOML file that are read: a baseline of every check of the suite has a tenth of them."""


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """What is in a file that is to be ``what``.

    Raises `UsageError` where there is no such file or it is no TOML, `Stopped` where the system does not read it.
    """
    try:
        return toml_of(content_of(path, what, LARGEST))
    except Malformed as error:
        raise UsageError(f"{path} is no TOML: {one_line(str(error), 160)}") from None
