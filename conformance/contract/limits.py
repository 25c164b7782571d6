"""Limits: what an implementation does not claim, stated before the first case; what lies outside is never judged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance.contract.case import Case
from conformance.contract.errors import UsageError, unknown
from conformance.contract.implementation import Description
from refimpl.errors import PrototxtError
from refimpl.messages import LayerParameter
from refimpl.prototxt import parse_net
from refimpl.schema import Message

if TYPE_CHECKING:
    from conformance.contract.check import Check

__all__ = ["SINGLE", "Limits"]

SINGLE = "single layers"
"""The limit of an implementation that computes layers and no nets."""

FIRST_PASS = "one pass"
"""The limit of one that is told of no further passes, as version 1 of the protocol has none."""

_SIZE = re.compile(r"size>(\d+)")
_TOPS = re.compile(r"(\w+):tops>(\d+)")
_OPTION = re.compile(r"(?:(\w+):)?(options|\w+_param(?:\.\w+)*)(?:=(.*?))?(?: \(.*\))?")
_NAMED = 3
"""Layer types that a limit names; more are counted."""


@dataclass(frozen=True)
class Limits:
    """What a description limits, and ``declines`` beside it, each in one of five forms.

    ``LAYER.ignore-label`` (or a pattern, ``net.*``) declines a requirement; ``loss_param.normalize`` every
    net with a layer in which that option is set (``loss_param``: the block), ``loss_param.normalization=FULL`` where it
    has that value, ``TYPE:options`` where a layer of that type has any, and words in brackets after it say what to
    do; ``TYPE:tops>1`` nets in which a layer of that type has more tops; ``size>65536`` cases that feed a larger blob;
    ``passes`` cases of more than one pass.
    """

    capability: str = "net"
    layers: tuple[str, ...] = ()
    declines: tuple[str, ...] = ()

    @classmethod
    def of(cls, description: Description, declines: Iterable[str] = ()) -> Limits:
        """The limits that an implementation states of itself, and those that are stated for it."""
        old = (FIRST_PASS,) if description.protocol == 1 else ()
        return cls(description.capability, description.layers, (*description.declines, *old, *declines))

    def refuse_unknown(self, requirements: Iterable[str]) -> None:
        """Raises `UsageError` for what is none of the five forms, or matches no requirement."""
        known = list(requirements)
        for limit in self.declines:
            if not _is_of_cases(limit) and not any(fnmatchcase(name, limit) for name in known):
                if "." in limit:
                    raise unknown("requirement", limit, known, "lossconf list requirements")
                forms = "a requirement, an option such as loss_param.normalize, TYPE:tops>N, size>N or passes"
                raise UsageError(f"no limit is {limit!r}: use {forms}")

    def of_check(self, check: Check) -> str:
        """The limit that a check lies outside of as a whole, or nothing."""
        foreign = {kind for kind in check.layer_types if not self.has(kind, check.forms)}
        if self.capability == "layer":
            if check.needs_net:
                return SINGLE
            has_no_part = foreign if check.together else foreign == set(check.layer_types)
            return self.types if self.layers and has_no_part else ""
        if self.layers and foreign:
            return self.types
        return self.of_requirement(check.requirements[0]) if all(map(self.of_requirement, check.requirements)) else ""

    def has(self, kind: str, forms: Iterable[str]) -> bool:
        """Whether a layer type is claimed, in one of the forms that a check is about. A type is claimed in all its
        forms unless some are named beside it, as TYPE:FORM."""
        mine = [form for form in forms if form.partition(":")[0] == kind]
        named = [name for name in self.layers if name.startswith(f"{kind}:")]
        return any(name in named for name in mine) if mine and named else kind in self.layers

    def of_requirement(self, requirement: str) -> str:
        """The limit that a requirement lies outside of, or nothing."""
        return next((each for each in self.declines if not _is_of_cases(each) and fnmatchcase(requirement, each)), "")

    def of_case(self, case: Case) -> str:
        """The limit that a case lies outside of, or nothing."""
        return next((limit for limit in self.declines if _is_outside(case, limit)), "")

    @property
    def types(self) -> str:
        """The limit to some layer types."""
        few = len(self.layers) <= _NAMED
        return f"only {', '.join(self.layers)}" if few else f"only {len(self.layers)} layer types"

    @property
    def stated(self) -> tuple[str, ...]:
        """Every limit, in words."""
        single = (SINGLE,) if self.capability == "layer" else ()
        return (*single, *((self.types,) if self.layers else ()), *self.declines)


def _is_of_cases(limit: str) -> bool:
    forms = (_SIZE, _TOPS, _OPTION)
    return limit in ("passes", FIRST_PASS) or any(form.fullmatch(limit) for form in forms)


def _is_outside(case: Case, limit: str) -> bool:
    if limit in ("passes", FIRST_PASS):
        return bool(case.passes)
    if size := _SIZE.fullmatch(limit):
        arrays = (array for each in case.sequence for array in each.inputs.values())
        return any(np.size(array) > int(size[1]) for array in arrays)
    found_in = _TOPS.fullmatch(limit) or _OPTION.fullmatch(limit)
    if found_in is None:
        return False
    kind = found_in[1]
    try:
        layers = [layer for layer in parse_net(case.net).layer if kind in (None, layer.type)]
    except PrototxtError:
        return False
    if found_in.re is _TOPS:
        return any(len(layer.top) > int(found_in[2]) for layer in layers)
    path, wanted = found_in[2], found_in[3]
    if path == "options":
        return any(_has_options(layer) for layer in layers)
    found = [value for layer in layers if (value := _value(layer, path.split("."))) is not None]
    return bool(found) if wanted is None else wanted in found


def _has_options(layer: LayerParameter) -> bool:
    blocks = [name for name in layer.schema if name.endswith("_param") and name != "python_param" and layer.has(name)]
    return bool(layer.extra) or any(map(layer.has, blocks))


def _value(layer: LayerParameter, path: list[str]) -> str | None:
    """The value that a layer sets an option to, as text; None where it does not."""
    held: Any = layer
    for name in path:
        if not isinstance(held, Message) or name not in held.schema or not held.has(name):
            return None
        held = getattr(held, name)
    if isinstance(held, bool):
        return str(held).lower()
    return f"{held:g}" if isinstance(held, float) else str(held)
