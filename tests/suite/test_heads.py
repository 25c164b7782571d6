"""Heads: layers that weigh nothing by themselves, judged beneath the loss that they feed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.adapters.python_layer import open_python_layer
from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.outcome import Outcome
from conformance.contract.session import Session
from conformance.contract.verdict import Verdict
from conformance.engine.execution import execute
from conformance.losses import KNOWN, Loss
from conformance.requirements import CATALOGUE
from conformance.suite import extremes, labels, siblings
from refimpl.prototxt import parse_net

LAYERS = Path(__file__).parents[1] / "miniature_layers" / "heads.py"
HEADS = [loss for loss in KNOWN.values() if loss.feeds is not None]

every_head = pytest.mark.parametrize("head", HEADS, ids=lambda loss: loss.stem)


def failed(name: str, *modules: object) -> set[str]:
    """The requirements that a layer fails in some families."""
    (head,) = HEADS
    layer = open_python_layer(f"{LAYERS}:{name} --as {head.type} --options-as-param-str")
    return {each.requirement for each in _verdicts(layer, head, modules) if each.status.breaks}


def _verdicts(layer: object, head: Loss, modules: tuple[object, ...]) -> Iterator[Verdict]:
    for module in modules:
        for check in module.checks({head.stem: head}):  # type: ignore[attr-defined]
            yield from execute(check, Session(layer, layer.describe(), "float32"))  # type: ignore[attr-defined]


def test_a_right_layer_conforms_and_wrong_ones_fail_what_is_theirs() -> None:
    (head,) = HEADS
    assert not failed("Right", extremes, labels, siblings)
    assert {f"{head.stem}.margin", f"{head.stem}.forward"} <= failed("Everywhere", extremes)
    assert failed("Rounded", labels) == {f"{head.stem}.label-truncation"}
    assert failed("Masked", extremes) == {f"{head.stem}.backward", f"{head.stem}.margin"}


@every_head
def test_the_loss_that_a_head_feeds_has_the_weight(head: Loss) -> None:
    case = head.plain.case("one", weights=(2.5,))
    below, above = parse_net(case.net).layer[-2:]
    assert (below.type, below.loss_weight, above.type, above.loss_weight) == (
        head.type,
        (),
        head.feeds.type,  # type: ignore[union-attr]
        (2.5,),
    )
    assert (above.bottom[0], *above.bottom[1:]) == (below.top[0], *below.bottom[1:])
    answer = ReferenceImplementation().run(case, "float64")
    assert isinstance(answer, Outcome)
    assert answer.loss == 2.5 * float(answer.data["loss"])


@every_head
def test_a_head_in_place_computes_the_same(head: Loss) -> None:
    apart, within = (replace(head.plain, in_place=in_place).case("one") for in_place in (False, True))
    answers = [ReferenceImplementation().run(case, "float64") for case in (apart, within)]
    assert all(isinstance(answer, Outcome) for answer in answers)
    assert answers[0].loss == answers[1].loss  # type: ignore[union-attr]


@every_head
def test_a_head_is_not_asked_for_what_only_a_loss_has(head: Loss) -> None:
    assert f"{head.stem}.sum-accuracy" not in CATALOGUE
    assert "scalar" not in CATALOGUE[f"{head.stem}.top-shape"].statement
    assert not head.layer.implicit_weight
