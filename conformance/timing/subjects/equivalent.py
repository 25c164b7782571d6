"""Equivalents: a loss in another library, from the text in its description."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from conformance.timing.problem import Problem
from conformance.timing.subjects import NotTimed

__all__ = ["equivalent"]


def equivalent(problem: Problem, library: str, **names: Any) -> Callable[..., Any]:
    """The problem's loss as a function of its bottoms; ``names`` are what the text calls the library's modules.

    Raises `NotTimed` where the description has no text for the library.
    """
    text = problem.loss.equivalents.get(library)
    if text is None:
        raise NotTimed(f"nobody has written {problem.loss.type} in {library}")
    scope = dict(names)
    exec(text, scope)
    return partial(scope["loss"], ignored=problem.ignore_label)
