"""Scenarios: what a bug has to show itself in. Small problems on the simulator, in several orders of their threads,
compared with the plain formulas; and the index arithmetic by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests import fast_formulas
from tests.cuda_bugs.package import Package

__all__ = ["Scenario", "euclidean", "findings", "huge_indices", "narrow_rows", "wide_rows", "with_ignored_labels"]

Answers = dict[str, tuple[Any, Any]]
"""What was computed, and what is right."""

Scenario = Callable[[Package], Answers]

ORDERS = (("forward", 0), ("reverse", 0), ("shuffled", 1), ("shuffled", 2))


def findings(package: Package, scenario: Scenario) -> list[str]:
    """Everything that is found wrong with a package, in any order of the threads; empty where nothing is."""
    found: list[str] = []
    for order, seed in ORDERS:
        device = package.module("simulator").Simulator(order, seed)
        try:
            with package.module("device").using(device), np.errstate(over="ignore"):
                answers = scenario(package)
        except package.module("memory").SimulationError as error:
            found.append(f"{order}: {error}")
        else:
            found += [f"{order}: {said}" for said in _differences(answers)]
    return found


def _differences(answers: Answers) -> Iterator[str]:
    for name, (got, want) in answers.items():
        if not np.allclose(got, want, rtol=1e-12, atol=1e-14):
            yield f"wrong {name}"


def _logits(rows: int, classes: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    return rng.standard_normal((rows, classes)), rng.integers(0, classes, rows)


def _softmax(package: Package, x: Any, labels: Any, ignore: int | None) -> Answers:
    loss, gradient, softmax = fast_formulas.softmax(x, labels, 1, ignore, "VALID")
    out, prob = np.empty_like(x), np.empty_like(x)
    function = package.module("softmax_with_loss").softmax_with_loss
    got = function(x, labels, ignore_label=ignore, out=out, prob=prob)
    return {"loss": (got, loss), "gradient": (out, gradient), "softmax": (prob, softmax)}


def narrow_rows(package: Package) -> Answers:
    """Rows of 10 classes, a team of 16 threads for each; 11 rows do not fill their two blocks of 8 teams."""
    return _softmax(package, *_logits(11, 10), None)


def wide_rows(package: Package) -> Answers:
    """Rows that a whole block works on, one after the other, and which end in the middle of its second turn."""
    package.module("grid").MOST_BLOCKS = 1
    return _softmax(package, *_logits(2, 161), None)


def with_ignored_labels(package: Package) -> Answers:
    """Labels that do not count."""
    x, labels = _logits(11, 4)
    labels[[0, 3, 10]] = 255
    return _softmax(package, x, labels, 255)


def euclidean(package: Package) -> Answers:
    """More entries than threads of a block, with a weight."""
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 5, 31))
    loss, gradient = fast_formulas.euclidean(a, b)
    out_a, out_b = np.empty_like(a), np.empty_like(a)
    got = package.module("euclidean_loss").euclidean_loss(a, b, top_diff=3.0, out_a=out_a, out_b=out_b)
    return {"loss": (got, loss), "gradient": (out_a, 3 * gradient), "other gradient": (out_b, -3 * gradient)}


def huge_indices(package: Package) -> Answers:
    """Threads of a grid too large to run: their indices alone."""
    flat_index = package.module("grid").flat_index
    numbers = ((2**24, 128, 0), (2**24 - 1, 128, 127), (2**31 - 1, 128, 5))
    right = [block * width + thread for block, width, thread in numbers]
    got = [int(flat_index(*(np.int32(number) for number in thread))) for thread in numbers]
    return {"flat index": (got, right)}
