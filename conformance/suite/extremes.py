"""Extremes: saturated and equal scores, floors of logarithms, kinks, subnormal numbers, NaN, infinities and overflow.

Where one entry is not finite the others still have to be right, and where scores are huge the loss has to be right to
its last digits. Left out are values on which Caffe's answer is an accident: of the order in which it multiplies two
numbers that may overflow, or of how it compares a NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.contract.outcome import Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Element, Status, Verdict
from conformance.judge.serving import STEMS
from conformance.judge.tolerance import large_count_bound
from conformance.losses.nets import layer, source
from conformance.requirements import CATALOGUE
from conformance.suite.judged import bundle, guarded

__all__ = ["Extreme", "checks", "extremes"]

FAMILY = "extremes"
WEIGHT = 2.5
HUGE_WEIGHT = 3e38
SUBNORMAL = 1e-40
NAN, INF = np.nan, np.inf

_LEARNED = {"contrastive_loss": ("x", "z"), "euclidean_loss": ("x", "z")}


@dataclass(frozen=True)
class Extreme:
    """One loss layer on bottoms of extreme values, in the order of the layer's bottoms."""

    stem: str
    name: str
    facets: tuple[str, ...]
    bottoms: Mapping[str, Array]
    options: str = ""
    weight: float = WEIGHT

    def case(self) -> Case:
        parameters = ("x",) if self.stem == "infogain_loss" else ()
        net = "" if parameters else "force_backward: true\n"
        net += "".join(source(name, array.shape, name in parameters) for name, array in self.bottoms.items())
        net += layer("loss", STEMS[self.stem], self.bottoms, weights=(self.weight,), options=self.options)
        inputs = {name: array for name, array in self.bottoms.items() if name not in parameters}
        params = {name: (self.bottoms[name],) for name in parameters}
        return Case(f"{FAMILY}/{self.stem}/{self.name}", net, inputs, params=params)

    @property
    def requirements(self) -> tuple[str, ...]:
        return tuple(f"{self.stem}.{facet}" for facet in self.facets)


def checks() -> Iterator[Check]:
    """One check for each layer."""
    for stem, kind in STEMS.items():
        cases = [(extreme.case(), extreme.requirements) for extreme in extremes() if extreme.stem == stem]
        yield bundle(f"{FAMILY}/{stem}", stem, cases, layer_types=(kind,))
    yield from _large_counts()


def extremes() -> Iterator[Extreme]:
    yield from _softmax()
    yield from _infogain()
    yield from _sigmoid()
    yield from _hinge()
    yield from _multinomial()
    yield from _euclidean()
    yield from _contrastive()


Rows = Sequence[Sequence[float]]
FORMULA = ("forward", "backward")


def _array(rows: Any) -> Array:
    """Numbers that float32 holds, so that either type is fed the same."""
    return np.asarray(rows, dtype=np.float32).astype(np.float64)


def _softmax() -> Iterator[Extreme]:
    def of(name: str, facets: tuple[str, ...], x: Rows, y: Sequence[float], **fields: Any) -> Extreme:
        return Extreme("softmax_with_loss", name, facets, {"x": _array(x), "y": _array(y)}, **fields)

    for name, facets, x, y in _logits(floor=87.3365):
        yield of(name, facets, x, y)
    ignoring = "loss_param { ignore_label: 9 }"
    yield of(
        "nan-ignored", ("nonfinite", "ignore-label"), [[NAN, 1, 2], [1, 2, 3], [INF, 1, 2]], [9, 0, 9], options=ignoring
    )
    yield of("huge-weight", ("loss-weight",), [[0.75] * 5], [2], weight=HUGE_WEIGHT)


def _infogain() -> Iterator[Extreme]:
    def of(name: str, facets: tuple[str, ...], x: Rows, y: Sequence[float], **fields: Any) -> Extreme:
        classes = len(x[0])
        matrix = np.eye(classes) + np.eye(classes, k=1) / 4 - np.eye(classes, k=-1) / 8
        return Extreme("infogain_loss", name, facets, {"x": _array(x), "y": _array(y), "H": matrix}, **fields)

    for name, facets, x, y in _logits(floor=46.0517):
        yield of(name, facets, x, y)
    ignoring = "loss_param { ignore_label: 9 }"
    yield of(
        "nan-ignored", ("nonfinite", "ignore-label"), [[NAN, 1, 2], [1, 2, 3], [INF, 1, 2]], [9, 0, 9], options=ignoring
    )
    yield of("huge-weight", ("loss-weight",), [[0.75] * 5], [4], weight=HUGE_WEIGHT)


