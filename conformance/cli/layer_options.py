"""Options of ``lossconf run`` for layers of the user's own: how a Python layer is used, snippets of unknown layers."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from conformance.cli.completing import types
from conformance.contract.dtypes import DEFAULT
from conformance.contract.errors import UsageError
from conformance.contract.paths import text_of
from conformance.contract.selection import Selection

__all__ = ["about", "of_case_files", "python_layer_options", "read_snippets"]

SUFFIX = ".prototxt"


def python_layer_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add ``--as``, ``--param-str`` and ``--options-as-param-str``; they are written behind IMPLEMENTATION."""

    @click.option(
        "--as",
        "kind",
        metavar="TYPE",
        shell_complete=types,
        help="The layer type that a python-layer:, torch: or jax: computes.",
    )
    @click.option("--param-str", metavar="TEXT", help="What a python-layer: finds in self.param_str.")
    @click.option(
        "--options-as-param-str", is_flag=True, help="Give a python-layer: each case's options, as JSON in param_str."
    )
    @functools.wraps(function)
    def wrapped(
        implementation: str, kind: str | None, param_str: str | None, options_as_param_str: bool, **others: Any
    ) -> int:
        words = ["--as", kind] if kind is not None else []
        words += ["--param-str", param_str] if param_str is not None else []
        words += ["--options-as-param-str"] if options_as_param_str else []
        is_function = implementation.startswith(("torch:", "jax:"))
        refused = [] if implementation.startswith("python-layer:") else words[2:] if is_function and kind else words
        if refused:
            others_too = ", torch:MODULE:FUNCTION and jax:MODULE:FUNCTION" if refused[0] == "--as" else ""
            raise UsageError(f"{refused[0]} is for python-layer:FILE:CLASS{others_too}, and {implementation!r} is none")
        return function(implementation=" ".join([implementation, *map(shlex.quote, words)]), **others)

    return wrapped


def about(selection: Selection, losses: tuple[str, ...]) -> Selection:
    """The selection of a run with losses from outside: where it names nothing else, it is about them.

    Raises `UsageError` for a file that describes no loss.
    """
    from conformance.suite.outside import PROFILE, installed, load_loss

    found = [*installed(), *(load_loss(name) for name in losses)]
    asked = selection.profiles or selection.layers or selection.checks
    return selection if asked or not losses or not found else replace(selection, profiles=(PROFILE,))


def of_case_files(selection: Selection, texts: Sequence[str], snippets: Sequence[str]) -> Selection:
    """The selection of a run of case files, which chooses nothing but types beside them.

    Raises `UsageError` where it does, and for a text that holds no case.
    """
    from conformance.suite.case_file import FAMILY, planned

    chosen = (selection.families, selection.layers, selection.checks, selection.profiles, snippets)
    if any(chosen):
        raise UsageError("--case-file is about its case alone: run it without --family, --layer, --case and --profile")
    planned(texts, DEFAULT)
    return Selection((FAMILY,), dtypes=selection.dtypes)


def read_snippets(layers: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The layers to select, and the texts of the snippets among them: names that end in ``.prototxt``.

    Snippets alone select nothing: a run is about them then. Raises `UsageError` for a file that is no snippet.
    """
    from conformance.suite.snippet import Snippet

    files = [name for name in layers if name.endswith(SUFFIX)]
    texts = tuple(_read(name) for name in files)
    stems = tuple(Snippet.parse(text, name).stem for name, text in zip(files, texts, strict=True))
    named = tuple(name for name in layers if not name.endswith(SUFFIX))
    return ((*named, *stems) if named else ()), texts


def _read(name: str) -> str:
    return text_of(Path(name), "the snippet")
