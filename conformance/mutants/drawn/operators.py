"""Mechanical mutants: one operator, constant, comparison or statement changed in the source of a loss, of its
reference or of its kernels."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from numba.core.caching import NullCache

from conformance.losses import KNOWN
from conformance.mutants.mutant import Mutant
from conformance.record.cause import Cause
from refimpl.fast.layers import KERNELS as KERNEL_LAYERS
from refimpl.layer import Layer

__all__ = ["KERNELS", "REFERENCE", "Sources", "mechanical", "places"]

Edit = Callable[[ast.AST], None]
_SWAPS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt,),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt,),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,),
}
_TWINS = {"maximum": "minimum", "minimum": "maximum"}


@dataclass(frozen=True)
class Sources:
    """A ``package`` with a module for each loss, and modules that losses are made of, each after those it uses."""

    package: str
    shared: tuple[str, ...]

    def modules(self, stem: str) -> list[str]:
        """What a loss is made of, itself last."""
        used, asked = set[str](), [stem]
        while asked:
            text = self._text(asked.pop())
            found = {name for name in self.shared if f"{self.package}.{name} " in text} - used
            used |= found
            asked += found
        return [*(name for name in self.shared if name in used), stem]

    def tree(self, module: str) -> ast.Module:
        return ast.parse(self._text(module))

    def changed(self, stem: str, module: str, tree: ast.Module) -> ModuleType:
        """The loss's module, made anew of the same sources but for one. Kernels that are made so are neither looked for
        nor kept in the cache, where they would go by the names of the right ones."""
        names = {name: f"{self.package}.{name}" for name in self.modules(stem)}
        before = {full: import_module(full) for full in names.values()}
        compiling: Any = import_module("refimpl.fast.cpu.kernel")
        cache, compiling.KernelCache = compiling.KernelCache, _NoCache
        try:
            for name, full in names.items():
                made = ModuleType(full)
                made.__file__ = before[full].__file__
                code = tree if name == module else self.tree(name)
                exec(compile(code, str(made.__file__), "exec"), made.__dict__)
                sys.modules[full] = made
            return sys.modules[names[stem]]
        finally:
            sys.modules.update(before)
            compiling.KernelCache = cache

    def _text(self, module: str) -> str:
        file = import_module(f"{self.package}.{module}").__file__
        assert file is not None
        return Path(file).read_text("utf-8")


class _NoCache(NullCache):  # type: ignore[misc]
    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()


REFERENCE = Sources("refimpl.layers", ("normalisation", "softmax", "logits_loss"))
KERNELS = Sources("refimpl.fast.cpu", ("normaliser", "pointwise", "softmax", "logits"))


def places(stem: str, sources: Sources = REFERENCE) -> list[tuple[str, int, str]]:
    """Every change that there is: the module, its place in the tree, and what is done, in the order of the source."""
    found = []
    *shared, own = sources.modules(stem)
    for module in (own, *shared):
        for index, (node, what) in enumerate(_edits(sources.tree(module))):
            found.append((module, index, f"line {getattr(node, 'lineno', 0)}: {what}"))
    return found


def mechanical(stem: str, number: int, sources: Sources = REFERENCE) -> Mutant | None:
    """The mutant of one of the `places`; None where the changed source does not make a class."""
    module, index, what = places(stem, sources)[number]
    tree = sources.tree(module)
    _apply(tree, index)
    make = _layer if sources is REFERENCE else _kernel_layer
    try:
        changed = make(stem, sources.changed(stem, module, tree))
    except Exception:
        return None
    kind = "mechanical" if sources is REFERENCE else "kernel"
    path = f"{sources.package.replace('.', '/')}/{module}.py"
    return Mutant(f"{stem}/{kind}-{number}", f"{path}, {what}", kind, Cause.NONE, {KNOWN[stem].type: changed})


def _layer(stem: str, module: ModuleType) -> type[Layer]:
    found: type[Layer] = getattr(module, KNOWN[stem].layer.__name__)
    return found


def _kernel_layer(stem: str, module: ModuleType) -> type[Layer]:
    """The layer on other kernels."""
    layer = KERNEL_LAYERS[KNOWN[stem].layer]
    return type(layer.__name__, (layer,), {"kernels": module})


def _edits(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node, what, _ in _all(tree):
        yield node, what


def _apply(tree: ast.Module, index: int) -> None:
    for i, (node, _, edit) in enumerate(_all(tree)):
        if i == index:
            edit(node)
            break
    ast.fix_missing_locations(tree)


def _all(tree: ast.Module) -> Iterator[tuple[ast.AST, str, Edit]]:
    """Every change inside functions, but for annotations, docstrings and what an error says."""
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        for statement in function.body:
            for node in _inside(statement):
                yield from _of_node(node)


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, (ast.Raise, ast.JoinedStr)):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _inside(child)


def _of_node(node: ast.AST) -> Iterator[tuple[ast.AST, str, Edit]]:
    if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)):
        for other in _SWAPS.get(type(node.op), ()):
            yield node, f"{type(node.op).__name__} becomes {other.__name__}", _set("op", other())
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in _SWAPS.get(type(node.ops[0]), ()):
            yield node, f"{type(node.ops[0]).__name__} becomes {other.__name__}", _set("ops", [other()])
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        for value in {node.value + 1, node.value * 2, 0} - {node.value}:
            yield node, f"{node.value} becomes {value}", _set("value", value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
        yield (
            node,
            f"{type(node.op).__name__} is lost",
            _set("op", ast.UAdd()) if isinstance(node.op, ast.USub) else _drop,
        )
    if isinstance(node, (ast.If, ast.IfExp)):
        yield node, "the condition holds never", _set("test", ast.Constant(False))
        yield node, "the condition holds always", _set("test", ast.Constant(True))
    if isinstance(node, ast.Call) and len(node.args) == 2 and not node.keywords:
        yield node, "the arguments change places", lambda call: call.args.reverse()  # type: ignore[attr-defined]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _TWINS:
        twin = _TWINS[node.func.attr]
        yield node.func, f"{node.func.attr} becomes {twin}", _set("attr", twin)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, "the call is left out", _set("value", ast.Constant(None))


def _set(name: str, value: object) -> Edit:
    return lambda node: setattr(node, name, value)


def _drop(node: ast.AST) -> None:
    """``not x`` and ``~x`` become ``x``, as a double negation of which one is kept."""
    assert isinstance(node, ast.UnaryOp)
    node.operand = ast.UnaryOp(type(node.op)(), node.operand)
