"""Completing: what a shell offers for a word that is not finished. Nothing here fails, nothing of a person's is run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import click
from click.shell_completion import CompletionItem

__all__ = ["cases_that_fail", "families", "golden_cases", "implementations", "layers", "profiles", "types"]

LARGEST, MOST = 1 << 20, 200
"""Bytes of a Python file that is looked into, and how many files are."""

_Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _of(words: Callable[[click.Context, str], Iterable[str] | Mapping[str, str]]) -> _Completer:
    """Those of the words that begin as what is written does; a mapping's values are said beside them, where a shell
    shows more than words."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = words(context, incomplete)
        told = found if isinstance(found, Mapping) else dict.fromkeys(found)
        return [CompletionItem(word, help=told[word]) for word in told if word.startswith(incomplete)]

    return complete


@_of
def layers(context: click.Context, incomplete: str) -> list[str]:
    """Layers as ids spell them, and the net."""
    from conformance.losses import KNOWN

    return [*KNOWN, "net"]


@_of
def types(context: click.Context, incomplete: str) -> list[str]:
    """Types of losses."""
    from conformance.losses import KNOWN

    return [loss.type for loss in KNOWN.values()]


@_of
def profiles(context: click.Context, incomplete: str) -> list[str]:
    from conformance.losses import PROFILES

    return list(PROFILES)


@_of
def families(context: click.Context, incomplete: str) -> Mapping[str, str]:
    from conformance.views.words import FAMILIES

    return FAMILIES


@_of
def golden_cases(context: click.Context, incomplete: str) -> list[str]:
    from conformance.fixtures import case_ids

    return list(case_ids())


@_of
def cases_that_fail(context: click.Context, incomplete: str) -> list[str]:
    """Those of the report that is written before; none where there is no such report."""
    from conformance.contract.errors import NotWhole, Stopped, UsageError
    from conformance.record.reader import read_report

    try:
        report = read_report(Path(context.params["report"]))
    except (KeyError, TypeError, OSError, NotWhole, Stopped, UsageError):
        return []
    return list(dict.fromkeys(judged.verdict.check for judged in report.judged if judged.verdict.status.breaks))


@_of
def implementations(context: click.Context, incomplete: str) -> Mapping[str, str]:
    """The names of adapters, and what stands behind their colons in the working directory."""
    from conformance.adapters.opening import spellings

    known = spellings()
    name, colon, written = incomplete.partition(":")
    if colon:
        within = _WITHIN.get(name, _paths) if name in known else _nothing
        return {f"{name}:{word}": "" for word in within(written)}
    found = {}
    for spelling in known.values():
        needs = spelling.form.startswith(f"{spelling.name}:")
        found[spelling.name + ":" * needs] = spelling.what
        if not needs and spelling.functions:
            found[f"{spelling.name}:"] = spelling.what
    return found


def _nothing(written: str) -> Iterator[str]:
    yield from ()


def _paths(written: str) -> Iterator[str]:
    """Files and folders that begin so, a folder with a slash behind it."""
    folder = written.rpartition("/")[0]
    start = "/" if written.startswith("/") and not folder else folder
    for path in _entries(Path(start or ".")):
        yield written[: written.rfind("/") + 1] + path.name + "/" * path.is_dir()


def _classes_in_files(written: str) -> Iterator[str]:
    folder = written.partition(".py:")[0].rpartition("/")[0]
    for path in _python(Path(folder or ".")):
        before = f"{folder}/" if folder else ""
        yield from (f"{before}{path.name}:{name}" for name in _names(path, ast.ClassDef))


def _classes(written: str) -> Iterator[str]:
    yield from (f"{path.stem}:{name}" for path in _python(Path()) for name in _names(path, ast.ClassDef))


def _functions(written: str) -> Iterator[str]:
    yield from (f"{path.stem}:{name}" for path in _python(Path()) for name in _names(path, ast.FunctionDef))


_WITHIN = {"python-layer": _classes_in_files, "direct": _classes, "torch": _functions, "jax": _functions}


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _python(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.suffix == ".py"][:MOST]


def _names(path: Path, kind: type[ast.ClassDef] | type[ast.FunctionDef]) -> list[str]:
    """Of what a file defines at its top, without running it."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return []
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [each.name for each in body if isinstance(each, kind) and not each.name.startswith("_")]
