"""``direct:PACKAGE.MODULE:OBJECT``: a Python object (docs/adapters/direct.md), opened in this process."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from conformance.adapters.foreign_layer import foreign_code, layer_around
from conformance.adapters.single_layers import SingleLayers
from conformance.contract.alarm import alarm
from conformance.contract.case import Array, Case
from conformance.contract.dtypes import DEFAULT, TypeClaim
from conformance.contract.implementation import Description, DoesNotStart, Implementation, ProtocolError
from conformance.contract.outcome import Outcome, Refusal
from conformance.protocol import meet
from refimpl.errors import LayerError
from refimpl.layers import REGISTRY

__all__ = ["LayerImplementation", "NetImplementation", "found", "open_direct", "wrapped"]


def open_direct(argument: str, timeout: float | None = None) -> Implementation:
    """The implementation that ``PACKAGE.MODULE:OBJECT`` names, or ``PACKAGE.MODULE`` alone.

    Raises `ValueError` for a spelling or an object that makes no sense, `DoesNotStart` where importing or making it
    fails.
    """
    target, module = found(argument)
    return wrapped(target, argument, str(getattr(module, "__version__", "")), timeout)


def found(argument: str) -> tuple[Any, Any]:
    """What ``PACKAGE.MODULE:OBJECT`` names, and the module. Raises as `open_direct` does."""
    module_name, _, path = argument.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise ValueError(f"{module_name!r} is no module's name")
    module = _imported(module_name, path)
    target: Any = module
    for part in path.split(".") if path else ():
        if not hasattr(target, part):
            raise ValueError(f"{module_name} has no {path!r}")
        target = getattr(target, part)
    return target, module


def wrapped(target: Any, name: str, version: str = "", timeout: float | None = None) -> Implementation:
    """An object as an implementation of that name: a class of layers, a mapping or module of such, a net.

    Raises `ValueError` for an object that is none of these, `DoesNotStart` where making it fails.
    """
    environment = {"numpy": np.__version__}
    base = Description(name, version, "Python", dtypes=DEFAULT, environment=environment, any_types=True)
    if hasattr(target, "run"):
        runner = _made(target, name) if inspect.isclass(target) else target
        return NetImplementation(runner, _described(runner, base), timeout)
    return LayerImplementation(_layers_of(target), _described(target, base), timeout)


class NetImplementation:
    """An object with ``run(case, dtype)``: it takes whole nets. It may have ``close()``.

    Its outcomes have to hold what those of a process have to (`conformance.protocol.demand`).
    """

    def __init__(self, runner: Any, description: Description, timeout: float | None = None) -> None:
        self._runner, self._description, self._timeout = runner, description, timeout

    def describe(self) -> Description:
        return self._description

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        """What the object returned: an `Outcome`, a `Refusal`, or a mapping with the fields of an outcome."""
        try:
            with foreign_code(), alarm(self._timeout):
                answer = self._runner.run(case, dtype)
        except LayerError as error:
            return Refusal("construct", str(error))
        if isinstance(answer, Refusal):
            return answer
        outcome = answer if isinstance(answer, Outcome) else _outcome(answer, dtype)
        try:
            meet(outcome, case, dtype)
        except (AttributeError, TypeError, ValueError) as error:
            raise ProtocolError(f"what run returned: {error}") from None
        return outcome

    def close(self) -> None:
        if callable(getattr(self._runner, "close", None)):
            self._runner.close()


class LayerImplementation(SingleLayers):
    """Classes with ``forward`` and ``backward`` by layer type; the reference's net runs around them."""

    def __init__(
        self, classes: Mapping[str, Callable[..., Any]], description: Description, timeout: float | None = None
    ) -> None:
        layers = {kind: layer_around(kind, make) for kind, make in classes.items()}
        super().__init__(layers, replace(description, capability="layer", layers=tuple(sorted(classes))), timeout)


