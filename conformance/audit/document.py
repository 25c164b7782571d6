"""Document: a net as people have it, in a file of its own, within a solver or named by one."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from conformance.audit.solver import FIELDS, SolverParameter
from conformance.contract.errors import UsageError
from conformance.contract.paths import content_of
from refimpl.errors import NetError, PrototxtError
from refimpl.foreign import Foreign
from refimpl.messages import NetParameter, NetState
from refimpl.prototxt import read_message, read_net
from refimpl.textformat import Block, read_text

__all__ = ["Document", "read_document"]

T = TypeVar("T")

LARGEST = 1 << 26
"""Bytes of a net that are read."""

_TEMPLATE = re.compile(r"\$\{?[A-Za-z_]\w*\}?|\{\{.*?\}\}|\{%.*?%\}|<%.*?%>|%\(\w+\)[sd]|@[A-Z_]+@")
_NOT_THE_LAYERS = (" of include", " of exclude", ".phase", " of param", " of solver")


@dataclass(frozen=True)
class Document:
    """``net`` as read leniently, ``foreign`` what only a fork knows, ``lines`` the line of each of its layers.

    ``state`` is the solver's, if there is one; ``iter_size`` how many batches it adds up.
    """

    path: str
    net: NetParameter
    foreign: tuple[Foreign, ...]
    lines: tuple[int, ...]
    state: NetState
    iter_size: int = 1
    solver: str = ""

    def line(self, layer: str) -> int:
        """The line of a layer of this name; 0 for no layer of the net's."""
        return self._lines.get(layer, 0)

    def foreign_at(self, line: int) -> tuple[str, ...]:
        """What only a fork knows in the layers that begin on a line, their rules and their blobs' rates apart."""
        return self._foreign_at.get(line, ())

    @cached_property
    def _foreign_at(self) -> dict[int, tuple[str, ...]]:
        starts = sorted(set(self.lines))
        found: dict[int, set[str]] = {}
        for each in self.foreign:
            at = bisect_right(starts, each.line) - 1
            if at >= 0 and not each.name.endswith(_NOT_THE_LAYERS):
                found.setdefault(starts[at], set()).add(each.name)
        return {line: tuple(sorted(names)) for line, names in found.items()}

    @cached_property
    def _lines(self) -> dict[str, int]:
        pairs = zip((layer.name for layer in self.net.layer), self.lines, strict=True)
        return dict(reversed(list(pairs)))


def read_document(path: Path) -> Document:
    """The net of a file, or the one that a solver file trains.

    Raises `UsageError` for a file that cannot be read, that is no net, or a solver whose net cannot be found.
    """
    tree = _tree(path)
    names = {item.name for item in tree.fields}
    if names & {"layer", "layers"} or not names & FIELDS:
        return _document(path, tree)
    foreign: list[Foreign] = []
    solver = _read(path, lambda: read_message(SolverParameter, tree, foreign))
    for field in ("train_net_param", "net_param"):
        inside = next((value for value in tree.all(field) if isinstance(value, Block)), None)
        if inside is not None:
            return _trained(_document(path, inside), solver, path)
    named = solver.train_net or solver.net
    if not named:
        raise UsageError(f"{path} is a solver that names no net to train: give it net, train_net or net_param")
    found = _found(path, named)
    return _trained(read_document(found), solver, path)


def _trained(document: Document, solver: SolverParameter, path: Path) -> Document:
    return replace(document, state=solver.train_state, iter_size=max(1, solver.iter_size), solver=str(path))


def _found(solver: Path, named: str) -> Path:
    """Caffe looks from the directory it is run in: the solver's, or one above it."""
    tried = [folder / named for folder in (Path(), solver.parent, *solver.resolve().parents)]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    raise UsageError(
        f"{solver} trains {named}, which is neither in the working directory nor in a folder above the solver: "
        "run from where Caffe is run, or give the net itself"
    )


def _document(path: Path, tree: Block) -> Document:
    net, foreign = _read(path, lambda: read_net(tree))
    written = [value.line for name in ("layer", "layers") for value in tree.all(name) if isinstance(value, Block)]
    lines = (*[1] * (len(net.layer) - len(written)), *written)
    return Document(str(path), net, foreign, lines, net.state)


def _tree(path: Path) -> Block:
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name the net's prototxt")
    try:
        text = content_of(path, largest=LARGEST).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}: a binary proto? Give the text format") from None
    try:
        return read_text(text)
    except PrototxtError as error:
        template = _template(text, error.line)
        if template:
            raise UsageError(
                f"{path}, line {template[0]}: a template, not a net ({template[1]} is to be filled in): give its output"
            ) from None
        raise UsageError(f"{path}: {error}") from None


def _template(text: str, line: int | None) -> tuple[int, str] | None:
    """Line and text of a place to be filled in, that of the error if there is one on its line."""
    places = [
        (number, found.group())
        for number, each in enumerate(text.splitlines(), 1)
        if (found := _TEMPLATE.search(each.partition("#")[0]))
    ]
    return next((place for place in places if place[0] == line), places[0] if places else None)


def _read(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except NetError as error:
        raise UsageError(f"{path}: {error}") from None
