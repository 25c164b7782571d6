"""Functions: a loss as a framework writes it, ``f(scores, target) -> loss``, in the place of one of Caffe's layers.

What the layer has beside its loss is the reference's: shapes, the axis of the classes, the weight that comes in as a
gradient. An option that a net sets goes to the function's parameter of that name; those that it has no parameter for
are declined before the first case, and so is a second top.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import refimpl
from conformance.adapters.direct import LayerImplementation, found
from conformance.contract.case import Array
from conformance.contract.dtypes import DEFAULT
from conformance.contract.errors import unknown
from conformance.contract.implementation import Description, Implementation
from conformance.losses import KNOWN, LOSSES, Loss
from conformance.losses.roles import Labels
from refimpl.messages import LayerParameter
from refimpl.schema import Message

__all__ = ["Framework", "Pullback", "open_function"]

Pullback = Callable[[Array], Sequence[Array]]
"""From the gradient of a loss to those of what it learns from."""

_IGNORED, _IGNORE_INDEX = "loss_param.ignore_label", "ignore_index"
"""An option that frameworks have another name for."""


class Framework(Protocol):
    """A framework that can differentiate: torch, jax."""

    name: str
    version: str

    def evaluate(
        self, function: Callable[..., Any], given: Sequence[Array], learned: Sequence[int], options: Mapping[str, Any]
    ) -> tuple[Array, Pullback]:
        """The loss of what is ``given``, scores and a target (integers where it is one of classes), and its gradients
        into those ``learned`` by the framework's own means."""


def open_function(framework: Framework, argument: str, timeout: float | None = None) -> Implementation:
    """The function that ``MODULE:FUNCTION [--as TYPE]`` names; unless told otherwise a loss of scores and classes.

    It may be a pair, ``(forward, backward)`` with ``backward(scores, target, gradient)``, which gives the gradient of
    the scores, or a tuple of both bottoms' where the target learns, too. Raises `ValueError` for an
    argument that makes no sense, `DoesNotStart` where the module cannot be imported.
    """
    place, dashes, rest = argument.partition(" --")
    words = shlex.split(dashes.strip() + rest)
    if ":" not in place or (words and (len(words) != 2 or words[0] != "--as")):
        raise ValueError("a module and a function in it are needed, as in mykernels:cross_entropy")
    types = {loss.type: loss for loss in _in_two_bottoms()}
    kind = words[1] if words else next(loss.type for loss in types.values() if loss.two_tops)
    if kind not in types:
        raise unknown("loss of two bottoms", kind, types)
    target, module = found(place)
    pair = target if isinstance(target, tuple) else (target, None)
    if len(pair) != 2 or not callable(pair[0]) or not (pair[1] is None or callable(pair[1])):
        raise ValueError(f"{place} is neither a function nor a pair of functions")
    loss = types[kind]
    told = _told(loss, pair[0])
    description = Description(
        place,
        str(getattr(module, "__version__", "")),
        "Python",
        dtypes=DEFAULT,
        declines=_declined(loss, told),
        environment={framework.name: framework.version, "numpy": np.__version__},
        any_types=True,
    )

    def make(param: LayerParameter) -> _Layer:
        return _Layer(framework, pair, loss, param, told)

    return LayerImplementation({kind: make}, description, timeout)


def _in_two_bottoms() -> Iterator[Loss]:
    """Losses that a function may stand for: Caffe's, and those from files, whose references are not the suite's."""
    ours = refimpl.__name__
    for stem, loss in KNOWN.items():
        if len(loss.bottoms) == 2 and (stem in LOSSES or loss.layer.__module__.partition(".")[0] != ours):
            yield loss


def _parameters(function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # built in, or from C: nothing is known of it
        return {}


def _told(loss: Loss, function: Callable[..., Any]) -> dict[str, str]:
    """The options of the layer that the function has a parameter for, with its name."""
    named = {option: option.rpartition(".")[2] for option in loss.options if option != loss.axis_option}
    parameters = _parameters(function)
    return {option: name for option, name in (named | {_IGNORED: _IGNORE_INDEX}).items() if name in parameters}


def _declined(loss: Loss, told: Collection[str]) -> tuple[str, ...]:
    """The options of the layer that such a function is never told, and what it does not give."""
    options = (option for option in loss.options if option not in (loss.axis_option, *told))
    second = (f"{loss.type}:tops>1",) if loss.two_tops else ()
    return (*options, *second)


class _Layer:
    """The function in the place of a layer, on arrays of the types claimed; the classes of its scores lie last, as
    frameworks have them. Raises `ValueError` for a label that is no class."""

    def __init__(
        self,
        framework: Framework,
        pair: tuple[Callable[..., Any], Callable[..., Any] | None],
        loss: Loss,
        param: LayerParameter,
        told: Mapping[str, str],
    ) -> None:
        self.framework, self.pair, self.loss, self.param = framework, pair, loss, param
        held = {name: self._field(option) for option, name in told.items()}
        self.options = {name: getattr(block, field) for name, (block, field) in held.items() if block.has(field)}
        self.axis = getattr(*self._field(loss.axis_option)) if loss.axis_option else None
        self.learned = [i for i, bottom in enumerate(loss.bottoms) if bottom.learns]

    def _field(self, option: str) -> tuple[Message, str]:
        """The block of the layer that holds an option, as its loss reads it, and the option's name there."""
        name, _, field = option.partition(".")
        kind = self.loss.layer.messages.get(name)
        block: Message = getattr(self.param, name) if kind is None else self.param.own.get((name, kind), kind())
        return block, field

    def forward(self, bottom: Sequence[Array]) -> list[Array]:
        scores, target = bottom
        if self.axis is not None:
            scores = np.moveaxis(scores, self.axis, -1)
            self.shape = scores.shape
            scores = np.ascontiguousarray(scores.reshape(-1, scores.shape[-1]))
        if isinstance(self.loss.answer.role, Labels):
            classes = scores.shape[-1] if self.axis is not None else scores[0].size
            labels = len(scores) if self.axis is None else target.size
            target = _classes(target.ravel()[:labels], classes, self.options.get(_IGNORE_INDEX))
        self.held = (scores, target)
        value, self.pull = self.framework.evaluate(self.pair[0], self.held, self.learned, self.options)
        return [value]

    def backward(
        self, top_diff: Sequence[Array], bottom: Sequence[Array], propagate_down: Sequence[bool]
    ) -> list[Array | None]:
        if not any(propagate_down):
            return [None, None]
        if propagate_down[1] and 1 not in self.learned:
            raise ValueError(f"{self.param.type} has no gradient for its second bottom")
        backward = self.pair[1]
        answer = self.pull(top_diff[0]) if backward is None else backward(*self.held, top_diff[0])
        several: list[Any] = list(answer) if isinstance(answer, (tuple, list)) else [answer]
        if self.axis is None:
            return [*several, *[None] * (2 - len(several))]
        return [np.moveaxis(np.asarray(several[0]).reshape(self.shape), -1, self.axis), None]


def _classes(labels: Array, classes: int, ignored: int | None) -> NDArray[Any]:
    """Labels as the integers that they are. Raises `ValueError` for one that is no class."""
    whole = np.trunc(labels.astype(np.float64)).astype(np.int64).ravel()
    wrong = ((whole < 0) | (whole >= classes)) & (whole != ignored)
    if wrong.any():
        raise ValueError(f"label {whole[wrong][0]} is outside 0..{classes - 1}")
    return whole
