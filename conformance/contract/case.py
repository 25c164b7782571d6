"""Case: a net, its inputs and the passes to run; everything an implementation is told, and nothing of the answer.

Pass: one round of a case, with what it brings of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conformance.contract.dtypes import DOUBLE, ONE_OF, TYPES, TypeClaim

__all__ = ["MOST_AXES", "Array", "Case", "Pass", "array_from_json", "array_to_json", "forms_by_type"]

Array = NDArray[np.floating[Any]]

MOST_AXES = 32
"""Axes of an array: kMaxBlobAxes of Caffe's blob.hpp."""

_PHASES = ("TRAIN", "TEST")
_STEPS = ("forward", "backward")
_KINDS: Mapping[str, type] = {"net": str, "phase": str, "level": int}
_WORDS = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


class _Hash(Protocol):
    def update(self, content: bytes, /) -> object: ...


@dataclass(frozen=True)
class Pass:
    """A round of forward and backward in a net that lives on: what it changes before, and the steps it runs.

    Before its first step the diffs of all parameters are set to zero, unless ``clear`` is False: then the pass adds to
    what is there. ``inputs`` replaces the data of the blobs it names, float64 arrays whose entries are exact in
    float32; another shape than the blob has reshapes it, and the net. ``params`` replaces a layer's learnable arrays,
    ``prefill_diff`` fills the diff of a blob with a value, then the ``steps`` run; ``top_diff`` fills the diff of a
    blob after each forward of this pass. What a pass does not name stays as the pass before left it, a diff that was
    filled too: as in Caffe, nobody restores the weight in a loss's diff.
    """

    inputs: Mapping[str, Array] = field(default_factory=dict)
    params: Mapping[str, tuple[Array, ...]] = field(default_factory=dict)
    prefill_diff: Mapping[str, float] = field(default_factory=dict)
    top_diff: Mapping[str, float] = field(default_factory=dict)
    clear: bool = True
    steps: tuple[str, ...] = _STEPS

    def rounded(self, dtype: str) -> Pass:
        """The pass as an implementation of ``dtype``, the name of a claim of types, holds it."""
        held = TypeClaim.named(dtype).scores
        return replace(
            self,
            inputs={name: held.rounded(array) for name, array in self.inputs.items()},
            params={name: tuple(held.rounded(a) for a in arrays) for name, arrays in self.params.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """The pass as a case's ``passes`` store it; what has its default is left out."""
        value = _changes_to_json(self)
        if not self.clear:
            value["clear"] = False
        if self.steps != _STEPS:
            value["steps"] = list(self.steps)
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Pass:
        """The pass that ``to_json`` wrote. Raises `ValueError` or `TypeError`."""
        strange = sorted(set(value) - {each.name for each in fields(cls)})
        if strange:
            raise ValueError(f"{strange[0]!r} is no field of a pass: it has {', '.join(f.name for f in fields(cls))}")
        if not isinstance(value.get("clear", True), bool):
            raise ValueError(f"clear is true or false; got {value['clear']!r}")
        return cls(**_changes_from_json(value), clear=value.get("clear", True), steps=tuple(value.get("steps", _STEPS)))

    def _feed(self, told: _Hash) -> None:
        """Add everything an implementation is told to a digest."""
        for name, array in (*self.inputs.items(), *((n, a) for n, some in self.params.items() for a in some)):
            told.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(array, dtype="<f8").tobytes())
        rest = (self.steps, self.clear, len(self.inputs), sorted(self.prefill_diff.items()))
        told.update(repr((*rest, sorted(self.top_diff.items()))).encode())


@dataclass(frozen=True)
class Case:
    """What an implementation runs.

    ``net`` is a prototxt. ``inputs`` maps a blob to a float64 array whose entries are exact in float32; a shape other
    than the declared one is set by reshaping the input before the first forward. ``params`` maps a layer to its
    learnable arrays, ``prefill_diff`` a blob to the value that fills its diff before the first forward, ``top_diff``
    a blob to the value that fills its diff after each forward, ``files`` a name to the bytes of a file in the working
    directory.

    These describe the first pass. ``passes`` are those after it, through the same net. ``each_pass`` asks for the state
    after each of them, the first included, in the outcome's ``passes``.

    ``forms`` are the forks' meanings under which it may be judged, as TYPE:FORM; only an implementation that claims
    ``any_forms`` is told.

    Raises `ValueError` for steps that are none, a file that has no plain name, a pass that changes what only a forward
    takes up and runs none, and ``each_pass`` where there is but one.
    """

    id: str
    net: str
    inputs: Mapping[str, Array] = field(default_factory=dict)
    phase: str = "TRAIN"
    params: Mapping[str, tuple[Array, ...]] = field(default_factory=dict)
    prefill_diff: Mapping[str, float] = field(default_factory=dict)
    top_diff: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    steps: tuple[str, ...] = _STEPS
    level: int = 0
    stages: tuple[str, ...] = ()
    passes: tuple[Pass, ...] = ()
    each_pass: bool = False
    forms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for number, one in enumerate(self.sequence, start=1):
            place = f"case {self.id}" if number == 1 else f"case {self.id}, pass {number}"
            unknown = [step for step in one.steps if step not in _STEPS]
            if unknown or not one.steps:
                raise ValueError(f"{place}: steps are 'forward' and 'backward', at least one; got {list(one.steps)}")
            idle = [name for name in ("inputs", "params", "top_diff") if getattr(one, name)]
            if number > 1 and "forward" not in one.steps and idle:
                raise ValueError(f"{place}: it has {idle[0]} and runs no forward, which alone takes them up")
        if self.phase not in _PHASES:
            raise ValueError(f"case {self.id}: phase is TRAIN or TEST; got {self.phase!r:.80}")
        if not isinstance(self.each_pass, bool):
            raise ValueError(f"case {self.id}: each_pass is true or false; got {self.each_pass!r}")
        if self.each_pass and not self.passes:
            raise ValueError(f"case {self.id}: each_pass asks for the state after each of several passes; there is one")
        for name in self.files:
            if name in ("", ".", "..") or set(name) & set("/\\\0"):
                raise ValueError(f"case {self.id}: a file has a plain name and no path; got {name!r}")

    @property
    def sequence(self) -> tuple[Pass, ...]:
        """All passes in order: the first, that the case's own fields describe, and those after it."""
        first = Pass(self.inputs, self.params, self.prefill_diff, self.top_diff, steps=self.steps)
        return (first, *self.passes)

    @property
    def all_steps(self) -> tuple[str, ...]:
        """The steps of all passes in order: an outcome's ``loss_trace`` has an entry for each."""
        return tuple(step for one in self.sequence for step in one.steps)

    def rounded(self, dtype: str) -> Case:
        """The case as an implementation of ``dtype`` holds it: inputs and parameters rounded to that type."""
        first, *others = (one.rounded(dtype) for one in self.sequence)
        return replace(self, inputs=first.inputs, params=first.params, passes=tuple(others))

    def digest(self) -> str:
        """Twelve hexadecimal digits that stand for everything an implementation is told."""
        told = hashlib.sha256()
        arrays = [*self.inputs.items(), *((name, a) for name, some in self.params.items() for a in some)]
        for name, array in arrays:
            told.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(array, dtype="<f8").tobytes())
        rest = (self.net, self.phase, self.steps, self.level, self.stages, sorted(self.files.items()))
        told.update(repr((*rest, sorted(self.prefill_diff.items()), sorted(self.top_diff.items()))).encode())
        for one in self.passes:
            one._feed(told)
        if self.each_pass:
            told.update(b"each_pass")
        return told.hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """The case as the fixtures store it; what has its default is left out."""
        whole: dict[str, Any] = {
            "net": self.net,
            "phase": self.phase,
            "inputs": {},
            **_changes_to_json(self),
            "files": {name: base64.b64encode(content).decode("ascii") for name, content in self.files.items()},
            "steps": list(self.steps),
            "level": self.level,
            "stages": list(self.stages),
            "passes": [one.to_json() for one in self.passes],
            "each_pass": self.each_pass,
            "forms": list(self.forms),
        }
        plain = {"phase": "TRAIN", "steps": list(_STEPS), "level": 0}
        kept = ("net", "inputs")
        return {name: value for name, value in whole.items() if name in kept or (value and value != plain.get(name))}

    @classmethod
    def from_json(cls, case_id: str, value: Mapping[str, Any]) -> Case:
        """The case that ``to_json`` wrote. Raises `ValueError` that names the field at fault."""
        try:
            for name, kind in _KINDS.items():
                if type(value.get(name, kind())) is not kind:
                    raise ValueError(f"case {case_id}: {name} is {str(value[name])[:80]!r}, no {kind.__name__}")
            return cls(
                id=case_id,
                net=value["net"],
                phase=value.get("phase", "TRAIN"),
                **_changes_from_json(value),
                files={name: base64.b64decode(text, validate=True) for name, text in value.get("files", {}).items()},
                steps=tuple(value.get("steps", _STEPS)),
                level=value.get("level", 0),
                stages=tuple(map(str, value.get("stages", ()))),
                passes=tuple(_pass_from_json(case_id, i, one) for i, one in enumerate(value.get("passes", ()))),
                each_pass=value.get("each_pass", False),
                forms=tuple(value.get("forms", ())),
            )
        except KeyError as error:
            raise ValueError(f"case {case_id}: the field {error} is missing") from None
        except (AttributeError, TypeError, OverflowError, binascii.Error) as error:
            raise ValueError(f"case {case_id}: {error}") from None


