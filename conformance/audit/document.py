"""Document: a net as people have it, in a file of its own, within a solver or named by one."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from conformance.audit.solver import FIELDS, NETS, SolverParameter
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


def read_document(path: Path, phase: str = "TRAIN") -> Document:
    """The net of a file, or the one that a solver file trains or, in phase TEST, tests first.

    Raises `UsageError` for a file that cannot be read, that is no net, or a solver whose net cannot be found.
    """
    tree = _tree(path)
    if not _is_solver(tree):
        return _document(path, tree)
    foreign: list[Foreign] = []
    solver = _read(path, lambda: read_message(SolverParameter, tree, foreign))
    given = [name for name in NETS if solver.has(name)]
    if len(given) > 1:
        raise UsageError(f"{path} gives {' and '.join(given)}: Caffe takes one of them; leave the others away")
    tested = [name for name in ("test_net_param", "test_net") if getattr(solver, name)]
    asked = (tested if phase == "TEST" else []) or given
    if not asked:
        raise UsageError(f"{path} is a solver that names no net to train: give it net, train_net or net_param")
    value = tree.all(asked[0])[0]
    if isinstance(value, Block):
        return _of_solver(_document(path, value), solver, path, phase)
    found = _found(path, value.text)
    named = _tree(found)
    if _is_solver(named):
        raise UsageError(f"{path} trains {value.text}, which is a solver: name the prototxt of a net")
    return _of_solver(_document(found, named), solver, path, phase)


def _is_solver(tree: Block) -> bool:
    names = {item.name for item in tree.fields}
    return bool(names & FIELDS) and not names & {"layer", "layers"}


def _of_solver(document: Document, solver: SolverParameter, path: Path, phase: str) -> Document:
    """With the solver's own state, which is merged into the net's."""
    own = solver.train_state if phase == "TRAIN" else (*solver.test_state, NetState())[0]
    state = replace(
        document.state,
        level=own.level if own.has("level") else document.state.level,
        stage=(*document.state.stage, *own.stage),
    )
    batches = max(1, solver.iter_size) if phase == "TRAIN" else 1
    return replace(document, state=state, iter_size=batches, solver=str(path))


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
    content = content_of(path, largest=LARGEST)
    text = content.decode("utf-8", "backslashreplace")  # comments are of any encoding, and Caffe does not look at it
    try:
        return read_text(text)
    except PrototxtError as error:
        template = _template(text, error.line)
        if template:
            raise UsageError(
                f"{path}, line {template[0]}: a template, not a net ({template[1]} is to be filled in): give its output"
            ) from None
        if not _is_utf8(content.split(b"\n")[(error.line or 1) - 1]):
            raise UsageError(f"{path}, line {error.line}: not UTF-8: a binary proto? Give the text format") from None
        raise UsageError(f"{path}: {error}") from None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


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
