"""The extremes family passes on the reference in both dialects, and each plausible slip of an edge fails its cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Case
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.verdict import Level, Status
from conformance.judge.side import touched_by
from conformance.judge.tolerance import large_count_bound
from conformance.losses import KNOWN, LOSSES
from conformance.suite.extremes import LARGE_COUNT, case_of, checks, of_many_digits
from refimpl.blob import Blob
from tests.broken import Broken, after, failed, not_passed, run_family

DTYPES = ("float32", "float64")
SMALL = {stem: [check for check in checks() if check.layer == stem and check.core] for stem in LOSSES}
EXTREMES = [(loss, extreme) for loss in LOSSES.values() for extreme in loss.extremes]
LARGE = [check for check in checks() if not check.core]

S, G, C, H, M, E, K = (
    "softmax_with_loss",
    "infogain_loss",
    "sigmoid_cross_entropy_loss",
    "hinge_loss",
    "multinomial_logistic_loss",
    "euclidean_loss",
    "contrastive_loss",
)


@pytest.mark.parametrize("dialect", ["documented", "bvlc"])
def test_the_reference_passes(dialect: str) -> None:
    for asked in (None, dialect):
        verdicts = [
            v for stem in LOSSES for v in run_family(SMALL[stem], ReferenceImplementation(dialect), DTYPES, asked)
        ]
        assert not not_passed(verdicts)
        names = [(v.check, v.requirement, v.dtype) for v in verdicts]
        assert len(set(names)) == len(names)


def test_no_case_needs_more_than_one_quirk() -> None:
    for loss, extreme in EXTREMES:
        assert touched_by(case_of(loss, extreme)) <= {"hinge-swallows-nan"}
        assert bool(touched_by(case_of(loss, extreme))) == (loss.stem == H and extreme.name.startswith("nan"))


def test_either_type_is_fed_the_same_numbers() -> None:
    for _, extreme in EXTREMES:
        for array in extreme.bottoms:
            np.testing.assert_array_equal(array, array.astype(np.float32))


Values = Any
Formula = Callable[[Sequence[Values], Any], tuple[Values, Sequence[Values | None]]]


def computing(stem: str, formula: Formula) -> dict[str, Any]:
    """The layer with its loss and gradients replaced: ``formula`` gives the top, and per bottom the gradient or None
    where the reference's is kept."""

    def loss(layer: Any, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        with np.errstate(all="ignore"):
            value = formula([blob.data.copy() for blob in bottom], layer)[0]
            if value is not None:
                top[0].data[...] = value

    def gradients(layer: Any, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        with np.errstate(all="ignore"):
            for blob, gradient in zip(bottom, formula([blob.data.copy() for blob in bottom], layer)[1], strict=False):
                if gradient is not None:
                    blob.diff[...] = gradient * top[0].diff

    first = after(LOSSES[stem].type, "forward", loss)[LOSSES[stem].type]
    second = after(LOSSES[stem].type, "backward", gradients)[LOSSES[stem].type]
    return {LOSSES[stem].type: type("Computed", (first,), {"backward": second.backward})}


def softmax(x: Values, shift: Values) -> Values:
    powers = np.exp(x - shift)
    return powers / powers.sum(axis=1, keepdims=True)


def logits(p: Values, y: Values, floor: float) -> tuple[Values, Values]:
    """Loss and gradient of SoftmaxWithLoss, the labels counted that are classes."""
    labels = y.astype(int)
    counted = labels < p.shape[1]
    rows = np.arange(len(p))
    chosen = p[rows, np.where(counted, labels, 0)]
    losses = np.where(counted, -np.log(np.where(chosen < floor, floor, chosen)), 0.0)
    gradient = (p - np.eye(p.shape[1])[np.where(counted, labels, 0)]) * counted[:, None]
    return losses.sum() / max(1, counted.sum()), gradient / max(1, counted.sum())


TINY = 2.0**-126


def with_logits(shift: Callable[[Values], Values], floor: float = TINY) -> Formula:
    def formula(bottom: Sequence[Values], layer: Any) -> tuple[Values, Sequence[Values | None]]:
        loss, gradient = logits(softmax(bottom[0], shift(bottom[0])), bottom[1], floor)
        return loss, [gradient]

    return formula


def own_largest(x: Values) -> Values:
    return x.max(axis=1, keepdims=True)


def swallowing_nan(bottom: Sequence[Values], layer: Any) -> tuple[Values, Sequence[None]]:
    """CUDA's max(NaN, FLT_MIN) is FLT_MIN."""
    p = softmax(bottom[0], own_largest(bottom[0]))
    return logits(np.where(np.isnan(p), TINY, p), bottom[1], TINY)[0], [None]


def poisoned(bottom: Sequence[Values], layer: Any) -> tuple[None, Sequence[Values | None]]:
    """One entry that is not finite spoils the whole gradient."""
    spoilt = not all(np.isfinite(blob).all() for blob in bottom)
    return None, [np.full_like(bottom[0], np.nan) if spoilt else None]


def naive_sigmoid_loss(bottom: Sequence[Values], layer: Any) -> tuple[Values, Sequence[None]]:
    x, t = bottom
    s = 1 / (1 + np.exp(-x))
    return -(t * np.log(s) + (1 - t) * np.log(1 - s)).sum() / len(x), [None]


def clipped_sigmoid(bottom: Sequence[Values], layer: Any) -> tuple[None, Sequence[Values]]:
    s = np.clip(1 / (1 + np.exp(-bottom[0])), 1e-7, 1 - 1e-7)
    return None, [(s - bottom[1]) / len(s)]


def sum_of_magnitudes(bottom: Sequence[Values], layer: Any) -> tuple[Values, Sequence[None]]:
    """The CUDA kernels add up with asum."""
    x, t = bottom
    terms = np.log1p(np.exp(-np.abs(x))) - x * (t - (x >= 0))
    return np.abs(terms).sum() / len(x), [None]


def hinge(slope_at_kink: float, width: float, loss_at_kink: float = 0.0) -> Formula:
    """A kink that is off by ``loss_at_kink``, or as wide as ``width``, with a slope of its own."""

    def formula(bottom: Sequence[Values], layer: Any) -> tuple[Values | None, Sequence[Values]]:
        x, y = bottom
        sign = np.where(np.eye(x.shape[1])[y.astype(int)] > 0, -1.0, 1.0)
        margin = 1 + sign * x
        power = 2 * np.maximum(margin, 0) if layer.squared else (margin > 0).astype(float)
        slope = np.where(np.abs(margin) <= width, slope_at_kink, power)
        return None, [sign * slope / len(x)]

    return formula


def multinomial(floor: float, derivative: Callable[[Values, Values], Values] | None = None) -> Formula:
    def formula(bottom: Sequence[Values], layer: Any) -> tuple[Values, Sequence[Values | None]]:
        p, y = bottom
        label = np.eye(p.shape[1])[y.astype(int)] > 0
        held = np.maximum(p, floor)
        gradient = None if derivative is None else np.where(label, derivative(p, held), 0.0) / len(p)
        return -np.where(label, np.log(held), 0.0).sum() / len(p), [gradient]

    return formula


def weighing_everything(bottom: Sequence[Values], layer: Any) -> tuple[Values, Sequence[None]]:
    """A one-hot vector times the logarithms: 0 times what is not finite."""
    p, y = bottom
    return -(np.eye(p.shape[1])[y.astype(int)] * np.log(np.maximum(p, 1e-20))).sum() / len(p), [None]


def expanded_square(bottom: Sequence[Values], layer: Any) -> tuple[Values, Sequence[None]]:
    a, b = bottom
    return ((a * a).sum() - 2 * (a * b).sum() + (b * b).sum()) / (2 * len(a)), [None]


def contrastive(epsilon: float = 0.0, autograd: bool = False) -> Formula:
    """The distance with ``epsilon`` under its root; the derivative by the chain rule, whatever it meets."""

    def formula(bottom: Sequence[Values], layer: Any) -> tuple[Values, Sequence[Values | None]]:
        gap, similar = bottom[0] - bottom[1], bottom[2] != 0
        square = (gap * gap).sum(axis=1)
        measure = square if layer.legacy else np.sqrt(square + epsilon)
        short = np.maximum(layer.margin - measure, 0.0)
        loss = np.where(similar, square, short if layer.legacy else short**2).sum() / (2 * len(gap))
        push = np.ones_like(short) if layer.legacy else short / measure
        factor = np.where(similar, 1.0, -push if autograd else np.where(measure < layer.margin, -push, 0.0))
        gradient = gap * factor[:, None] / len(gap)
        return loss, [gradient, -gradient]

    return formula


SLIPS: tuple[tuple[str, str, Formula, tuple[str, ...]], ...] = (
    (S, "no shift before the exponential", with_logits(lambda x: 0.0), ("huge", "rows-far-apart", "one-class")),
    (S, "one shift for the whole batch", with_logits(lambda x: x.max()), ("rows-far-apart", "huge", "nan")),
    (S, "no floor", with_logits(own_largest, 0.0), ("floor", "huge", "minus-infinite")),
    (S, "another floor", with_logits(own_largest, 1e-20), ("floor", "huge", "minus-infinite")),
    (S, "NaN is swallowed", swallowing_nan, ("nan", "infinite")),
    (S, "NaN spoils its neighbours", poisoned, ("nan", "infinite", "nan-ignored", "minus-infinite")),
    (G, "NaN spoils its neighbours", poisoned, ("nan", "infinite", "nan-ignored", "minus-infinite")),
    (C, "logarithms of sigmoids", naive_sigmoid_loss, ("huge", "right-tail", "left-tail")),
    (C, "sigmoids kept off 0 and 1", clipped_sigmoid, ("huge", "left-tail", "certain")),
    (C, "magnitudes are summed", sum_of_magnitudes, ("targets-outside",)),
    (C, "NaN spoils its neighbours", poisoned, ("nan", "infinite", "nan-ignored")),
    (H, "a kink of some width", hinge(0.0, 1e-6), ("beside-kink-l1", "beside-kink-l2")),
    (H, "a slope of 2 at the kink", hinge(2.0, 0.0), ("kink-l1",)),
    (H, "NaN spoils its neighbours", poisoned, ("nan-l2", "infinite-l1", "infinite-l2")),
    (M, "no floor", multinomial(0.0), ("floor", "minus-infinite", "negative")),
    (M, "another floor", multinomial(TINY), ("floor", "negative")),
    (M, "a gradient without the floor", multinomial(1e-20, lambda p, held: -1 / p), ("floor", "negative")),
    (M, "zero times what is not finite", weighing_everything, ("nan-elsewhere",)),
    (M, "NaN spoils its neighbours", poisoned, ("nan", "nan-elsewhere")),
    (E, "an expanded square", expanded_square, ("cancelling", "equal")),
    (E, "NaN spoils its neighbours", poisoned, ("nan", "infinite")),
    (K, "an epsilon under the root", contrastive(epsilon=1e-6), ("near", "beside-margin", "far")),
    (K, "no guard at distance 0", contrastive(), ("zero-distance",)),
    (K, "the chain rule alone", contrastive(autograd=True), ("zero-distance", "infinite", "legacy-infinite")),
    (K, "NaN spoils its neighbours", poisoned, ("nan", "infinite", "legacy-nan")),
)


@pytest.mark.parametrize(("stem", "slip", "formula", "cases"), SLIPS, ids=[f"{s[0]}: {s[1]}" for s in SLIPS])
def test_a_slip_is_noticed(stem: str, slip: str, formula: Formula, cases: tuple[str, ...]) -> None:
    verdicts = run_family(SMALL[stem], Broken(computing(stem, formula)), DTYPES)
    noticed = {check.rpartition("/")[2] for check, _ in failed(verdicts, must=True)}
    assert not set(cases) - noticed, noticed


def test_any_subgradient_will_do_at_a_kink_unless_caffes_is_asked_for() -> None:
    other = Broken(computing(H, hinge(1.0, 0.0)))
    for asked, fails in ((None, False), ("documented", False), ("bvlc", True)):
        noticed = {check for check, _ in failed(run_family(SMALL[H], other, DTYPES, asked))}
        assert ("extremes/hinge_loss/kink-l1" in noticed) is fails


@pytest.mark.parametrize("stem", LOSSES)
def test_every_case_can_fail(stem: str) -> None:
    """Where the answer is wrong in one finite entry and in the net's loss, every case says so."""

    def nudged(outcome: Outcome) -> Outcome:
        with np.errstate(over="ignore"):
            diff = {name: np.where(np.isfinite(array), array * 1.5 + 0.25, 0.0) for name, array in outcome.diff.items()}
        data = {**outcome.data, "loss": np.where(np.isfinite(outcome.data["loss"]), outcome.data["loss"] + 1.0, 0.0)}
        loss = outcome.loss + 1.0 if np.isfinite(outcome.loss) else 0.0
        return replace(outcome, loss=loss, data={k: v.astype(outcome.dtype) for k, v in data.items()}, diff=diff)

    verdicts = run_family(SMALL[stem], Broken(change=nudged), DTYPES)
    assert {v.check for v in verdicts if v.status is Status.FAILED} == {v.check for v in verdicts}


def test_an_infinite_weight_for_a_huge_one_is_noticed() -> None:
    def saturating(outcome: Outcome) -> Outcome:
        return replace(outcome, diff={n: np.where(np.abs(a) > 1e37, np.inf, a) for n, a in outcome.diff.items()})

    for stem in LOSSES:
        verdicts = run_family(SMALL[stem], Broken(change=saturating), ("float32",))
        assert any(check.startswith(f"extremes/{stem}/huge-weight") for check, _ in failed(verdicts, must=True))


def test_the_reference_sums_a_million_terms() -> None:
    assert not not_passed(run_family(LARGE, ReferenceImplementation(), DTYPES))
    assert {check.dtypes for check in LARGE} == {("float32",)}
    assert {check.layer for check in LARGE} == set(LOSSES)


class Answers(ReferenceImplementation):
    """Answers the large cases with ``share`` of the reference's loss, which is the exact sum rounded once."""

    exact: ClassVar[dict[str, float]] = {}

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        if case.id not in self.exact:
            answer = super().run(case, "float64")
            assert isinstance(answer, Outcome)
            self.exact[case.id] = answer.loss
        return Outcome(dtype, self.exact[case.id] * self.share)


def running(term: float) -> float:
    """What a running float32 sum of a million equal terms makes of them, as a share of the exact sum."""
    terms = np.full(LARGE_COUNT, term, np.float32)
    return float(np.cumsum(terms, dtype=np.float32)[-1] / (LARGE_COUNT * float(terms[0])))


def test_a_running_sum_is_reported_and_a_pairwise_one_is_not() -> None:
    for share in (running(np.log(2.0)), running(0.01)):
        verdicts = run_family(LARGE, Answers(share), ("float32",))
        assert {(v.status, v.level) for v in verdicts} == {(Status.FAILED, Level.SHOULD)}
    pairwise = np.full(LARGE_COUNT, np.float32(np.log(2.0))).sum(dtype=np.float32) / (LARGE_COUNT * np.log(2.0))
    for share in (1.0, float(pairwise), 1 + 0.99 * large_count_bound(LARGE_COUNT, "float32")):
        assert not not_passed(run_family(LARGE, Answers(share), ("float32",)))
    nearly = 1 + 1.01 * large_count_bound(LARGE_COUNT, "float32")
    assert len(failed(run_family(LARGE, Answers(nearly), ("float32",)))) == len(LARGE)
    assert len(failed(run_family(LARGE, Answers(np.nan), ("float32",)))) == len(LARGE)


@pytest.mark.parametrize("stem", KNOWN)
def test_bottoms_of_many_digits_take_a_gradient(stem: str) -> None:
    """Where a margin hid every item, whoever reads a bottom as float32 would be told by nothing."""
    loss = KNOWN[stem]
    case = of_many_digits(loss)
    answer = ReferenceImplementation().run(case, "float64")
    assert isinstance(answer, Outcome)
    scaled = [name for name in loss.plain.learned if name in case.params]
    assert scaled and all(answer.diff[name].any() for name in scaled)