def _pass_from_json(case_id: str, index: int, value: Mapping[str, Any]) -> Pass:
    try:
        return Pass.from_json(value)
    except KeyError as error:
        raise ValueError(f"case {case_id}, passes[{index}]: the field {error} is missing") from None
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"case {case_id}, passes[{index}]: {error}") from None


def _changes_to_json(one: Pass | Case) -> dict[str, Any]:
    """What a pass changes before it runs; what is empty is left out."""
    value: dict[str, Any] = {
        "inputs": {name: array_to_json(array) for name, array in one.inputs.items()},
        "params": {name: [array_to_json(array) for array in arrays] for name, arrays in one.params.items()},
        "prefill_diff": {name: _number_to_json(number) for name, number in one.prefill_diff.items()},
        "top_diff": {name: _number_to_json(number) for name, number in one.top_diff.items()},
    }
    return {name: content for name, content in value.items() if content}


def _changes_from_json(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "inputs": {name: array_from_json(array) for name, array in value.get("inputs", {}).items()},
        "params": {n: tuple(array_from_json(a) for a in arrays) for n, arrays in value.get("params", {}).items()},
        "prefill_diff": {name: _number_from_json(number) for name, number in value.get("prefill_diff", {}).items()},
        "top_diff": {name: _number_from_json(number) for name, number in value.get("top_diff", {}).items()},
    }


