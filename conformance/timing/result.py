"""Result: everything a run measured, as it is kept in a file; ``result.schema.json`` says what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from conformance.contract.dtypes import NAMES
from conformance.contract.errors import UsageError, one_line
from conformance.contract.intake import Malformed, decoding, json_of
from conformance.contract.paths import content_of, put
from conformance.timing.machine import Machine
from conformance.timing.problem import Problem
from conformance.timing.process import TOLERATED
from conformance.timing.rounds import calm_rounds
from conformance.timing.sizes import Size
from conformance.timing.subjects import About

__all__ = ["SCHEMA", "Measured", "Result", "read_result", "schema", "write_result"]

SCHEMA = 1

LARGEST = 1 << 27
"""Bytes of a result that are read."""


@dataclass(frozen=True)
class Measured:
    """One problem: seconds per call by subject and mode, round by round, and what else is known of each subject.

    ``waited`` has the shape of ``seconds``: seconds that threads waited for a core per second, None where not known.
    ``verdicts`` are {"accepted", "headroom", "loss_error", "reason"}, ``memory`` bytes beyond inputs and gradients,
    ``not_timed`` reasons; ``traffic`` is bytes by mode.
    """

    problem: Problem
    seconds: Mapping[str, Mapping[str, Sequence[float]]]
    traffic: Mapping[str, int]
    waited: Mapping[str, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)
    verdicts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)
    not_timed: Mapping[str, str] = field(default_factory=dict)

    def every(self, subject: str, mode: str) -> Sequence[float]:
        """Seconds of each round; empty where there are none."""
        return self.seconds.get(subject, {}).get(mode, ())

    def of(self, subject: str, mode: str) -> list[float]:
        """Seconds of the rounds in which it did not wait for a core, or of all where these are too few."""
        seconds = self.every(subject, mode)
        return [seconds[turn] for turn in self._calm(mode, subject)]

    def ratios(self, subject: str, other: str, mode: str) -> list[float]:
        """How many times as long as the subject the other took, round by round, in rounds in which neither waited."""
        mine, others = self.every(subject, mode), self.every(other, mode)
        return [others[turn] / mine[turn] for turn in self._calm(mode, subject, other)]

    def disturbed(self, mode: str, *subjects: str) -> bool:
        """Whether there are too few rounds in which none of these waited for a core."""
        turns = self._calm(mode, *subjects)
        waits = [self._waits(subject, mode)[turn] for subject in subjects for turn in turns]
        return any((wait or 0.0) > TOLERATED for wait in waits)

    def _calm(self, mode: str, *subjects: str) -> list[int]:
        return calm_rounds([self._waits(subject, mode) for subject in subjects])

    def _waits(self, subject: str, mode: str) -> Sequence[float | None]:
        seconds = self.every(subject, mode)
        return self.waited.get(subject, {}).get(mode) or [None] * len(seconds)

    def modes(self) -> list[str]:
        """The modes that any subject was timed in."""
        return list(
            dict.fromkeys(mode for times in self.seconds.values() for mode, seconds in times.items() if seconds)
        )

    def to_json(self) -> dict[str, Any]:
        size = self.problem.size
        return {
            "layer": self.problem.layer,
            "size": size.name,
            "shape": list(size.shape),
            "ignored": size.ignored,
            "dtype": self.problem.dtype,
            "seconds": {spec: {mode: list(s) for mode, s in times.items()} for spec, times in self.seconds.items()},
            "waited": {spec: {mode: list(w) for mode, w in times.items()} for spec, times in self.waited.items()},
            "traffic": dict(self.traffic),
            "verdicts": {spec: dict(verdict) for spec, verdict in self.verdicts.items()},
            "memory": dict(self.memory),
            "not_timed": dict(self.not_timed),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Measured:
        size = Size(value["size"], tuple(value["shape"]), value["ignored"])
        kept = {name: value[name] for name in ("seconds", "waited", "traffic", "verdicts", "memory", "not_timed")}
        return cls(Problem(value["layer"], size, value["dtype"]), **kept)


@dataclass(frozen=True)
class Result:
    """A run. ``specs`` are the subjects asked for, in their order; ``load`` is the load average before and after."""

    created: str
    version: str
    revision: str | None
    machine: Machine
    threads: int
    rounds: int
    specs: tuple[str, ...]
    subjects: Mapping[str, About]
    measured: tuple[Measured, ...]
    warnings: tuple[str, ...] = ()
    load: tuple[float | None, float | None] = (None, None)

    def find(self, problem: Problem) -> Measured | None:
        """What was measured of a problem, if anything."""
        return next((measured for measured in self.measured if measured.problem == problem), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "created": self.created,
            "lossconf": self.version,
            "revision": self.revision,
            "machine": self.machine.to_json(),
            "system": self.machine.described(),
            "load": list(self.load),
            "settings": {"threads": self.threads, "rounds": self.rounds},
            "warnings": list(self.warnings),
            "specs": list(self.specs),
            "subjects": {spec: asdict(about) for spec, about in self.subjects.items()},
            "problems": [measured.to_json() for measured in self.measured],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Result:
        return cls(
            created=value["created"],
            version=value["lossconf"],
            revision=value["revision"],
            machine=Machine.from_json(value["machine"]),
            threads=value["settings"]["threads"],
            rounds=value["settings"]["rounds"],
            specs=tuple(value["specs"]),
            subjects={spec: About(**about) for spec, about in value["subjects"].items()},
            measured=tuple(Measured.from_json(problem) for problem in value["problems"]),
            warnings=tuple(value["warnings"]),
            load=(value["load"][0], value["load"][1]),
        )


def schema() -> dict[str, Any]:
    """The JSON schema of result files."""
    loaded: dict[str, Any] = json.loads((files(__package__) / "result.schema.json").read_text("utf-8"))
    loaded["$defs"]["dtype"]["enum"] = list(NAMES)
    return loaded


def write_result(result: Result, path: Path) -> None:
    """Write a result. Raises `UsageError` where the file cannot be written."""
    lines = [f"{json.dumps(name)}: {_laid_out(value)}" for name, value in result.to_json().items()]
    put(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _laid_out(value: Any) -> str:
    """One problem to a line, so that a person can find one and a diff shows which changed."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
    return json.dumps(value)


def read_result(path: Path) -> Result:
    """Read a result. Raises `UsageError` that says what is wrong with the file."""
    from jsonschema import Draft202012Validator

    try:
        with decoding():
            value = json_of(content_of(path, largest=LARGEST))
            wrong = next(_violations(Draft202012Validator(schema()), value), None)
            if wrong is not None:
                raise Malformed(wrong)
            return Result.from_json(value)
    except Malformed as error:
        raise UsageError(f"{path} is no result of lossconf bench: {one_line(str(error), 200)}") from None


def _violations(validator: Any, value: Any) -> Iterator[str]:
    for error in validator.iter_errors(value):
        yield one_line(f"{'.'.join(map(str, error.absolute_path)) or 'the whole'}: {error.message}", 160)
