"""Triggers: when something is wrong. Each is drawn: a kind, then its threshold, log-uniform over what may occur."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from conformance.contract.dtypes import HALF
from conformance.losses.loss import Loss
from conformance.mutants.drawn.situation import Situation

__all__ = ["KINDS", "Trigger", "draw_trigger"]

Met = Callable[[Situation], Any]


@dataclass(frozen=True)
class Trigger:
    """``met`` says whether a situation is one, or, ``by_entry``, which entries of the first bottom are.

    ``kind`` is what it looks at, ``words`` end the sentence "wrong only where ...".
    """

    kind: str
    words: str
    met: Met
    by_entry: bool = False


def _log_int(random: Random, low: int, high: int) -> int:
    """An integer, uniform in its logarithm; half of the time beside or at a power of two."""
    value = round(math.exp(random.uniform(math.log(low), math.log(high))))
    if random.random() < 0.5:
        value = 2 ** round(math.log2(value)) + random.choice([-1, 0, 1])
    return min(max(value, low), high)


def _magnitude(random: Random, low: int, high: int) -> float:
    return float(2.0 ** random.uniform(low, high))


def _size(random: Random, loss: Loss) -> Trigger:
    what, of, high = random.choice(
        [
            ("items", lambda s: s.items, 400),
            ("entries in an item", lambda s: s.entries, 2000),
            ("entries", lambda s: s.count, 70000),
            ("classes", lambda s: s.classes, 1500),
        ]
    )
    size: Callable[[Situation], int] = of
    n = _log_int(random, 2, high)
    how = random.choice(["more", "more", "multiple", "no multiple", "few"])
    if how == "more":
        return Trigger("size", f"there are more than {n} {what}", lambda s: size(s) > n)
    if how == "few":
        few = random.randint(1, 4)
        return Trigger("size", f"there are exactly {few} {what}", lambda s: size(s) == few)
    k = random.choice([2, 3, 4, 8, 16, 32, 64, 128, 256])
    if how == "multiple":
        return Trigger("size", f"the number of {what} is a multiple of {k}", lambda s: size(s) % k == 0)
    return Trigger(
        "size",
        f"the number of {what} is more than {k} and no multiple of it",
        lambda s: size(s) > k and size(s) % k != 0,
    )


def _layout(random: Random, loss: Loss) -> Trigger:
    axes = random.randint(2, 4)
    choices: list[tuple[str, Met]] = [
        (f"the first bottom has {axes} axes", lambda s: len(s.bottom[0].shape) == axes),
        ("the last axis is longer than the second", lambda s: s.bottom[0].shape[-1] > s.bottom[0].shape[1]),
        ("an axis behind the first has one entry", lambda s: 1 in s.bottom[0].shape[1:]),
        ("the bottoms' shapes differ in length", lambda s: len(s.bottom[0].shape) != len(s.bottom[1].shape)),
    ]
    if loss.axis_option:
        choices += [
            ("the classes lie on another axis than 1", lambda s: s.layer.axis != 1),
            ("the classes lie on the last axis of several", lambda s: s.layer.axis == len(s.bottom[0].shape) - 1 > 1),
        ]
    words, met = random.choice(choices)
    return Trigger("layout", words, met)


def _option(random: Random, loss: Loss) -> Trigger:
    names = [name for name in loss.options if name != loss.axis_option]
    if not names:
        return _weight(random, loss)
    name = random.choice(names)
    values = [value for value in loss.options[name] if value is not None]
    if name.endswith("ignore_label"):
        words, test = random.choice(
            [
                ("negative", lambda v: v < 0),
                ("below -1", lambda v: v < -1),
                ("above 255", lambda v: v > 255),
                ("0", lambda v: v == 0),
                ("a class", lambda v: 0 <= v < 8),
                ("odd", lambda v: v % 2 == 1),
            ]
        )
        accepted: Callable[[Any], bool] = test
        return Trigger("option", f"{name} is {words}", lambda s: s.has(name) and accepted(s.option(name)))
    if isinstance(values[0], float) and not isinstance(values[0], bool):
        t = _magnitude(random, -4, 6)
        if random.random() < 0.3:
            return Trigger(
                "option",
                f"{name} is not exact in half precision",
                lambda s: s.has(name) and not HALF.holds(s.option(name)),
            )
        if random.random() < 0.5:
            return Trigger("option", f"{name} is above {t:.3g}", lambda s: s.option(name) > t)
        return Trigger("option", f"{name} is below {t:.3g}", lambda s: s.option(name) < t)
    value = random.choice(values)
    return Trigger("option", f"{name} is set to {value}", lambda s: s.has(name) and s.option(name) == value)


def _weight(random: Random, loss: Loss) -> Trigger:
    t = _magnitude(random, -12, 10)
    words, met = random.choice(
        [
            ("the weight is negative", lambda s: s.weight < 0),
            ("the weight is below -1", lambda s: s.weight < -1),
            (f"the weight is larger than {t:.3g}", lambda s: abs(s.weight) > t),
            (f"the weight is smaller than {t:.3g}", lambda s: 0 < abs(s.weight) < t),
            ("the weight is no power of 2", lambda s: s.weight != 0 and math.frexp(s.weight)[0] not in (0.5, -0.5)),
            ("the weight is not 1", lambda s: s.weight != 1),
        ]
    )
    return Trigger("weight", words, met)


def _passes(random: Random, loss: Loss) -> Trigger:
    def changed(s: Situation, grown: bool) -> bool:
        shapes = s.history.shapes
        return len(shapes) > 1 and ((shapes[-1][0] > shapes[-2][0]) if grown else (shapes[-1][0] < shapes[-2][0]))

    def same_answers(s: Situation) -> bool:
        answers = s.history.answers
        return len(answers) > 1 and np.array_equal(answers[-1], answers[-2], equal_nan=True)

    words, met = random.choice(
        [
            ("it is not the first pass", lambda s: s.history.forwards > 1),
            ("it is the third pass or a later one", lambda s: s.history.forwards > 2),
            ("the batch has grown since the last pass", lambda s: changed(s, True)),
            ("the batch has shrunk since the last pass", lambda s: changed(s, False)),
            ("the answers are those of the last pass", same_answers),
            (
                "the answers are others than in the last pass",
                lambda s: len(s.history.answers) > 1 and not same_answers(s),
            ),
            ("the first bottom had more items in the first pass", lambda s: s.history.shapes[0][0] > s.items),
        ]
    )
    return Trigger("passes", words, met)


def _phase(random: Random, loss: Loss) -> Trigger:
    words, met = random.choice(
        [
            ("the phase is TEST", lambda s: s.layer.context.phase == "TEST"),
            ("another layer of its type has just run in the net", lambda s: s.layer.beside),
            ("another bottom takes a gradient, too", lambda s: sum(map(bool, s.propagate_down)) > 1),
        ]
    )
    return Trigger("net", words, met)


def _answers(random: Random, loss: Loss) -> Trigger:
    n = _log_int(random, 1, 1200)
    ignored = "loss_param.ignore_label"

    def share(s: Situation) -> float:
        return float(np.mean(np.trunc(s.answers) == s.option(ignored))) if s.has(ignored) else 0.0

    choices: list[tuple[str, Met]] = [
        ("all answers are equal", lambda s: s.answers.size > 1 and np.unique(s.answers).size == 1),
        ("the first answer is 0", lambda s: s.answers.flat[0] == 0),
        ("an answer has a fraction", lambda s: (s.last != np.trunc(s.last)).any()),
        ("there are more than one different answers", lambda s: np.unique(s.last).size > 1),
    ]
    if loss.ignores:
        choices += [
            ("more than half is ignored", lambda s: share(s) > 0.5),
            ("anything is ignored", lambda s: share(s) > 0),
            ("the first answer is ignored", lambda s: s.has(ignored) and int(s.answers.flat[0]) == s.option(ignored)),
            ("the last answer is ignored", lambda s: s.has(ignored) and int(s.answers.flat[-1]) == s.option(ignored)),
        ]
    if loss.labelled:
        choices += [
            (f"a label is larger than {n}", lambda s: (s.answers > n).any()),
            ("the last class is nobody's label", lambda s: not (np.trunc(s.answers) == s.classes - 1).any()),
            ("the labels ascend", lambda s: s.answers.size > 1 and (np.diff(s.answers.ravel()) >= 0).all()),
        ]
    words, met = random.choice(choices)
    return Trigger("answers", words, met)


def _value(random: Random, loss: Loss) -> Trigger:
    t = _magnitude(random, -16, 10)
    bits = random.randint(3, 14)
    kind = random.choice(["large", "small", "positive", "negative", "mantissa", "row"])
    if kind == "large":
        return Trigger("value", f"its size is above {t:.3g}", lambda s: np.absolute(s.first) > t, True)
    if kind == "small":
        return Trigger("value", f"its size is below {t:.3g}", lambda s: np.absolute(s.first) < t, True)
    if kind == "mantissa":
        return Trigger("value", f"it is no multiple of 2^-{bits}", lambda s: s.first * 2**bits % 1 != 0, True)
    if kind == "row":
        return Trigger("value", f"all values are within {t:.3g}", lambda s: (np.absolute(s.first) < t).all())
    above = kind == "positive"
    return Trigger("value", f"it is {kind}", lambda s: s.first > 0 if above else s.first < 0, True)


def _index(random: Random, loss: Loss) -> Trigger:
    n = _log_int(random, 1, 70000)

    def flat(s: Situation) -> Any:
        return np.arange(s.count).reshape(s.bottom[0].shape)

    k = random.choice([32, 64, 128, 256, 1024])
    words, met = random.choice(
        [
            (f"its index is above {n}", lambda s: flat(s) > n),
            (f"its index within the item is above {n}", lambda s: flat(s) % s.entries > n),
            (f"it is one of the last n mod {k} entries", lambda s: flat(s) >= s.count - s.count % k),
            ("it is the last of its item", lambda s: flat(s) % s.entries == s.entries - 1),
            ("it belongs to the last item", lambda s: flat(s) >= s.count - s.entries),
            ("it belongs to the first item", lambda s: flat(s) < s.entries),
        ]
    )
    return Trigger("index", words, met, by_entry=True)


KINDS: Mapping[str, Callable[[Random, Loss], Trigger]] = {
    "size": _size,
    "layout": _layout,
    "option": _option,
    "weight": _weight,
    "passes": _passes,
    "net": _phase,
    "answers": _answers,
    "value": _value,
    "index": _index,
}


def draw_trigger(random: Random, loss: Loss) -> Trigger:
    """One trigger, or, of three draws in ten, two of unlike kinds that have to meet."""
    one = KINDS[random.choice(list(KINDS))](random, loss)
    if random.random() < 0.7:
        return one
    other = KINDS[random.choice(list(KINDS))](random, loss)
    while other.kind == one.kind:
        other = KINDS[random.choice(list(KINDS))](random, loss)
    words = f"{one.words} and {other.words}"
    return Trigger("two at once", words, lambda s: one.met(s) & other.met(s), one.by_entry or other.by_entry)