def _logits(floor: float) -> Iterator[tuple[str, tuple[str, ...], Rows, Sequence[float]]]:
    """Name, facets, scores and labels; ``floor`` is minus the logarithm of the smallest probability."""
    yield "equal", FORMULA, [[0.75] * 5] * 3, [0, 2, 4]
    yield "last-class", FORMULA, [[1, 2, 3], [0.5, -1, 0.25], [3, 0, 0]], [2, 2, 2]
    yield "one-class", ("single-class", *FORMULA), [[0.5], [1e4], [-1e4]], [0, 0, 0]
    yield "subnormal", FORMULA, [[SUBNORMAL, 0, -SUBNORMAL], [-0.0, 0, 1e-42]], [0, 2]
    yield "huge", ("saturation", "log-floor"), [[1e4, 0, -1e4], [1e4, 0, -1e4], [-1e4, -1e4, 1 - 1e4]], [0, 2, 1]
    apart: Rows = [[1e4, 1e4 + 1.5, 1e4 - 0.25], [-1e4, 0.5 - 1e4, -1e4], [3, 1, 2], [3e4, 3e4 - 4, 3e4]]
    yield "rows-far-apart", ("saturation", *FORMULA), apart, [0, 1, 2, 1]
    yield "nearly-certain", ("saturation",), [[0, -10], [0, -17], [0, -30], [0, -60], [-100, 0]], [0, 0, 0, 0, 1]
    beside: Rows = [[0, -(floor - 0.25)], [0, -(floor + 0.25)], [0, -(floor + 15)], [0, -1000], [0, -(floor - 15)]]
    yield "floor", ("log-floor",), beside, [1, 1, 1, 1, 1]
    yield "nan", ("nonfinite",), [[1, 2, 3], [NAN, 1, 2], [3, NAN, 0], [0.5, -1, 0.25]], [0, 2, 1, 2]
    infinite: Rows = [[1, 2, 3], [INF, 1, 2], [3, INF, 0], [INF, 0, INF], [-INF, -INF, -INF], [0.5, -1, 0.25]]
    yield "infinite", ("nonfinite",), infinite, [0, 2, 1, 0, 1, 2]
    yield "minus-infinite", ("nonfinite", "log-floor"), [[1, -INF, 3], [-INF, 1, 2], [0.5, -INF, -INF]], [0, 0, 0]


def _sigmoid() -> Iterator[Extreme]:
    def of(name: str, facets: tuple[str, ...], x: Rows, t: Rows, **fields: Any) -> Extreme:
        return Extreme("sigmoid_cross_entropy_loss", name, facets, {"x": _array(x), "t": _array(t)}, **fields)

    yield of("equal", FORMULA, [[0.0] * 5] * 2, [[0, 1, 0.5, 0.25, 1]] * 2)
    yield of("subnormal", FORMULA, [[SUBNORMAL, -SUBNORMAL, -0.0]], [[1, 0, 0.5]])
    yield of("huge", ("saturation",), [[1e4, -1e4, 1e4], [-1e4, 1e4, -1e4]], [[1, 1, 0], [0, 0.5, 0.5]])
    tails = [5.0, 17.0, 40.0, 88.0, 90.0, 104.0, 200.0, 710.0, 800.0]
    for name, sign in (("right", 1), ("left", -1)):
        x = [[sign * size for size in tails]] * 3
        yield of(f"{name}-tail", ("saturation",), x, [[0] * 9, [1] * 9, [0.25] * 9])
    yield of("certain", ("saturation",), [[30, 60, 90, -30, -60, -90]], [[1, 1, 1, 0, 0, 0]])
    yield of("targets-outside", FORMULA, [[3, 1, -2], [0.5, -4, 0]], [[2, -1, 100], [-3, 7, 2]])
    yield of("overflow", ("nonfinite",), [[1.5e38, -1.5e38, 1.25e38, 1]], [[0, 1, 0, 0]])
    yield of("nan", ("nonfinite",), [[NAN, 1, 2], [3, -1, 0]], [[1, 0, 0.5], [NAN, 1, 0]])
    yield of("infinite", ("nonfinite",), [[INF, -INF, 2], [3, INF, -INF]], [[1, 0, 0.5], [0, 0, 1]])
    ignoring = "loss_param { ignore_label: 9 }"
    yield of(
        "nan-ignored",
        ("nonfinite", "ignore-label"),
        [[NAN, 1, INF], [1, 2, 3]],
        [[9, 0, 9], [0, 9, 1]],
        options=ignoring,
    )
    yield of("huge-weight", ("loss-weight",), [[0.0] * 5], [[1, 0, 1, 0, 1]], weight=HUGE_WEIGHT)


