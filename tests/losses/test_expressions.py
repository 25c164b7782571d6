"""Each loss in PyTorch's words, executed: loss and gradients are the reference's, whatever the options."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from conformance.adapters.reference import ran
from conformance.judge.reference import build
from conformance.losses import KNOWN, LOSSES, Loss, Variant
from conformance.losses.expression import NoExpression
from refimpl.dialect import DEPARTURES, Dialect
from refimpl.prototxt import parse_net

torch = pytest.importorskip("torch")

WRITTEN = [loss for loss in KNOWN.values() if loss.expression is not None]


def test_every_loss_of_caffes_own_has_an_expression() -> None:
    assert {loss.stem for loss in WRITTEN} >= LOSSES.keys()


def varied(loss: Loss) -> Iterator[Variant]:
    """What is published, and the plainest variant with one option changed; with another ignored label for each way to
    divide."""
    yield from loss.variants
    for option, values in loss.options.items():
        for value in () if option == loss.axis_option else values[1:]:
            yield loss.plain.given({option: value})
            if loss.ignores and option.startswith("loss_param.normal"):
                yield loss.plain.given({option: value, "loss_param.ignore_label": 1})


@pytest.mark.parametrize("loss", WRITTEN, ids=lambda loss: loss.stem)
def test_an_expression_gives_the_references_loss_and_gradients(loss: Loss) -> None:
    tried = 0
    for variant in varied(loss):
        values = variant.values(seed=3)
        case = variant.case("one", weights=(1.0,) if len(variant.tops) == 1 else (), values=values)
        forms = dict(form.split(":") for form in case.forms[:1])
        answer = ran(build(case, dialect=Dialect("documented", (), DEPARTURES, forms)), case, "float64")
        param = parse_net(case.net).layer[-1]
        try:
            body = loss.expression(param)  # type: ignore[misc]
        except NoExpression:
            continue
        leaves = {name: torch.tensor(values[name]) for name in variant.shapes}
        for name in variant.learned:
            leaves[name].requires_grad_()
        total = evaluated(body, leaves)
        total.backward()
        assert total.item() == pytest.approx(answer.loss, rel=1e-12, abs=1e-15), (variant.name, body)
        for name in variant.learned:
            wanted = answer.diff[name] if name in answer.diff else answer.param_diff[name][0]
            np.testing.assert_allclose(leaves[name].grad.numpy(), wanted, rtol=1e-11, atol=1e-13)
        tried += 1
    assert tried or loss.blobs


def evaluated(body: str, names: dict[str, Any]) -> Any:
    *steps, value = body.splitlines()
    scope = {"math": math, "torch": torch, "F": torch.nn.functional, **names}
    exec("\n".join(steps), scope)
    return eval(value, scope)


@pytest.mark.parametrize("loss", KNOWN.values(), ids=lambda loss: loss.stem)
def test_the_batches_of_the_divisor_are_those_of_the_formulas_words(loss: Loss) -> None:
    assert loss.batches == (2 if "twice the batch size" in loss.forward.replace("\n", " ") else 1)
