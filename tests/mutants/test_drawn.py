"""Mutants that nobody chose: drawn again alike, settled before the suite sees them, counted with an interval."""

from __future__ import annotations

import os
import signal
from random import Random

import pytest
from numba.core.caching import NullCache

from conformance.losses import LOSSES
from conformance.mutants.drawn import settling
from conformance.mutants.drawn.apart import Unsaid, apart
from conformance.mutants.drawn.effects import Effect, draw_effect
from conformance.mutants.drawn.operators import KERNELS, mechanical, places
from conformance.mutants.drawn.power import Drawn, drawn_mutants, interval, measured
from conformance.mutants.drawn.settling import settled
from conformance.mutants.drawn.triggered import triggered
from conformance.mutants.drawn.triggers import KINDS, Trigger, draw_trigger
from conformance.mutants.drawn.wrong import wrong_layer
from conformance.mutants.mutant import Mutant
from conformance.record.cause import Cause
from refimpl.fast.cache import KernelCache
from refimpl.fast.cpu import l1_loss
from refimpl.fast.cpu.kernel import kernel

STEM = "euclidean_loss"


@pytest.fixture(autouse=True)
def _few_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "CASES", 14)


def mutant(trigger: Trigger, effect: Effect) -> Mutant:
    loss = LOSSES[STEM]
    return Mutant(f"{STEM}/made", "made", "made", Cause.NONE, {loss.type: wrong_layer(loss.layer, trigger, effect)})


HALVED = Effect("halved", loss=lambda x, hit, s, i: x / 2, gradient=lambda x, hit, s, i: x / 2)


@pytest.mark.parametrize("stem", LOSSES)
def test_a_seed_and_a_number_always_draw_the_same(stem: str) -> None:
    one = [triggered(stem, 3, i).wrong for i in range(20)]
    triggered.cache_clear()
    assert [triggered(stem, 3, i).wrong for i in range(20)] == one
    assert len(set(one)) > 15


@pytest.mark.parametrize("stem", LOSSES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_asked_in_every_situation(stem: str, kind: str) -> None:
    loss = LOSSES[stem]
    for seed in range(3):
        trigger = KINDS[kind](Random(seed), loss)
        layers = {loss.type: wrong_layer(loss.layer, trigger, draw_effect(Random(seed)))}
        settled(Mutant(f"{stem}/asked", trigger.words, kind, Cause.NONE, layers))


def test_two_triggers_have_to_meet() -> None:
    drawn = [draw_trigger(Random(seed), LOSSES[STEM]) for seed in range(60)]
    assert {trigger.kind for trigger in drawn} > {"two at once", "size", "value"}


def test_what_never_happens_is_not_shown_to_be_wrong() -> None:
    assert settled(mutant(Trigger("made", "never", lambda s: False), HALVED)).wrong == 0


def test_what_always_happens_is_shown_at_once() -> None:
    found = settled(mutant(Trigger("made", "always", lambda s: True), HALVED))
    assert found.wrong
    assert not found.rare


def test_what_happens_in_one_pass_only_is_shown() -> None:
    assert settled(mutant(Trigger("made", "then", lambda s: s.history.forwards > 1), HALVED)).wrong


def test_a_mechanical_change_is_named_with_its_place() -> None:
    found = places(STEM)
    changed = mechanical(STEM, next(i for i, (_, _, what) in enumerate(found) if "Div becomes Mult" in what))
    assert changed is not None
    assert changed.wrong.startswith("refimpl/layers/euclidean_loss.py, line ")
    assert settled(changed).wrong
    assert LOSSES[STEM].layer is not next(iter(changed.layers.values()))


def test_a_change_in_what_a_loss_is_made_of_reaches_it() -> None:
    stem = "softmax_with_loss"
    found = places(stem)
    number = next(i for i, (module, _, what) in enumerate(found) if module == "normalisation" and "NotEq" in what)
    changed = mechanical(stem, number)
    assert changed is not None
    assert settled(changed).wrong


def test_an_interval_holds_the_share() -> None:
    assert interval(0, 0) == (0, 1)
    low, high = interval(99, 100)
    assert 0.94 < low < 0.99 < high < 1
    assert interval(400, 400)[0] > 0.99


def test_a_gross_mutant_is_killed_and_an_unsettled_one_does_not_count() -> None:
    chosen = drawn_mutants([STEM], 1, 5)
    assert [each.way for each in chosen] == ["triggered"] * 3 + ["mechanical"] * 2
    number = next(i for i, (_, _, what) in enumerate(places(STEM)) if "Div becomes Mult" in what)
    (killed,) = measured([Drawn(STEM, "mechanical", 1, number)])
    assert killed is not None
    assert killed.killed_by


def test_the_kernels_of_a_mutant_are_not_in_the_cache() -> None:
    """Where they would be under the names of the right ones: those of the loss, and those of what it is made of."""
    found = places("l1_loss", KERNELS)
    assert {module for module, _, _ in found} == {"l1_loss", "pointwise", "normaliser"}
    changed = KERNELS.changed("l1_loss", "pointwise", KERNELS.tree("pointwise"))
    assert all(isinstance(kernel._cache, NullCache) for kernel in changed._loss.kernels[:2])
    assert isinstance(l1_loss._loss.kernels.quick._cache, KernelCache)
    assert isinstance(kernel(nogil=True)(lambda: 0)._cache, KernelCache)


@pytest.mark.slow
@pytest.mark.parametrize("stem", [STEM, "l1_loss"])
def test_a_kernel_with_one_operator_changed_is_compiled_anew_and_killed(stem: str) -> None:
    found = places(stem, KERNELS)
    number = next(i for i, (_, _, what) in enumerate(found) if "Sub becomes Add" in what)
    assert [each.way for each in drawn_mutants([stem], 1, 1, 2)] == ["mechanical", "kernel", "kernel"]
    (killed,) = measured([Drawn(stem, "kernel", 1, number)])
    assert killed is not None
    assert killed.wrong.startswith(f"refimpl/fast/cpu/{stem}.py, line ")
    assert killed.killed_by
    assert killed.killed_by != "its process ends"


def test_a_mutant_that_ends_its_process_ends_no_other() -> None:
    never = mutant(Trigger("made", "never", lambda s: False), HALVED)
    assert apart(lambda each: str(signal.raise_signal(signal.SIGKILL)), never, "its process ends") == "its process ends"
    with pytest.raises(Unsaid, match="ends with 3"):
        apart(lambda each: str(os._exit(3)), never, "")
    assert apart(lambda each: each.id, never, "its process ends") == never.id