def _hinge() -> Iterator[Extreme]:
    def of(name: str, norm: str, facets: tuple[str, ...], x: Rows, y: Sequence[float], **fields: Any) -> Extreme:
        options = f"hinge_loss_param {{ norm: {norm} }}"
        bottoms = {"x": _array(x), "y": _array(y)}
        return Extreme("hinge_loss", f"{name}-{norm.lower()}", facets, bottoms, options, **fields)

    near = 2.0**-23
    for norm in ("L1", "L2"):
        yield of("kink", norm, ("kink", *FORMULA), [[1, -1, -1, 0.5], [-1, 1, -1, -1]], [0, 3])
        sides: Rows = [[1 + near, -1 + near, -1 - near], [-1 + near, -1 - near, 1 - near]]
        yield of("beside-kink", norm, ("kink",), sides, [0, 2])
        yield of("last-class", norm, FORMULA, [[1, 2, 3], [0.5, -1, 0.25]], [2, 2])
        yield of("subnormal", norm, FORMULA, [[SUBNORMAL, -SUBNORMAL, -0.0]], [1])
        yield of("huge", norm, FORMULA, [[1e4, -1e4, 1e4], [-1e4, 1e4, -1e4]], [0, 2])
        yield of("overflow", norm, ("nonfinite",), [[2e38, 3e38, -3e38], [0.5, -1, 0.25]], [1, 0])
        yield of("infinite", norm, ("nonfinite",), [[INF, -INF, 0.5], [0.5, INF, -1], [1, 2, -INF]], [2, 1, 0])
        yield of("infinite-label", norm, ("nonfinite",), [[INF, -2, 0.5], [-INF, 0.5, -1]], [0, 0])
    # L1's slope at NaN is a comparison's, and differs from one right program to the next; L2's is the margin.
    yield of("nan", "L2", ("nonfinite",), [[NAN, 1, 2], [3, 0.5, 0], [0.5, -1, NAN]], [1, 1, 2])
    yield of("huge-weight", "L1", ("loss-weight",), [[0.0] * 5], [2], weight=HUGE_WEIGHT)


def _multinomial() -> Iterator[Extreme]:
    def of(name: str, facets: tuple[str, ...], p: Rows, y: Sequence[float], **fields: Any) -> Extreme:
        return Extreme("multinomial_logistic_loss", name, facets, {"x": _array(p), "y": _array(y)}, **fields)

    yield of("equal", FORMULA, [[0.25] * 4] * 3, [0, 3, 1])
    yield of("last-class", FORMULA, [[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]], [2, 2])
    yield of("one-class", ("single-class",), [[1], [0.5], [0.25]], [0, 0, 0])
    yield of("floor", ("log-floor",), [[1.1e-20, 1], [0.9e-20, 1], [1e-38, 1], [1, SUBNORMAL], [0, 1]], [0, 0, 0, 1, 0])
    yield of("negative", ("log-floor",), [[-1, 0.5], [0.5, -1e10], [-0.0, 1]], [0, 1, 0])
    yield of("above-one", FORMULA, [[1, 0.5], [1.5, 0.5], [0.5, 1e20], [3e38, 1]], [0, 0, 1, 0])
    yield of("nan", ("nonfinite",), [[NAN, 0.5, 0.25], [0.5, 0.25, 0.25]], [0, 1])
    yield of("nan-elsewhere", ("nonfinite",), [[NAN, 0.5, INF], [0.5, -INF, 0.25]], [1, 2])
    yield of("infinite", ("nonfinite",), [[INF, 0.5], [0.5, 0.25]], [0, 1])
    yield of("minus-infinite", ("nonfinite", "log-floor"), [[-INF, 0.5], [0.5, 0.25]], [0, 1])
    yield of("huge-weight", ("loss-weight",), [[0.25, 0.5, 0.25]], [2], weight=HUGE_WEIGHT)


