"""Formula-free: what can be asked of a layer of which nothing is known but how to run it.

Everything is a relation between runs, or between a reported loss and a reported gradient (`conformance.suite.slopes`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.contract.dtypes import FLOAT, TypeClaim
from conformance.contract.outcome import Outcome
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.requirements import CATALOGUE
from conformance.suite.slopes import slope_verdicts, slopes_of
from conformance.suite.snippet import Snippet
from conformance.suite.trial import ROUND, Fault, Subject, Trial, Undecided, differ

__all__ = ["FAMILY", "checks"]

FAMILY = "formula_free"
SUBJECT = "layer-contract"
WEIGHT = 2.5
EXACT_WEIGHTS = (4.0, -0.5)
"""Weights that change exponents and signs and no digit."""

Judge = Callable[[Trial], list[Verdict]]
Facet = Callable[[Trial], Iterator[Fault]]


def checks(snippets: Sequence[str] = ()) -> Iterator[Check]:
    """One check per facet of each snippet's layer. Raises `UsageError` for what is no snippet."""
    for text in snippets:
        subject = Subject(Snippet.parse(text))
        yield _check(subject, "gradient", _gradient)
        for facet, faults in _FACETS.items():
            yield _check(subject, facet, _by_relation(facet, faults))


def _check(subject: Subject, facet: str, judge: Judge) -> Check:
    check_id = f"{FAMILY}/{subject.snippet.stem}/{facet}"
    requirement = f"{SUBJECT}.{facet}"

    def run(session: Session) -> list[Verdict]:
        where = ""
        try:
            trial = subject.trial(session, check_id)
            where = trial.setting.words
            verdicts = judge(trial)
        except Undecided as why:
            level = CATALOGUE[requirement].level
            verdicts = [Verdict(check_id, requirement, session.dtype, why.status, level, reason=why.reason)]
        return [
            replace(verdict, detail={**verdict.detail, "bottoms": where}) if where else verdict for verdict in verdicts
        ]

    kinds = (subject.snippet.layer.type,)
    by_differences = judge is _gradient
    return Check(
        check_id, FAMILY, subject.snippet.stem, (requirement,), run, differences=by_differences, layer_types=kinds
    )


def _by_relation(facet: str, faults: Facet) -> Judge:
    """The verdict on a facet: its first fault that counts, else its first."""
    requirement = f"{SUBJECT}.{facet}"

    def judge(trial: Trial) -> list[Verdict]:
        found = sorted(faults(trial), key=lambda fault: fault.level is not Level.MUST)
        passed = Verdict(trial.check, requirement, trial.session.dtype, Status.PASSED, CATALOGUE[requirement].level)
        if not found:
            return [passed]
        reason = f"{found[0].reason} (bottoms {trial.setting.words})"
        return [replace(passed, status=Status.FAILED, level=found[0].level, reason=reason)]

    return judge


def _gradient(trial: Trial) -> list[Verdict]:
    """Bottoms and parameters, at a weight that is no power of two."""
    session = trial.session
    case = trial.case(factor=WEIGHT).rounded(session.dtype)
    gradients = trial.gradients(trial.run(factor=WEIGHT))
    if not gradients:
        raise Undecided("no gradient is reported")
    values = {name: _values(trial, case, name) for name in gradients}
    for name, gradient in gradients.items():
        if gradient.shape != values[name].shape:
            raise Undecided(
                f"the gradient of {name} has shape {gradient.shape}, not {values[name].shape}", Status.FAILED
            )

    def loss(name: str, array: Array) -> float:
        changed = session.run(replace(_holding(trial, case, name, array), steps=("forward",)))
        return changed.loss if isinstance(changed, Outcome) else math.nan

    held = TypeClaim.named(session.dtype).loss
    rounded = held if session.dtype in session.description.dtypes else FLOAT
    slopes = slopes_of(loss, values, {name: np.asarray(g, np.float64) for name, g in gradients.items()}, held, rounded)
    shown = json.dumps(trial.case(factor=WEIGHT).to_json())
    verdicts = slope_verdicts(trial.check, SUBJECT, session.dtype, slopes, WEIGHT)
    return [replace(v, detail={**v.detail, "case": shown}) if v.status.breaks else v for v in verdicts]