def _number_to_json(value: float) -> float | str:
    if np.isfinite(value):
        return float(value)
    return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _number_from_json(value: Any) -> float:
    if isinstance(value, str):
        if value not in _WORDS:
            raise ValueError(f"{value!r} is no number: use a JSON number, 'NaN', 'Infinity' or '-Infinity'")
        return _WORDS[value]
    return float(value)


def _numbers(values: Any, held: np.dtype[Any]) -> Array:
    """A flat array of numbers that are written as JSON has them; millions of plain ones at once."""
    if isinstance(values, list) and set(map(type, values)) <= {int, float}:
        with np.errstate(over="ignore"):
            return np.array(values, np.float64).astype(held)
    return np.array([_number_from_json(x) for x in values], dtype=held)


def array_to_json(array: Array) -> dict[str, Any]:
    """``{"shape": [...], "data": [...]}``, row-major; non-finite numbers are the strings NaN, Infinity, -Infinity."""
    array = np.asarray(array)
    return {"shape": list(array.shape), "data": [_number_to_json(x) for x in array.ravel().tolist()]}


def array_from_json(value: Mapping[str, Any], dtype: str = DOUBLE.name) -> Array:
    """The array of ``{"shape", "data"}`` or of ``{"dtype", "shape", "base64"}`` (little-endian bytes).

    Raises `ValueError` where data and shape disagree or the dtype is not a float.
    """
    shape, stored = tuple(value["shape"]), value.get("dtype", dtype)
    if any(type(dim) is not int or dim < 0 for dim in shape[: MOST_AXES + 1]):
        raise ValueError(f"shape {list(shape[: MOST_AXES + 1])} is not a list of sizes")
    if len(shape) > MOST_AXES:
        raise ValueError(f"a shape of {len(shape)} axes: an array has at most {MOST_AXES}")
    if stored not in TYPES:
        raise ValueError(f"dtype {stored!r} is not {ONE_OF}")
    held = TYPES[stored].numpy
    if "base64" in value:
        raw = base64.b64decode(value["base64"], validate=True)
        flat = np.frombuffer(raw, held.newbyteorder("<")).astype(held) if len(raw) % held.itemsize == 0 else None
    else:
        flat = _numbers(value["data"], held)
    if flat is None or flat.size != math.prod(shape):
        raise ValueError(f"an array of shape {list(shape)} does not hold the data given")
    return flat.reshape(shape)


def forms_by_type(forms: Iterable[str]) -> dict[str, str]:
    """Names of forms by layer type, of several TYPE:FORM of a type the first."""
    named: dict[str, str] = {}
    for kind, _, form in (each.partition(":") for each in forms):
        named.setdefault(kind, form)
    return named
