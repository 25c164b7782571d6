"""Against: what a gate compares with, from what a person wrote behind ``--against``."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from conformance.adapters import spellings
from conformance.contract.errors import UsageError, one_line
from conformance.timing.contestants import IN_PROCESS

__all__ = ["KERNELS", "extracted", "is_implementation", "is_tree"]

KERNELS = "refimpl"
"""What a gate takes from another revision; everything that measures is this checkout's."""


def is_implementation(text: str) -> bool:
    """Whether ``text`` is spelled like an implementation."""
    return text.partition(":")[0] in {*spellings(), *IN_PROCESS}


def is_tree(path: Path) -> bool:
    """Whether ``path`` is a checkout."""
    return (path / KERNELS / "__init__.py").is_file()


def extracted(revision: str, into: Path, root: Path) -> Path:
    """The kernels of a revision of the checkout at ``root``, in the folder ``into``, which is returned.

    The checkout itself is left alone. Raises `UsageError` where there is no checkout or no such revision.
    """
    if not (root / ".git").exists():
        raise UsageError(
            f"--against {revision}: no such file, and {root} is no checkout that could have such a revision"
        )
    known = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if known.returncode:
        raise UsageError(
            f"--against {revision}: neither a result's file, a checkout, an implementation, nor a revision of {root}"
        )
    archive = _git(root, "archive", known.stdout.decode("ascii").strip(), KERNELS)
    if archive.returncode:
        reason = one_line(archive.stderr.decode("utf-8", "replace"))
        raise UsageError(f"--against {revision}: {reason}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(into, filter="data")
        else:
            tar.extractall(into)
    return into


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, timeout=120, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"git cannot be run: {error}") from None
