"""``files:FOLDER [ANSWERS]``: answers to the cases that ``lossconf export`` wrote (docs/guides/air-gap.md)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from conformance.adapters.process import refuse_passes
from conformance.contract.alarm import alarm
from conformance.contract.case import Case
from conformance.contract.errors import UsageError
from conformance.contract.implementation import Declined, Description, ProtocolError
from conformance.contract.intake import Malformed, json_of
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.paths import content_of
from conformance.protocol import VERSION, Answer, read_answer, read_description, read_outcome
from conformance.protocol.index import Index, Item, digest

__all__ = ["Answers", "open_files", "spelled"]

LARGEST = 64 << 20
"""Bytes of one answer, as of a process's."""

_NOT_ASKED = "what can be exported"
"""The limit of answers in files: relations between runs take an implementation that runs."""
_Reader = Callable[[Item], Answer | None]


def open_files(argument: str, timeout: float = 60.0) -> Answers:
    """What was handed in, from the folder of an export and, perhaps, a file with the lines of a program.

    Raises `ValueError` for a spelling that makes no sense, `UsageError` for a folder or file that is none.
    """
    words = shlex.split(argument)
    if not 1 <= len(words) <= 2:
        raise ValueError("a folder is needed, and at most one file of answers")
    folder, path = Path(words[0]), Path(words[1]) if len(words) > 1 else None
    return Answers(folder, path, timeout)


def spelled(folder: Path, answers: Path | None = None) -> str:
    """The spelling of what was handed in, to be opened from anywhere."""
    return "files:" + shlex.join(str(path.resolve()) for path in (folder, answers) if path is not None)


class Answers:
    """An implementation that answers from what was handed in; ``path`` is the export's folder or a file of answers.

    A case without an answer is a protocol error; one that was not exported is unsupported. Raises `UsageError` where
    ``folder`` holds no export or the file is none of answers. An answer that takes more than ``timeout`` seconds to
    read has timed out.
    """

    def __init__(self, folder: Path, path: Path | None = None, timeout: float = 60.0) -> None:
        self.folder, self.index, self._timeout = folder, Index.read(folder), timeout
        self._items = {item.digest: item for item in self.index.items}
        lines = None if path is None else _lines(path)
        self._where = folder / "answers" if path is None else path
        self._answer: _Reader = self._from_file if lines is None else lambda item: lines.get(item.number)
        self._numbers = None if lines is None else lines.keys()
        told = _description_file(self._where) if lines is None else lines.get(1)
        self._description = self._described(told)

    def describe(self) -> Description:
        return self._description

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        refuse_passes(self._description, case)
        item = self._items.get(digest(case, dtype))
        if item is None:
            raise Declined(_NOT_ASKED)
        try:
            with alarm(self._timeout, f"{item.file}: it could not be read within {self._timeout:g} s"):
                answer = self._answer(item)
                if answer is None:
                    raise ProtocolError(f"no answer was handed in: {item.file}")
                body = answer.result("outcome")
                return body if isinstance(body, Refusal) else read_outcome(body, case, dtype)
        except ValueError as error:
            raise ProtocolError(f"{item.file}: {error}") from None

    def close(self) -> None:
        """Nothing is held."""

    def missing(self) -> list[str]:
        """The names of the cases that have no answer, in the types and the version of the protocol that are claimed."""
        told, version = self._description, self._description.protocol or VERSION
        claimed = [item for item in self.index.items if item.dtype in told.dtypes and item.protocol <= version]
        return [item.file for item in claimed if not self._handed_in(item)]

    def _handed_in(self, item: Item) -> bool:
        """Whether it is there, right or wrong: it is read when it is judged, in the time that it has."""
        return (self._where / item.file).exists() if self._numbers is None else item.number in self._numbers

    def _from_file(self, item: Item) -> Answer | None:
        path = self._where / item.file
        if not path.exists():
            return None
        content = _file(path)
        if not isinstance(content, dict):
            raise Malformed("an answer is a JSON object")
        whole = {"outcome": content} if "loss" in content else content
        return read_answer(json.dumps({**whole, "id": item.number}).encode("ascii"))

    def _described(self, told: Answer | None) -> Description:
        if told is None or told.kind != "description":
            return Description(f"answers in {self._where}", dtypes=self.index.dtypes)
        try:
            description = read_description(told.body)
        except ValueError as error:
            raise UsageError(f"{self._where}: the description: {error}") from None
        if description.capability != "net":
            raise UsageError(f"{self._where}: only an implementation of whole nets can be judged by files")
        return replace(description, any_forms=False)  # no case in a file tells its forms


def _description_file(folder: Path) -> Answer | None:
    path = folder / "description.json"
    if not path.is_file():
        return None
    try:
        return read_answer(json.dumps({"id": 1, "description": _file(path)}).encode("ascii"))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None


def _file(path: Path) -> Any:
    """The JSON of a file that was handed in. Raises `Malformed`, also for a file that cannot be read as one."""
    try:
        return json_of(content_of(path, largest=LARGEST))
    except UsageError as error:
        raise Malformed(str(error)) from None


def _lines(path: Path) -> Mapping[int, Answer]:
    """The answers in a file, by the number of the request."""
    found: dict[int, Answer] = {}
    for number, line in enumerate(content_of(path, "the answers").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            answer = read_answer(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: {error}") from None
        if answer.kind == "stage" or answer.id is None:
            continue
        if answer.id in found:
            raise UsageError(f"{path}, line {number}: request {answer.id} is answered twice")
        found[answer.id] = answer
    return found