def _euclidean() -> Iterator[Extreme]:
    def of(name: str, facets: tuple[str, ...], a: Rows, b: Rows, **fields: Any) -> Extreme:
        return Extreme("euclidean_loss", name, facets, {"x": _array(a), "z": _array(b)}, **fields)

    yield of(
        "equal", ("equal-bottoms",), [[1e30, -0.1, SUBNORMAL], [0, 3e38, 7]], [[1e30, -0.1, SUBNORMAL], [-0.0, 3e38, 7]]
    )
    yield of("cancelling", FORMULA, [[1e4, -1e4, 1e15]], [[1e4 + 2.0**-9, -1e4, 1e15 * (1 + 2.0**-22)]])
    yield of("subnormal", FORMULA, [[SUBNORMAL, 0, 1e-38], [0.5, -1, 2]], [[0, SUBNORMAL, 1.5e-38], [0.5, 1, 2]])
    yield of("underflow", FORMULA, [[1e-25, -3e-30], [0, 1e-22]], [[0, 0], [2e-25, 0]])
    yield of("overflow", ("nonfinite",), [[1e20, -1e25], [1, 2]], [[-1e20, 1e25], [0, 4]])
    yield of("nan", ("nonfinite",), [[NAN, 1, 2], [3, -1, 0]], [[1, 0, 0.5], [1, NAN, 0]])
    yield of("infinite", ("nonfinite",), [[INF, 1, -INF], [3, -1, 0]], [[1, 0, 0.5], [1, INF, 0]])
    yield of("infinite-twice", ("nonfinite",), [[INF, 1], [3, -1]], [[INF, 0], [1, 0]])
    yield of("huge-weight", ("loss-weight",), [[1, 0, 0.5, 1]], [[0, 1, 0.5, 2]], weight=HUGE_WEIGHT)


def _contrastive() -> Iterator[Extreme]:
    def of(
        name: str, facets: tuple[str, ...], gaps: Rows, similar: Sequence[float], options: str = "", **fields: Any
    ) -> Extreme:
        gap = _array(gaps)
        start = np.zeros_like(gap) if np.abs(gap[np.isfinite(gap)]).max() < 2.0**-5 else np.full_like(gap, 0.5)
        bottoms = {"x": _array(start + gap), "z": start, "s": _array(similar)}
        block = f"contrastive_loss_param {{ {options} }}" if options else ""
        return Extreme("contrastive_loss", name, facets, bottoms, block, **fields)

    inside, outside = 4 * (1 - 2.0**-20), 4 * (1 + 2.0**-20)
    for name, legacy, at_margin in (("", "", "margin: 5"), ("legacy-", "legacy_version: true ", "margin: 25")):
        yield of(
            f"{name}zero-distance",
            ("zero-distance", *FORMULA),
            [[0, 0], [0, 0], [1, 0]],
            [0, 1, 0],
            legacy + "margin: 2",
        )
        yield of(f"{name}at-margin", ("margin", *FORMULA), [[3, 4], [3, 4], [-4, 3]], [0, 1, 0], legacy + at_margin)
        beside: Rows = [[3, inside], [3, outside], [-3, inside], [0, 1]]
        yield of(f"{name}beside-margin", ("margin", *FORMULA), beside, [0, 0, 1, 0], legacy + at_margin)
        yield of(f"{name}near", FORMULA, [[2.0**-10, 0], [2.0**-13, 2.0**-14], [0, 2.0**-7]], [0, 0, 1], legacy)
        yield of(f"{name}tiny", FORMULA, [[2.0**-60, 0], [2.0**-55, 2.0**-60], [2.0**-50, 0]], [0, 0, 1], legacy)
        yield of(f"{name}no-margin", ("margin",), [[0.25, 0], [0, 0], [0, 0.5]], [0, 0, 1], legacy + "margin: 0")
        yield of(f"{name}negative-margin", ("margin",), [[0.25, 0], [0, 0], [0, 0.5]], [0, 0, 1], legacy + "margin: -1")
        yield of(f"{name}far", FORMULA, [[1e4, -1e4], [1e4, 0], [0.25, 0]], [0, 1, 0], legacy)
        yield of(f"{name}overflow", ("nonfinite",), [[1e20, 0], [1e20, -1e25], [0.25, 0]], [0, 1, 0], legacy)
        yield of(f"{name}nan", ("nonfinite",), [[NAN, 0.25], [0.25, 0], [0, 0.5]], [1, 0, 1], legacy)
        yield of(f"{name}infinite", ("nonfinite",), [[INF, 0.25], [-INF, 0], [0, 0.5], [0.5, 0]], [1, 0, 1, 0], legacy)
    yield of("huge-weight", ("loss-weight",), [[1, -1, 1, 1]], [1], weight=HUGE_WEIGHT)


