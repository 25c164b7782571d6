"""TOML files that people write."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from conformance.contract.errors import UsageError, one_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["read_toml"]


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """What is in a file that is to be ``what``. Raises `UsageError` where it cannot be read or is no TOML."""
    try:
        document: dict[str, Any] = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {what} {path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no TOML: {one_line(str(error), 160)}") from None
    return document