def _imported(name: str, path: str) -> Any:
    """The module that ``path`` is to be in; the working directory is searched last, so that nothing in it hides an
    installed module."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise DoesNotStart(f"there is no module {error.name} on the path or in {os.getcwd()}") from None
        if isinstance(error, ModuleNotFoundError) and f"{error.name}.".startswith("caffe."):
            place = f"{name.removesuffix('.py').replace('.', '/')}.py:{path or 'CLASS'}"
            told = f"{name} imports caffe, which is not here; a Python layer of Caffe's needs none"
            raise DoesNotStart(f"{told}: lossconf run python-layer:{place} --as TYPE") from None
        raise DoesNotStart(f"cannot import {name}: {type(error).__name__}: {error}", traceback.format_exc()) from None


def _made(make: Callable[[], Any], what: str) -> Any:
    try:
        return make()
    except (Exception, SystemExit) as error:
        raise DoesNotStart(f"{what}() raised {type(error).__name__}: {error}", traceback.format_exc()) from None


def _described(target: Any, base: Description) -> Description:
    """The description, with whatever the object's own ``describe()`` says in its place."""
    if not callable(getattr(target, "describe", None)) or inspect.isclass(target):
        return base
    claim = _made(target.describe, "describe")
    if isinstance(claim, Description):
        return claim
    known = {field.name for field in fields(Description)}
    if not isinstance(claim, Mapping) or not known.issuperset(claim):
        raise ValueError(f"describe() returns a mapping with keys among {', '.join(sorted(known))}; got {claim!r}")
    claimed: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in claim.items()}
    for types in claimed.keys() & {"dtypes", "differences"}:
        claimed[types] = tuple(TypeClaim.named(each).name for each in claimed[types])
    return replace(base, any_types="dtypes" not in claimed, **claimed)


def _layers_of(target: Any) -> dict[str, Callable[..., Any]]:
    """Layer classes by type: a mapping as it is, a class under its ``type`` or name, else those an object holds."""
    if isinstance(target, Mapping):
        found = dict(target)
    elif _is_layer(target):
        found = {_type_of(target): target}
    else:
        held = (
            [value for name, value in vars(target).items() if not name.startswith("_")]
            if hasattr(target, "__dict__")
            else []
        )
        found = {_type_of(value): value for value in held if _is_layer(value) and _type_of(value) in REGISTRY}
    if not found:
        raise ValueError(
            f"{target!r} is no implementation: give a class with forward and backward, a mapping from layer types to "
            "such classes, or an object with run"
        )
    return found


def _is_layer(value: Any) -> bool:
    return (
        inspect.isclass(value)
        and callable(getattr(value, "forward", None))
        and callable(getattr(value, "backward", None))
    )


def _type_of(layer: Any) -> str:
    kind = getattr(layer, "type", None)
    return kind if isinstance(kind, str) else str(layer.__name__)


def _outcome(answer: Any, dtype: str) -> Outcome:
    """An outcome from ``loss``, arrays by blob in ``data`` and ``diff``, lists of arrays by layer in ``param_diff``.

    Where a case has several passes, ``loss_trace`` is the list of totals, and ``passes`` a list of the same.
    """
    try:
        trace = answer.get("loss_trace")
        return Outcome(
            dtype=dtype,
            loss=float(answer["loss"]),
            data=_arrays(answer.get("data", {}), dtype),
            diff=_arrays(answer.get("diff", {}), dtype),
            param_diff={
                name: tuple(_array(a, dtype) for a in arrays) for name, arrays in answer.get("param_diff", {}).items()
            },
            loss_trace=None if trace is None else tuple(map(float, trace)),
            passes=tuple(_outcome(one, dtype) for one in answer.get("passes", ())),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProtocolError(
            f"run returned neither an Outcome nor a mapping of its fields: {type(error).__name__}: {error}"
        ) from None


def _arrays(values: Mapping[str, Any], dtype: str) -> dict[str, Array]:
    return {name: _array(value, dtype) for name, value in values.items()}


def _array(value: Any, dtype: str) -> Array:
    array = np.asarray(value)
    if array.dtype not in [each.numpy for each in TypeClaim.named(dtype).stored]:
        raise ValueError(f"an array of {array.dtype} where {dtype} was asked for")
    return array