def _values(trial: Trial, case: Case, name: str) -> Array:
    return case.inputs[f"{name}_in"] if name in trial.setting.asked else case.params[trial.layer][_number(name)]


def _holding(trial: Trial, case: Case, name: str, array: Array) -> Case:
    if name in trial.setting.asked:
        return replace(case, inputs={**case.inputs, f"{name}_in": array})
    arrays = list(case.params[trial.layer])
    arrays[_number(name)] = array
    return replace(case, params={trial.layer: tuple(arrays)})


def _number(name: str) -> int:
    """The i of ``layer[i]``."""
    return int(name.rpartition("[")[2].rstrip("]"))


def _loss_weight(trial: Trial) -> Iterator[Fault]:
    """Loss and gradients scale with the loss_weight, gradients with whatever the tops' diffs hold."""
    whole = trial.whole()
    yield from _total(trial, whole)
    for weight in EXACT_WEIGHTS:
        yield from _at(f"loss_weight {weight:g}", trial.unlike(trial.run(factor=weight), whole, weight))
    nothing = trial.run(factor=0.0).loss
    if nothing != 0:
        yield Fault(f"loss_weight 0: the net's loss is {nothing:.9g}")
    tops = {top: weight for top, weight in zip(trial.setting.layer.top, trial.setting.weights, strict=False) if weight}
    for factor in (*EXACT_WEIGHTS, 0.0):
        answer = trial.run(top_diff={top: weight * factor for top, weight in tops.items()})
        yield from _at(f"{factor:g} in the top's diff", trial.gradients_unlike(answer, whole, factor))


def _total(trial: Trial, answer: Outcome) -> Iterator[Fault]:
    """The loss is the weighted sum of the tops, within the roundings of adding them up."""
    weights = dict(zip(trial.setting.layer.top, trial.setting.weights, strict=False))
    if not weights.keys() <= answer.data.keys():
        return
    terms = [np.asarray(answer.data[top], np.float64).ravel() * weight for top, weight in weights.items()]
    together = np.concatenate(terms)
    bound = (
        together.size * TypeClaim.named(trial.session.dtype).accumulated.unit_roundoff * float(np.sum(np.abs(together)))
    )
    want = math.fsum(together)
    if abs(answer.loss - want) > bound:
        yield Fault(f"the net's loss is {answer.loss:.9g}, the weighted sum of the tops {want:.9g}")


def _propagate_down(trial: Trial) -> Iterator[Fault]:
    """What is asked for does not depend on what else is; what is not asked for stays as it was, or becomes 0."""
    setting = trial.setting
    if len(setting.bottoms) == 1:
        raise Undecided("the layer has one bottom: there is nothing to choose", Status.NOT_APPLICABLE)
    for name in trial.silent:
        yield Fault(f"asked for the gradient of {name}, it neither gives one nor refuses", Level.SHOULD)
    whole = trial.whole()
    for size in range(1, len(setting.asked) + 1):
        for names in combinations(setting.asked, size):
            some = replace(trial, setting=setting.asking(*names))
            answer = some.run(prefill_diff={bottom.name: 7.0 for bottom in setting.bottoms})
            yield from _at(f"asked for {' and '.join(names)}", some.gradients_unlike(answer, whole))
            for bottom in setting.bottoms:
                diff = answer.diff.get(bottom.name)
                if bottom.name not in names and diff is not None and not (np.all(diff == 7) or not np.any(diff)):
                    asked = " and ".join(names)
                    yield Fault(f"asked for {asked} alone, it writes the diff of {bottom.name} too", Level.SHOULD)


def _overwrite(trial: Trial) -> Iterator[Fault]:
    """Bottom diffs are written, not added to."""
    whole = trial.whole()
    stale = trial.run(prefill_diff=dict.fromkeys(trial.setting.asked, np.nan))
    yield from _at("NaN in the bottoms' diffs before", trial.gradients_unlike(stale, whole))


