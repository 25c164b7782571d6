"""Case: a net, its inputs and the passes to run; everything an implementation is told, and nothing of the answer."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.contract.dtypes import DOUBLE, ONE_OF, TYPES

__all__ = ["Array", "Case", "array_from_json", "array_to_json"]

Array = NDArray[np.floating[Any]]

_STEPS = ("forward", "backward")
_WORDS = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


@dataclass(frozen=True)
class Case:
    """What an implementation runs.

    ``net`` is a prototxt. ``inputs`` maps a blob to a float64 array whose entries are exact in float32; a shape other
    than the declared one is set by reshaping the input before the first forward. ``params`` maps a layer to its
    learnable arrays, ``prefill_diff`` a blob to the value that fills its diff before the first forward, ``top_diff``
    a blob to the value that fills its diff after each forward, ``files`` a name to the bytes of a file in the working
    directory.
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

    def __post_init__(self) -> None:
        unknown = [step for step in self.steps if step not in _STEPS]
        if unknown or not self.steps:
            raise ValueError(
                f"case {self.id}: steps are 'forward' and 'backward', at least one; got {list(self.steps)}"
            )
        for name in self.files:
            if name in ("", ".", "..") or set(name) & set("/\\\0"):
                raise ValueError(f"case {self.id}: a file has a plain name and no path; got {name!r}")

    def rounded(self, dtype: str) -> Case:
        """The case as an implementation of ``dtype`` holds it: inputs and parameters rounded to that type."""

        def fit(array: Array) -> Array:
            return TYPES[dtype].rounded(array)

        return replace(
            self,
            inputs={name: fit(array) for name, array in self.inputs.items()},
            params={name: tuple(fit(array) for array in arrays) for name, arrays in self.params.items()},
        )

    def digest(self) -> str:
        """Twelve hexadecimal digits that stand for everything an implementation is told."""
        told = hashlib.sha256()
        arrays = [*self.inputs.items(), *((name, a) for name, some in self.params.items() for a in some)]
        for name, array in arrays:
            told.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(array, dtype="<f8").tobytes())
        rest = (self.net, self.phase, self.steps, self.level, self.stages, sorted(self.files.items()))
        told.update(repr((*rest, sorted(self.prefill_diff.items()), sorted(self.top_diff.items()))).encode())
        return told.hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """The case as the fixtures store it; what has its default is left out."""
        whole: dict[str, Any] = {
            "net": self.net,
            "phase": self.phase,
            "inputs": {name: array_to_json(array) for name, array in self.inputs.items()},
            "params": {name: [array_to_json(array) for array in arrays] for name, arrays in self.params.items()},
            "prefill_diff": {name: _number_to_json(value) for name, value in self.prefill_diff.items()},
            "top_diff": {name: _number_to_json(value) for name, value in self.top_diff.items()},
            "files": {name: base64.b64encode(content).decode("ascii") for name, content in self.files.items()},
            "steps": list(self.steps),
            "level": self.level,
            "stages": list(self.stages),
        }
        plain = {"phase": "TRAIN", "steps": list(_STEPS), "level": 0}
        kept = ("net", "inputs")
        return {name: value for name, value in whole.items() if name in kept or (value and value != plain.get(name))}

    @classmethod
    def from_json(cls, case_id: str, value: Mapping[str, Any]) -> Case:
        """The case that ``to_json`` wrote. Raises `ValueError` that names the field at fault."""
        try:
            return cls(
                id=case_id,
                net=value["net"],
                phase=value.get("phase", "TRAIN"),
                inputs={name: array_from_json(array) for name, array in value.get("inputs", {}).items()},
                params={n: tuple(array_from_json(a) for a in arrays) for n, arrays in value.get("params", {}).items()},
                prefill_diff={
                    name: _number_from_json(number) for name, number in value.get("prefill_diff", {}).items()
                },
                top_diff={name: _number_from_json(number) for name, number in value.get("top_diff", {}).items()},
                files={name: base64.b64decode(text, validate=True) for name, text in value.get("files", {}).items()},
                steps=tuple(value.get("steps", _STEPS)),
                level=value.get("level", 0),
                stages=tuple(value.get("stages", ())),
            )
        except KeyError as error:
            raise ValueError(f"case {case_id}: the field {error} is missing") from None
        except (AttributeError, TypeError, binascii.Error) as error:
            raise ValueError(f"case {case_id}: {error}") from None


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


def array_to_json(array: Array) -> dict[str, Any]:
    """``{"shape": [...], "data": [...]}``, row-major; non-finite numbers are the strings NaN, Infinity, -Infinity."""
    array = np.asarray(array)
    return {"shape": list(array.shape), "data": [_number_to_json(x) for x in array.ravel().tolist()]}


def array_from_json(value: Mapping[str, Any], dtype: str = DOUBLE.name) -> Array:
    """The array of ``{"shape", "data"}`` or of ``{"dtype", "shape", "base64"}`` (little-endian bytes).

    Raises `ValueError` where data and shape disagree or the dtype is not a float.
    """
    shape = tuple(value["shape"])
    if any(not isinstance(dim, int) or dim < 0 for dim in shape):
        raise ValueError(f"shape {list(shape)} is not a list of sizes")
    if "base64" in value:
        stored = value.get("dtype", dtype)
        if stored not in TYPES:
            raise ValueError(f"dtype {stored!r} is not {ONE_OF}")
        held = TYPES[stored].numpy
        raw = base64.b64decode(value["base64"], validate=True)
        flat = np.frombuffer(raw, held.newbyteorder("<")).astype(held) if len(raw) % held.itemsize == 0 else None
    else:
        flat = np.array([_number_from_json(x) for x in value["data"]], dtype=value.get("dtype", dtype))
    if flat is None or flat.size != np.prod(shape, dtype=np.int64):
        raise ValueError(f"an array of shape {list(shape)} does not hold the data given")
    return flat.reshape(shape)
