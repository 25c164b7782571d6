"""Requests out, answers in: the messages as bytes and as the project's own values.

Everything read here was written by somebody else's program. Whatever is wrong with it comes out as `Malformed`, one
line that says what and where; nothing else is raised by what reads.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case, Pass, array_from_json, array_to_json
from conformance.contract.dtypes import DOUBLE, TYPES, TypeClaim
from conformance.contract.implementation import Crash, Description, ProtocolError, Unsupported
from conformance.contract.intake import Malformed, decoding, excerpt, json_of
from conformance.contract.outcome import Outcome, Refusal, outcome_from_json
from conformance.protocol.demand import meet, refuse_other_types
from conformance.protocol.schema import violation
from refimpl.schema import Message

__all__ = [
    "PASSES_SINCE",
    "SPOKEN",
    "VERSION",
    "Answer",
    "array_message",
    "case_message",
    "layer_message",
    "outcome_message",
    "read_answer",
    "read_case",
    "read_computed",
    "read_description",
    "read_outcome",
    "read_times",
    "refusal_message",
    "request",
]

VERSION = 2
SPOKEN = (2, 1)
"""The versions that this harness speaks, the one it asks for first."""

PASSES_SINCE = 2
"""The version from which a case may have passes: who speaks an older one is asked for none."""

_ANSWERS = ("description", "outcome", "computed", "times", "refusal", "unsupported", "crash", "error")


@dataclass(frozen=True)
class Answer:
    """One line from an implementation: its ``kind`` (a stage event or what it answers with), ``id`` and ``body``."""

    kind: str
    id: int | None
    body: Any

    def result(self, kind: str, said: str = "") -> Any:
        """The body of an answer of ``kind``, or the `Refusal` that it is.

        Raises `Unsupported`, `Crash` or `ProtocolError` for anything else, with what the implementation ``said``.
        """
        body = self.body
        if self.kind == "refusal":
            return Refusal(body["stage"], body["message"], body.get("layer"))
        if self.kind == "unsupported":
            raise Unsupported(body)
        if self.kind == "crash":
            raise Crash(body["reason"] + (f" in {body['stage']}" if "stage" in body else ""), said)
        if self.kind == "error":
            raise ProtocolError(f"it could make nothing of the request: {body}", said)
        if self.kind != kind:
            raise ProtocolError(f"answered with {self.kind}", said)
        return body


def request(verb: str, number: int, **fields: Any) -> bytes:
    """A request as its line."""
    return json.dumps({"verb": verb, "id": number, **fields}, allow_nan=False).encode("ascii") + b"\n"


def array_message(array: Array, dtype: str) -> dict[str, Any]:
    """An array rounded to the type ``dtype``, as little-endian bytes in base64."""
    raw = np.ascontiguousarray(array, TYPES[dtype].numpy.newbyteorder("<")).tobytes()
    return {"dtype": dtype, "shape": list(array.shape), "base64": base64.b64encode(raw).decode("ascii")}


def case_message(case: Case, dtype: str, forms: bool = False) -> dict[str, Any]:
    """The case as run and time carry it: its arrays in the type that the claim named ``dtype`` stores them in, its id
    and its answer not at all, its forms where they are to be told."""
    dtype = TypeClaim.named(dtype).scores.name
    first, *others = case.sequence
    emptied = tuple(replace(one, inputs={}, params={}) for one in others)
    bare = replace(case, inputs={}, params={}, passes=emptied, forms=case.forms if forms else ())
    message = {**bare.to_json(), **_arrays_message(first, dtype)}
    for told, one in zip(message.get("passes", ()), others, strict=True):
        told |= {name: arrays for name, arrays in _arrays_message(one, dtype).items() if arrays}
    return message


def _arrays_message(one: Pass, dtype: str) -> dict[str, Any]:
    """The inputs and parameters of a pass."""
    message: dict[str, Any] = {"inputs": {name: array_message(array, dtype) for name, array in one.inputs.items()}}
    if one.params:
        message["params"] = {name: [array_message(a, dtype) for a in arrays] for name, arrays in one.params.items()}
    return message


def read_case(message: Mapping[str, Any]) -> Case:
    """The case that `case_message` wrote; it has no name, and its arrays are float64."""
    case = Case.from_json("unnamed", message)
    first, *others = (_widened(one) for one in case.sequence)
    return replace(case, inputs=first.inputs, params=first.params, passes=tuple(others))


def _widened(one: Pass) -> Pass:
    inputs = {name: array.astype(DOUBLE.numpy) for name, array in one.inputs.items()}
    params = {name: tuple(array.astype(DOUBLE.numpy) for array in arrays) for name, arrays in one.params.items()}
    return replace(one, inputs=inputs, params=params)


def outcome_message(outcome: Outcome) -> dict[str, Any]:
    """The answer that an outcome is, less its id; arrays keep the type that they have."""
    return {"outcome": _state_message(outcome)}


def _state_message(state: Outcome) -> dict[str, Any]:
    bare = replace(state, data={}, diff={}, param_diff={}, passes=())
    arrays = {
        part: {name: array_message(array, array.dtype.name) for name, array in held.items()}
        for part, held in (("data", state.data), ("diff", state.diff))
    }
    params = {n: [array_message(array, array.dtype.name) for array in some] for n, some in state.param_diff.items()}
    passes = {"passes": [_state_message(one) for one in state.passes]} if state.passes else {}
    return {**bare.to_json(), "dtype": state.dtype, **arrays, "param_diff": params, **passes}


def refusal_message(refusal: Refusal) -> dict[str, Any]:
    """The answer that a refusal is, less its id."""
    return {"refusal": {"stage": refusal.third_party_stage, "message": refusal.message, "layer": refusal.layer}}


def layer_message(message: Message) -> dict[str, Any]:
    """A layer's message as JSON: the fields that are set, enums by name, numbers that JSON lacks as strings."""
    names = [name for name, field in message.schema.items() if field.kind not in ("extra", "own") and message.has(name)]
    own = {name: layer_message(read) for (name, _), read in getattr(message, "own", {}).items()}
    return {**own, **{name: _field_message(getattr(message, name)) for name in names}}


