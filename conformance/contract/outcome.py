"""Outcome: what an implementation answers to a case. Refusal: it says no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from conformance.contract.case import Array, array_from_json, array_to_json
from conformance.contract.dtypes import TypeClaim

__all__ = ["LayerRecord", "Outcome", "Refusal", "outcome_from_json"]


@dataclass(frozen=True)
class LayerRecord:
    """One layer after splitting; ``loss_weights`` and ``need_backward`` are None where an implementation does not
    tell."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    loss_weights: tuple[float, ...] | None = None
    need_backward: bool | None = None


@dataclass(frozen=True)
class Outcome:
    """The state after the last step, of an implementation of the types that ``dtype`` claims.

    ``loss`` is what the last forward returned: the net's weighted total. ``data`` and ``diff`` map blobs to arrays of
    any of those that it stores, ``param_diff`` layers to the diffs of their learnable arrays. Blobs of inserted Splits,
    ``layers``, ``outputs`` and ``loss_trace`` (the loss known after each step) are optional for a third party.
    ``passes`` is the state after each pass, the last of them this one once more, where the case asks for it.
    """

    dtype: str
    loss: float
    data: Mapping[str, Array] = field(default_factory=dict)
    diff: Mapping[str, Array] = field(default_factory=dict)
    param_diff: Mapping[str, tuple[Array, ...]] = field(default_factory=dict)
    layers: tuple[LayerRecord, ...] | None = None
    outputs: tuple[str, ...] | None = None
    loss_trace: tuple[float, ...] | None = None
    passes: tuple[Outcome, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The outcome as fixtures, protocol and reports carry it."""
        value: dict[str, Any] = {
            "loss": array_to_json(np.array(self.loss))["data"][0],
            "data": {name: array_to_json(array) for name, array in self.data.items()},
            "diff": {name: array_to_json(array) for name, array in self.diff.items()},
            "param_diff": {name: [array_to_json(a) for a in arrays] for name, arrays in self.param_diff.items()},
        }
        if self.layers is not None:
            value["layers"] = [_record_to_json(record) for record in self.layers]
        if self.outputs is not None:
            value["outputs"] = list(self.outputs)
        if self.loss_trace is not None:
            value["loss_trace"] = array_to_json(np.array(self.loss_trace))["data"]
        if self.passes:
            value["passes"] = [one.to_json() for one in self.passes]
        return value


@dataclass(frozen=True)
class Refusal:
    """The implementation says no, at ``stage``: construct, forward or backward (the reference says parse or setup for
    construct)."""

    stage: str
    message: str
    layer: str | None = None

    @property
    def third_party_stage(self) -> str:
        """The stage in a third party's words."""
        return "construct" if self.stage in ("parse", "setup") else self.stage

    def to_json(self) -> dict[str, Any]:
        return {"error": self.message, "stage": self.stage} | ({"layer": self.layer} if self.layer else {})


def outcome_from_json(value: Mapping[str, Any], dtype: str) -> Outcome | Refusal:
    """An outcome or a refusal from its JSON form. Raises `ValueError` that names what is wrong."""
    try:
        if "error" in value:
            return Refusal(value["stage"], value["error"], value.get("layer"))
        outcome = _state_from_json(value, dtype)
        passes = tuple(_pass_from_json(i, one, dtype) for i, one in enumerate(value.get("passes", ())))
    except KeyError as error:
        raise ValueError(f"the field {error} is missing") from None
    except (AttributeError, TypeError) as error:
        raise ValueError(str(error)) from None
    if passes and not _same_state(passes[-1], outcome):
        raise ValueError(f"passes[{len(passes) - 1}]: the last pass's state is the outcome's own, and this differs")
    return replace(outcome, passes=passes)


def _state_from_json(value: Mapping[str, Any], dtype: str) -> Outcome:
    number = array_from_json({"shape": [], "data": [value["loss"]]})
    layers, outputs, trace = value.get("layers"), value.get("outputs"), value.get("loss_trace")
    return Outcome(
        dtype=dtype,
        loss=number.item(),
        data={name: _array(f"data.{name}", a, dtype) for name, a in value.get("data", {}).items()},
        diff={name: _array(f"diff.{name}", a, dtype) for name, a in value.get("diff", {}).items()},
        param_diff={
            name: tuple(_array(f"param_diff.{name}", a, dtype) for a in arrays)
            for name, arrays in value.get("param_diff", {}).items()
        },
        layers=None if layers is None else tuple(_record_from_json(record) for record in layers),
        outputs=None if outputs is None else tuple(outputs),
        loss_trace=None if trace is None else tuple(array_from_json({"shape": [len(trace)], "data": trace}).tolist()),
    )


def _pass_from_json(index: int, value: Mapping[str, Any], dtype: str) -> Outcome:
    place = f"passes[{index}]"
    if "error" in value or "passes" in value:
        raise ValueError(f"{place}: a pass's state is an outcome without passes of its own")
    try:
        return _state_from_json(value, dtype)
    except KeyError as error:
        raise ValueError(f"{place}: the field {error} is missing") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from None


def _same_state(one: Outcome, other: Outcome) -> bool:
    """Whether loss, data and diffs agree bit for bit, NaN with NaN."""
    losses = np.array([one.loss, other.loss])
    pairs = [(losses[:1], losses[1:])]
    for name in ("data", "diff", "param_diff"):
        mine, its = getattr(one, name), getattr(other, name)
        if mine.keys() != its.keys():
            return False
        for key, held in mine.items():
            arrays, others = (held, its[key]) if name == "param_diff" else ((held,), (its[key],))
            if len(arrays) != len(others):
                return False
            pairs += zip(arrays, others, strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def _array(place: str, value: Mapping[str, Any], dtype: str) -> Array:
    try:
        return array_from_json(value, TypeClaim.named(dtype).scores.name)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _record_to_json(record: LayerRecord) -> dict[str, Any]:
    value: dict[str, Any] = {
        "name": record.name,
        "type": record.type,
        "bottoms": list(record.bottoms),
        "tops": list(record.tops),
    }
    if record.loss_weights is not None:
        value["loss_weights"] = array_to_json(np.array(record.loss_weights, np.float64))["data"]
    if record.need_backward is not None:
        value["need_backward"] = record.need_backward
    return value


def _record_from_json(value: Mapping[str, Any]) -> LayerRecord:
    weights = value.get("loss_weights")
    held = None if weights is None else array_from_json({"shape": [len(weights)], "data": weights})
    return LayerRecord(
        name=value["name"],
        type=value["type"],
        bottoms=tuple(value["bottoms"]),
        tops=tuple(value["tops"]),
        loss_weights=None if held is None else tuple(held.tolist()),
        need_backward=value.get("need_backward"),
    )
