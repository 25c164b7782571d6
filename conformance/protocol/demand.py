"""Demand: what an outcome of a case has to hold, and what it may hold, whichever way it came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from conformance.contract.case import Array, Case, Pass
from conformance.contract.dtypes import TypeClaim
from conformance.contract.outcome import Outcome
from refimpl.errors import NetError
from refimpl.net import AUTOMATIC_TOP
from refimpl.prototxt import parse_net
from refimpl.splits import included

__all__ = ["meet", "refuse_other_types"]


def meet(outcome: Outcome, case: Case, dtype: str) -> None:
    """Hold an outcome of ``case`` run in ``dtype`` against what the case asks for.

    Required are, once a backward has run, the diffs of all inputs and of the parameters that the case sets; the loss
    after every step, where there are several passes; and the state after each of them where the case asks for it.
    Blobs and layers that the net does not have are an answer to something else. Raises `ValueError` that says what is
    wrong, and where.
    """
    rounds, states = case.sequence, _states(outcome, case)
    for place, state, so_far in states:
        try:
            _meet_state(state, so_far, dtype)
        except ValueError as error:
            raise ValueError(f"{place}{error}") from None
    if any(state.passes for _, state, _ in states if state is not outcome):
        raise ValueError("passes: the state after a pass has no passes of its own")
    _meet_trace(outcome, len(rounds), len(case.all_steps))
    _refuse_strangers(outcome, case)


def _states(outcome: Outcome, case: Case) -> list[tuple[str, Outcome, tuple[Pass, ...]]]:
    """The states that an outcome holds: where, which, and the passes run until then."""
    rounds = case.sequence
    if len(outcome.passes) != (len(rounds) if case.each_pass else 0):
        asked = f"{len(rounds)} passes" if case.each_pass else "a case that does not ask for it"
        raise ValueError(f"passes has {len(outcome.passes)} entries for {asked}")
    each = [(f"passes[{i}]: ", state, rounds[: i + 1]) for i, state in enumerate(outcome.passes)]
    return [*each, ("", outcome, rounds)]


def _meet_state(state: Outcome, so_far: tuple[Pass, ...], dtype: str) -> None:
    inputs: dict[str, Array] = {}
    params: dict[str, tuple[Array, ...]] = {}
    for one in so_far:
        inputs |= one.inputs
        params |= one.params
    for place, array in _arrays(state):
        refuse_other_types(place, array, dtype)
    for name, array in state.diff.items():
        if name in state.data:
            _same_shape(f"diff.{name}", array, f"data.{name}", state.data[name])
    for name, array in inputs.items():
        for part, held in (("data", state.data), ("diff", state.diff)):
            if name in held:
                _same_shape(f"{part}.{name}", held[name], f"the input {name}", array)
    if any("backward" in one.steps for one in so_far):
        _require_gradients(state, inputs, params)


def refuse_other_types(place: str, array: Array, dtype: str) -> None:
    """Raise `ValueError` for an array of a type that the claim named ``dtype`` stores nothing in."""
    if array.dtype not in [each.numpy for each in TypeClaim.named(dtype).stored]:
        raise ValueError(f"{place} is {array.dtype}, asked for {dtype}")


def _require_gradients(state: Outcome, inputs: Mapping[str, Array], params: Mapping[str, tuple[Array, ...]]) -> None:
    missing = [f"diff.{name}" for name in inputs if name not in state.diff]
    missing += [f"param_diff.{layer}" for layer in params if layer not in state.param_diff]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    for layer, arrays in params.items():
        found = state.param_diff[layer]
        if len(found) < len(arrays):
            raise ValueError(f"param_diff.{layer} has {len(found)} arrays for {len(arrays)} parameters")
        for index, (diff, array) in enumerate(zip(found, arrays, strict=False)):
            _same_shape(f"param_diff.{layer}.{index}", diff, "the parameter", array)


def _meet_trace(outcome: Outcome, passes: int, steps: int) -> None:
    if outcome.loss_trace is None:
        if passes > 1:
            raise ValueError(f"loss_trace missing: a case of {passes} passes asks for the total after each step")
    elif len(outcome.loss_trace) != steps:
        raise ValueError(f"loss_trace has {len(outcome.loss_trace)} entries for {steps} steps")


def _refuse_strangers(outcome: Outcome, case: Case) -> None:
    known = _names(case.net, case.phase, case.level, case.stages)
    if known is None:
        return
    blobs, layers = known
    for state in (outcome, *outcome.passes):
        for part, held, there, what in (
            ("data", state.data, blobs, "blob"),
            ("diff", state.diff, blobs, "blob"),
            ("param_diff", state.param_diff, layers, "layer"),
        ):
            strange = [name for name in held if name not in there and not _of_a_split(name, there)]
            if strange:
                shown = ", ".join(f"{part}.{name}" for name in strange[:3]) + (", ..." if len(strange) > 3 else "")
                raise ValueError(f"{shown}: the net has no such {what}")


@lru_cache(maxsize=256)
def _names(net: str, phase: str, level: int, stages: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]] | None:
    """The blobs and the layers of a net before Splits are inserted; None for a net that is refused, or has none."""
    try:
        whole = parse_net(net)
        state = replace(whole.state, phase=phase, level=level, stage=(*whole.state.stage, *stages))
        kept = [layer for layer in whole.layer if included(layer, state)]
    except NetError:
        return None
    if not kept:
        return None
    return frozenset({AUTOMATIC_TOP}.union(*(layer.top for layer in kept))), frozenset(layer.name for layer in kept)


def _of_a_split(name: str, blobs: frozenset[str]) -> bool:
    """Whether the name is one that a Caffe gives to a top of a Split that it inserts behind one of the blobs."""
    return "_split" in name and any(name.startswith(f"{blob}_") for blob in blobs)


def _arrays(state: Outcome) -> Iterable[tuple[str, Array]]:
    for part, held in (("data", state.data), ("diff", state.diff)):
        yield from ((f"{part}.{name}", array) for name, array in held.items())
    for layer, arrays in state.param_diff.items():
        yield from ((f"param_diff.{layer}.{index}", array) for index, array in enumerate(arrays))


def _same_shape(place: str, array: Array, other_place: str, other: Array) -> None:
    if array.shape != other.shape:
        raise ValueError(f"{place} has shape {list(array.shape)}, {other_place} has {list(other.shape)}")
