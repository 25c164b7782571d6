"""The families passes, training and siblings notice what one batch, or one layer, leaves behind for another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations

import numpy as np
import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Array, Case, Pass
from conformance.contract.check import Check
from conformance.contract.verdict import Status
from conformance.losses import LOSSES, PROFILES
from conformance.suite import all_checks, passes, siblings, training
from conformance.suite.alone import alone
from refimpl.blob import Blob
from refimpl.layer import Layer
from refimpl.layers import REGISTRY
from tests.broken import Broken, failed, run_family

every_loss = pytest.mark.parametrize("stem", LOSSES)
Alter = Callable[[type[Layer]], type[Layer]]


@cache
def family(name: str, stem: str) -> tuple[Check, ...]:
    checks = {"passes": passes, "training": training, "siblings": siblings}[name].checks()
    return tuple(check for check in checks if check.layer == stem)


def noticed(name: str, stem: str, alter: Alter) -> set[str]:
    """The requirements that the family sees broken in float32, of a loss altered."""
    kind = LOSSES[stem].type
    verdicts = run_family(family(name, stem), Broken({kind: alter(REGISTRY[kind])}), dtypes=("float32",))
    return {requirement for _, requirement in failed(verdicts, must=True)}


@every_loss
@pytest.mark.parametrize("name", ["passes", "training", "siblings"])
def test_every_must_is_decided_for_the_reference(name: str, stem: str) -> None:
    verdicts = run_family(family(name, stem), ReferenceImplementation(), dtypes=("float32",))
    assert {verdict.status for verdict in verdicts} == {Status.PASSED}
    assert {verdict.check for verdict in verdicts}


def keeps_the_first(layer: type[Layer]) -> type[Layer]:
    """The loss of the first pass is reported for ever."""

    class Wrong(layer):  # type: ignore[misc, valid-type]
        def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
            super().forward(bottom, top)
            self.first = getattr(self, "first", float(top[0].data))
            top[0].data[...] = self.first

    return Wrong


def third_pass_wrong(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
            super().backward(top, propagate_down, bottom)
            self.times = getattr(self, "times", 0) + 1
            if self.times == 3:
                for blob, wanted in zip(bottom, propagate_down, strict=True):
                    blob.diff[...] *= 1.01 if wanted else 1.0

    return Wrong


def never_grows(layer: type[Layer]) -> type[Layer]:
    """Items beyond those of the first pass get no gradient."""

    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
            super().backward(top, propagate_down, bottom)
            self.items = getattr(self, "items", bottom[0].shape[0])
            for blob, wanted in zip(bottom, propagate_down, strict=True):
                if wanted:
                    blob.diff[self.items :] = 0

    return Wrong


def weight_of_the_first(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
            held = top[0].diff.copy()
            self.weight = getattr(self, "weight", held)
            top[0].diff[...] = self.weight
            super().backward(top, propagate_down, bottom)
            top[0].diff[...] = held

    return Wrong


def first_of_forwards(layer: type[Layer]) -> type[Layer]:
    """Half the gradient where the first forward since the last backward was of another batch."""

    class Wrong(layer):  # type: ignore[misc, valid-type]
        pending: Sequence[Array] | None = None

        def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
            super().forward(bottom, top)
            if self.pending is None:
                self.pending = [blob.data.copy() for blob in bottom]

        def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
            pending, self.pending = self.pending, None
            if pending is not None and all(map(np.array_equal, pending, [blob.data for blob in bottom])):
                pending = None
            super().backward(top, propagate_down, bottom)
            for blob, wanted in zip(bottom, propagate_down, strict=True):
                if wanted and pending is not None:
                    blob.diff[...] *= 0.5

    return Wrong


def skips_where_the_weight_is_zero(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
            if np.any(top[0].diff):
                super().backward(top, propagate_down, bottom)

    return Wrong


@pytest.mark.parametrize("stem", ["contrastive_loss", "softmax_with_loss"])
@pytest.mark.parametrize(
    "alter",
    [
        keeps_the_first,
        third_pass_wrong,
        never_grows,
        weight_of_the_first,
        first_of_forwards,
        skips_where_the_weight_is_zero,
    ],
)
def test_what_an_earlier_batch_leaves_is_noticed(stem: str, alter: Alter) -> None:
    assert noticed("passes", stem, alter)


@every_loss
def test_a_batch_is_held_against_the_batch_alone(stem: str) -> None:
    assert "properties.batch-alone" in noticed("passes", stem, keeps_the_first)


@pytest.mark.parametrize("stem", ["hinge_loss", "sigmoid_cross_entropy_loss"])
def test_training_notices_what_comes_late(stem: str) -> None:
    def late(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
                super().forward(bottom, top)
                self.times = getattr(self, "times", 0) + 1
                top[0].data[...] *= 1.01 if self.times == 17 else 1

        return Wrong

    assert "net.passes" in noticed("training", stem, late)


Kept = dict[tuple[int, ...], np.ndarray]


def sharing_in(kept: Kept) -> Alter:
    """Backward works on the scores that the last forward, of whoever keeps them there, had in that shape."""

    def alter(layer: type[Layer]) -> type[Layer]:
        class Wrong(layer):  # type: ignore[misc, valid-type]
            def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
                super().forward(bottom, top)
                kept[bottom[0].shape] = bottom[0].data.copy()

            def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
                own = bottom[0].data.copy()
                bottom[0].data[...] = kept[bottom[0].shape]
                super().forward(bottom, [self.context.blob(*blob.shape) for blob in top])
                super().backward(top, propagate_down, bottom)
                bottom[0].data[...] = own

        return Wrong

    return alter


@every_loss
def test_what_two_of_a_type_share_is_noticed(stem: str) -> None:
    assert noticed("siblings", stem, sharing_in({}))


PAIRS = list(combinations(LOSSES, 2))


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_what_two_types_share_is_noticed_of_both(one: str, other: str) -> None:
    """They share what two layers of either do not: one memory for the plain layers, another for those after them."""
    check = next(each for each in family("siblings", "net") if each.id == f"siblings/net/{one}-and-{other}")
    kept: Kept = {}
    wrong = {LOSSES[stem].type: sharing_in(kept)(REGISTRY[LOSSES[stem].type]) for stem in (one, other)}
    verdicts = run_family((check,), Broken(wrong), dtypes=("float32",))
    assert failed(verdicts, must=True)


def test_types_that_mean_the_same_do_not_meet() -> None:
    """One net has one meaning for a type: FocalLoss over a softmax and over sigmoids are in no case together."""
    detection = PROFILES["detection"]
    pairs = {check.id for check in siblings.checks(detection) if check.layer == "net"}
    assert "siblings/net/focal_loss-and-multibox_loss" in pairs
    assert "siblings/net/focal_loss-and-sigmoid_focal_loss" not in pairs


def test_a_pair_is_of_the_forms_of_both() -> None:
    checks = all_checks(profiles=("faces",), families=("siblings",))
    forms = {check.id: {form.partition(":")[0] for form in check.forms} for check in checks}
    both = forms["siblings/net/position_weighted_softmax_with_loss-and-weighted_euclidean_loss"]
    assert both == {"SoftmaxWithLoss", "EuclideanLoss"}


def test_the_last_pass_alone() -> None:
    one, two = np.ones(2), np.full(3, 2.0)
    case = Case(
        "test",
        "#",
        {"x": one, "y": one},
        params={"p": (one,)},
        top_diff={"loss": 2.0},
        passes=(Pass({"x": two}, {"q": (two,)}, {"x": 7.0}), Pass({"x": one}, top_diff={"loss": 3.0})),
        each_pass=True,
    )
    last = alone(case)
    assert (last.passes, last.each_pass, last.top_diff, last.prefill_diff) == ((), False, {"loss": 3.0}, {})
    assert last.inputs == {"x": one, "y": one}
    assert set(last.params) == {"p", "q"}