def _field_message(value: Any) -> Any:
    if isinstance(value, Message):
        return layer_message(value)
    if isinstance(value, tuple):
        return [_field_message(item) for item in value]
    return array_to_json(np.array(value))["data"][0] if isinstance(value, float) else value


def read_answer(line: bytes) -> Answer:
    """The message on a line, held against its schema. Raises `Malformed`."""
    message = json_of(line)
    if not isinstance(message, dict):
        raise Malformed(f"not a JSON object: {excerpt(line)}")
    if "event" in message:
        return Answer(_checked("stage", message)["event"], message["id"], message["stage"])
    kinds = [kind for kind in _ANSWERS if kind in message]
    if len(kinds) != 1:
        raise Malformed(f"an answer has exactly one of {', '.join(_ANSWERS)}: {excerpt(line)}")
    return Answer(kinds[0], _checked(kinds[0], message)["id"], message[kinds[0]])


def read_description(body: Mapping[str, Any]) -> Description:
    """What an implementation says of itself; `Malformed` where it speaks a version that nobody here does."""
    if body["protocol"] not in SPOKEN:
        spoken = " and ".join(map(str, sorted(SPOKEN)))
        raise Malformed(f"it speaks version {body['protocol']} of the protocol, this harness versions {spoken}")
    if body["capability"] == "layer" and not body.get("layers"):
        raise Malformed("an implementation of capability layer names its layers")
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in body.items()}
    for name in ("dtypes", "differences"):
        with decoding():
            given[name] = tuple(TypeClaim.named(claim).name for claim in given.get(name, ()))
    with decoding():
        return Description(**given)


def read_outcome(body: Mapping[str, Any], case: Case, dtype: str) -> Outcome:
    """The outcome of ``case`` run in ``dtype``: it holds what the case asks for (`conformance.protocol.demand`)."""
    with decoding():
        for state in (body, *body.get("passes", ())):
            if state.get("dtype", dtype) != dtype:
                raise Malformed(f"dtype is {state['dtype']}, asked for {dtype}")
        outcome = outcome_from_json(body, dtype)
        if not isinstance(outcome, Outcome):
            raise Malformed("an outcome is no refusal")
        meet(outcome, case, dtype)
    return outcome


def read_computed(body: Mapping[str, Any], dtype: str) -> tuple[list[Array], list[Array | None]]:
    """The tops and the bottoms' gradients (None where there is none) that one layer computed in ``dtype``."""
    tops = [_array(f"tops.{index}", message, dtype) for index, message in enumerate(body["tops"])]
    diffs = [
        None if message is None else _array(f"bottom_diffs.{index}", message, dtype)
        for index, message in enumerate(body.get("bottom_diffs", ()))
    ]
    return tops, diffs


def read_times(body: Mapping[str, list[float]], rounds: int) -> dict[str, tuple[float, ...]]:
    """Seconds per round of forward, backward and both."""
    for name, seconds in body.items():
        if len(seconds) != rounds:
            raise Malformed(f"times.{name} has {len(seconds)} entries for {rounds} rounds")
    return {name: tuple(seconds) for name, seconds in body.items()}


def _array(place: str, message: Mapping[str, Any], dtype: str) -> Array:
    try:
        with decoding():
            array = array_from_json(message, TypeClaim.named(dtype).scores.name)
    except Malformed as error:
        raise Malformed(f"{place}: {error}") from None
    refuse_other_types(place, array, dtype)
    return array


def _checked(name: str, message: dict[str, Any]) -> dict[str, Any]:
    wrong = violation(name, message)
    if wrong is not None:
        raise Malformed(wrong)
    return message