LARGE_COUNT = 2**20
"""Terms: a running float32 sum of as many is visibly wrong, and the answer still fits into one message."""


def _large_counts() -> Iterator[Check]:
    """A loss of a million terms, all but one of them equal, whose exact sum is a closed form."""
    side, terms = int(LARGE_COUNT**0.5), LARGE_COUNT
    tenth, nine_tenths = (float(np.float32(x)) for x in (0.1, 0.9))
    image = {"x": np.zeros((1, 2, side, side)), "y": np.zeros((1, side, side))}
    row, column = np.ones((1, terms)), np.ones((terms, 1))
    yield _large_count("softmax_with_loss", image, np.log(2.0))
    yield _large_count("infogain_loss", {**image, "H": np.eye(2)}, np.log(2.0))
    yield _large_count("sigmoid_cross_entropy_loss", {"x": 0 * row, "t": 0 * row}, terms * np.log(2.0))
    margins = (terms - 1) * (1 - nine_tenths) + (1 + nine_tenths)
    yield _large_count("hinge_loss", {"x": -nine_tenths * row, "y": np.zeros(1)}, margins)
    yield _large_count("multinomial_logistic_loss", {"x": tenth * column, "y": np.zeros(terms)}, -np.log(tenth))
    yield _large_count("euclidean_loss", {"x": tenth * row, "z": 0 * row}, terms * tenth**2 / 2)
    pairs = {"x": tenth * column, "z": 0 * column, "s": np.ones(terms)}
    yield _large_count("contrastive_loss", pairs, tenth**2 / 2)


def _large_count(stem: str, bottoms: Mapping[str, Array], exact: float) -> Check:
    requirement = f"{stem}.large-count-accuracy"
    case = replace(Extreme(stem, "large-count", (), bottoms, weight=1.0).case(), steps=("forward",))

    def body(session: Session) -> Iterator[Verdict]:
        answer, level = session.run(case), CATALOGUE[requirement].level
        if isinstance(answer, Refusal):
            reason = f"refused at {answer.stage}: {answer.message}"
            yield Verdict(case.id, requirement, session.dtype, Status.FAILED, level, reason=reason)
            return
        bound, error = large_count_bound(LARGE_COUNT, session.dtype) * exact, abs(answer.loss - exact)
        reason = "" if error <= bound else f"net loss: got {answer.loss:.9g}, want {exact:.9g} within {bound:.2g}"
        element = Element("total", (), answer.loss, exact, bound) if reason else None
        room = np.nan_to_num(bound / error) if error else INF
        status = Status.FAILED if reason else Status.PASSED
        yield Verdict(case.id, requirement, session.dtype, status, level, None, room, reason, element=element)

    return Check(
        case.id,
        FAMILY,
        stem,
        (requirement,),
        lambda session: guarded(session, case.id, [requirement], lambda: body(session)),
        dtypes=("float32",),
        core=False,
        layer_types=(STEMS[stem],),
    )
