"""Edition: which suite this is, so that two machines can tell whether they hold the same one."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

import refimpl
from conformance.contract.errors import Stopped
from conformance.contract.exit_codes import ExitCode
from conformance.contract.version import SUITE, VERSION
from conformance.fixtures import folder

__all__ = ["edition", "refuse_another"]

_DIGITS = 12


@cache
def edition() -> str:
    """The versions of the program and the suite, and the first digits of a SHA-256 of all modules and golden cases."""
    digest = hashlib.sha256()
    modules = (Path(refimpl.__path__[0]), Path(__file__).parents[1])
    for root, pattern in (*((package, "*.py") for package in modules), (folder(), "*.json")):
        for path in sorted(root.rglob(pattern)):
            name = path.relative_to(root)
            if name.parts[0] != "tools":  # what a checkout has beside the cases, and an installed suite has not
                digest.update(f"{name.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return f"lossconf {VERSION}, suite {SUITE}, {digest.hexdigest()[:_DIGITS]}"


def refuse_another(wanted: str) -> None:
    """Raises `Stopped` where the suite of this machine is not the ``wanted`` edition."""
    if edition() != wanted:
        told = f"the suite of the worker on {platform.node()} is {edition()}, and here it is {wanted}"
        raise Stopped(ExitCode.HARNESS_BROKEN, f"{told}: install the same one")