def _inputs_unchanged(trial: Trial) -> Iterator[Fault]:
    """The bottoms hold what they were fed after either pass, and the tops after backward what forward gave."""
    fed = trial.case().rounded(trial.session.dtype).inputs
    forward, both = trial.run(steps=("forward",)), trial.run()
    seen = False
    for bottom in trial.setting.bottoms:
        want = fed[f"{bottom.name}_in" if bottom.asked else bottom.name]
        for when, answer in (("forward", forward), ("backward", both)):
            if bottom.name in answer.data:
                seen = True
                got = np.asarray(answer.data[bottom.name], np.float64)
                yield from differ(f"after {when}, bottom {bottom.name}", got, want)
    if not seen:
        raise Undecided("no bottom is reported")
    if trial.steady:
        yield from _at("after backward", _tops_differ(trial, both, forward))


def _repeat_forward(trial: Trial) -> Iterator[Fault]:
    """A second forward pass gives what the first gave, and so does backward after it."""
    whole = trial.whole()
    again = trial.run(steps=("forward", *ROUND))
    yield from _at("forward twice", trial.unlike(again, whole))
    yield from _at("forward twice", _tops_differ(trial, again, whole))


def _repeat_backward(trial: Trial) -> Iterator[Fault]:
    """A second backward pass gives the same bottom gradients, and adds to those of parameters what the first did."""
    whole = trial.whole()
    yield from _at("backward twice", trial.gradients_unlike(trial.run(steps=(*ROUND, "backward")), whole, 1.0, 2.0))


def _batch_change(trial: Trial) -> Iterator[Fault]:
    """A batch other than declared gives the tops and gradients that a net declared for it gives.

    The tops' diffs are written by hand: a net that forgets a grown top's weight is no fault of the layer.
    """
    trial.whole()
    items = trial.setting.bottoms[0].shape[0]
    weights = dict(zip(trial.setting.layer.top, trial.setting.weights, strict=False))
    for size in (2 * items + 1, items - 1):
        if size == 0:
            continue
        other = trial.setting.batch(size)
        try:
            want = trial.run(other, top_diff=weights)
        except Undecided as why:
            raise Undecided(f"a batch of {size} is refused where it is declared, too: {why.reason}") from None
        got = trial.run(other, declared=trial.setting, top_diff=weights)
        where = f"a batch of {size} where {items} was declared"
        yield from _at(where, _tops_differ(trial, got, want))
        yield from _at(where, trial.gradients_unlike(got, want))


def _tops_differ(trial: Trial, got: Outcome, want: Outcome) -> Iterator[Fault]:
    for top in trial.setting.layer.top:
        if top in got.data and top in want.data:
            yield from differ(f"top {top}", got.data[top], want.data[top])


def _top_shape(trial: Trial) -> Iterator[Fault]:
    """A forward pass leaves every top in the shape that reshape gave it.

    With a weight of 0 a backward pass runs no layer: what is reported then are the shapes of the net as it was built.
    """
    items = trial.setting.bottoms[0].shape[0]
    for setting in (trial.setting, trial.setting.batch(items + 1)):
        said = trial.run(setting, factor=0.0, steps=("backward",)).data
        given = trial.run(setting).data
        tops = [top for top in setting.layer.top if top in said and top in given]
        if not tops:
            raise Undecided("no top is reported")
        for top in tops:
            if said[top].shape != given[top].shape:
                yield Fault(f"reshape gave {top} the shape {said[top].shape}, forward {given[top].shape}")


def _at(where: str, faults: Iterator[Fault]) -> Iterator[Fault]:
    yield from (replace(fault, reason=f"{where}: {fault.reason}") for fault in faults)


_FACETS: dict[str, Facet] = {
    "loss-weight": _loss_weight,
    "propagate-down": _propagate_down,
    "overwrite": _overwrite,
    "inputs-unchanged": _inputs_unchanged,
    "repeat-forward": _repeat_forward,
    "repeat-backward": _repeat_backward,
    "batch-change": _batch_change,
    "top-shape": _top_shape,
}
