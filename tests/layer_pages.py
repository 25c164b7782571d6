"""The pages of docs/layers, read: sections, tables, and a worked example that can be run and changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.losses import KNOWN
from refimpl.dialect import DEPARTURES, Dialect
from refimpl.messages import BlobShape, LayerParameter
from refimpl.net import Net
from refimpl.prototxt import parse_net

__all__ = ["LAYERS", "Answer", "Example", "Page", "agrees", "assigned", "numbers"]

LAYERS = Path(__file__).parent.parent / "docs" / "layers"
FEW_DIGITS = 8
"""A number with at least so many digits is rounded at its last one; a shorter one is exact."""

Row = Mapping[str, str]


@dataclass(frozen=True)
class Page:
    """A Markdown page, by the stem of the layer that it is about."""

    stem: str

    @cached_property
    def text(self) -> str:
        return (LAYERS / f"{self.stem}.md").read_text("utf-8")

    @cached_property
    def sections(self) -> dict[str, str]:
        """What stands under each heading of the second level, in the page's order."""
        parts = re.split(r"^## (.+)\n", self.text, flags=re.MULTILINE)[1:]
        return dict(zip(parts[::2], parts[1::2], strict=True))

    @property
    def code(self) -> set[str]:
        """Everything that stands in backticks."""
        return set(re.findall(r"`([^`\n]+)`", self.text))

    def rows(self, *headers: str) -> Iterator[Row]:
        """The rows of all tables that have these headers; backticks are taken off the cells."""
        for table in re.findall(r"(?:^\|.*\n)+", self.text, re.MULTILINE):
            head, _, *body = [_cells(line) for line in table.splitlines()]
            if set(headers) <= set(head):
                yield from (dict(zip(head, cells, strict=True)) for cells in body)

    @cached_property
    def example(self) -> Example:
        section = self.sections["Worked example"]
        return (
            Example.of(section, KNOWN[self.stem].forms, KNOWN[self.stem].type)
            if self.stem in KNOWN
            else Example.of(section)
        )


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line)[1:-1]
    return [cell.strip().replace("\\|", "|").strip("`") for cell in cells]


@dataclass(frozen=True)
class Answer:
    """What the reference made of a net: its loss, the blobs' diffs, and the quirks on the way."""

    loss: float
    diffs: dict[str, NDArray[np.float64]]
    touched: frozenset[str]


@dataclass(frozen=True)
class Example:
    """A net over inputs, the formula as lines of numpy, and what comes out: a loss, and diffs by "blob.diff"; of the
    first of the ``forms``, where there are any. It is about the last layer of type ``kind``, else about the last."""

    net: str
    inputs: dict[str, NDArray[np.float64]]
    steps: str
    result: dict[str, Any]
    forms: tuple[str, ...] = ()
    kind: str = ""

    @classmethod
    def of(cls, section: str, forms: tuple[str, ...] = (), kind: str = "") -> Example:
        """From a block of text (the net), one of JSON (the inputs), one of Python, and one of JSON (the result)."""
        (net,), (steps,) = (_blocks(language, section) for language in ("text", "python"))
        inputs, result = _blocks("json", section)
        arrays = {name: np.array(values, np.float64) for name, values in json.loads(inputs).items()}
        return cls(net, arrays, steps, json.loads(result, parse_float=Decimal, parse_int=Decimal), forms, kind)

    def changed(self, change: str) -> Example:
        """With an input set anew (a statement of Python) or a field added to the layer (any other text)."""
        if "=" not in change:
            until, layer, further = self.net.partition(f'type: "{self.kind}"') if self.kind else ("", "", self.net)
            own, begun, others = further.partition("\nlayer") if self.kind else (further, "", "")
            net = until + layer + own.rstrip().removesuffix("}") + change + " }" + begun + others
            return replace(self, net=net)
        names = {name: value.copy() for name, value in self.inputs.items()}
        exec(change, {"np": np, "nan": np.nan, "inf": np.inf}, names)
        return replace(self, inputs={name: np.asarray(value, np.float64) for name, value in names.items()})

    def run(self, dialect: str | Dialect = "documented") -> Answer:
        """One forward and one backward. Raises `NetError` where the reference refuses."""
        known = Dialect.named(dialect) if isinstance(dialect, str) else dialect
        forms = dict(form.split(":") for form in self.forms[:1])
        net = Net(self._declared(), dialect=Dialect(known.name, known.taken, known.true_derivatives, forms))
        for name, value in self.inputs.items():
            net.blobs[name].data[...] = value
        loss = net.forward()
        net.backward()
        return Answer(loss, {name: net.blobs[name].diff.copy() for name in net.blobs}, net.met.touched)

    def run_derivative(self) -> Answer:
        """With the true derivative in place of Caffe's gradient."""
        return self.run(Dialect("derivative", (), DEPARTURES))

    def _declared(self) -> Any:
        """The net, its inputs of the shapes that they have here."""
        param = parse_net(self.net)

        def declared(layer: LayerParameter) -> LayerParameter:
            if layer.type != "Input":
                return layer
            shape = BlobShape(dim=self.inputs[layer.top[0]].shape)
            return replace(layer, input_param=replace(layer.input_param, shape=(shape,)))

        return replace(param, layer=tuple(declared(layer) for layer in param.layer))


def _blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def assigned(equation: str) -> tuple[str, Any]:
    """The two sides of a cell such as ``dx[0] = [0, nan]``."""
    name, values = equation.split(" = ")
    return name, numbers(values)


def numbers(text: str) -> Any:
    """Numbers as they are printed: one, or nested lists of `Decimal`."""
    spelled = text.replace("nan", "NaN").replace("inf", "Infinity")
    return json.loads(spelled, parse_float=Decimal, parse_int=Decimal, parse_constant=Decimal)


def agrees(said: Any, is_: Any) -> bool:
    """Whether numbers as printed are those of an array, in its shape."""
    if isinstance(said, list):
        rows = list(np.asarray(is_)) if np.ndim(is_) else []
        return len(said) == len(rows) and all(agrees(a, b) for a, b in zip(said, rows, strict=True))
    if np.ndim(is_) or not said.is_finite():
        return not np.ndim(is_) and bool(np.array_equal(float(said), float(is_), equal_nan=True))
    _, digits, exponent = said.as_tuple()
    last = Decimal(10) ** int(exponent) if len(digits) >= FEW_DIGITS else Decimal(0)
    return bool(abs(Decimal(float(is_)) - said) <= last * Decimal("0.5001") + abs(said) * Decimal("1e-14"))
