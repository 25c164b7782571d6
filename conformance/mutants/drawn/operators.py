"""Mechanical mutants: one operator, constant, comparison or statement changed in the source of a loss's reference."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from conformance.losses import LOSSES
from conformance.mutants.mutant import Mutant
from conformance.record.cause import Cause
from refimpl.layer import Layer

__all__ = ["mechanical", "places"]

_HELPERS = ("normalisation", "logits_loss", "softmax")
"""Modules of `refimpl.layers` whose functions losses are made of."""

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


def places(stem: str) -> list[tuple[str, int, str]]:
    """Every change that there is: the module, its place in the tree, and what is done, in the order of the source."""
    found = []
    for module in _modules(stem):
        for index, (node, what) in enumerate(_edits(_tree(module))):
            found.append((module, index, f"line {getattr(node, 'lineno', 0)}: {what}"))
    return found


def mechanical(stem: str, number: int) -> Mutant | None:
    """The mutant of one of the `places`; None where the changed source does not make a class."""
    module, index, what = places(stem)[number]
    tree = _parse(module)
    _apply(tree, index)
    try:
        changed = _class_of(stem, module, tree)
    except Exception:
        return None
    return Mutant(
        f"{stem}/mechanical-{number}",
        f"refimpl/layers/{module}.py, {what}",
        "mechanical",
        Cause.NONE,
        {LOSSES[stem].type: changed},
    )


def _modules(stem: str) -> list[str]:
    text = _source(stem)
    used = [name for name in _HELPERS if f"refimpl.layers.{name}" in text]
    if "logits_loss" in used:
        used = list(_HELPERS)
    return [stem, *used]


def _source(module: str) -> str:
    file = import_module(f"refimpl.layers.{module}").__file__
    assert file is not None
    return Path(file).read_text("utf-8")


@cache
def _tree(module: str) -> ast.Module:
    return _parse(module)


def _parse(module: str) -> ast.Module:
    return ast.parse(_source(module))


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


def _class_of(stem: str, changed: str, tree: ast.Module) -> type[Layer]:
    """The loss's class, its module and what it is made of executed anew with one module changed."""
    order = [name for name in ("normalisation", "softmax", "logits_loss") if name in _modules(stem)] + [stem]
    names = [f"refimpl.layers.{name}" for name in order]
    before = {name: sys.modules[name] for name in names}
    try:
        for name, full in zip(order, names, strict=True):
            module = ModuleType(full)
            module.__file__ = before[full].__file__
            code = tree if name == changed else _parse(name)
            exec(compile(code, str(module.__file__), "exec"), module.__dict__)
            sys.modules[full] = module
        found: type[Layer] = getattr(sys.modules[f"refimpl.layers.{stem}"], LOSSES[stem].layer.__name__)
        return found
    finally:
        sys.modules.update(before)
