"""``files:FOLDER [ANSWERS]``: answers to the cases that ``lossconf export`` wrote (docs/guides/air-gap.md)."""

from __future__ import annotations

import shlex
from pathlib import Path

from conformance.adapters.answers import Answers

__all__ = ["open_files", "spelled"]


def open_files(argument: str) -> Answers:
    """What was handed in, from the folder of an export and, perhaps, a file with the lines of a program.

    Raises `ValueError` for a spelling that makes no sense, `UsageError` for a folder or file that is none.
    """
    words = shlex.split(argument)
    if not 1 <= len(words) <= 2:
        raise ValueError("a folder is needed, and at most one file of answers")
    return Answers(*map(Path, words))


def spelled(folder: Path, answers: Path | None = None) -> str:
    """The spelling of what was handed in, to be opened from anywhere."""
    return "files:" + shlex.join(str(path.resolve()) for path in (folder, answers) if path is not None)
