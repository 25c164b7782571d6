"""Forms: nets on which the forks that mean several things by one layer type differ.

Any form's answer is right, and a refusal where some form refuses; what the report's fingerprint says comes of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.losses import LOSSES, Loss
from conformance.losses.examples import FormNet
from conformance.losses.nets import layer, source
from conformance.suite.judged import bundle

__all__ = ["case_of", "checks"]

FAMILY = "forms"
WEIGHT = 2.5


def case_of(loss: Loss, net: FormNet) -> Case:
    """The net as a case; what is learnt comes from Parameter layers, so that nobody is asked for a label's gradient."""
    text = "".join(source(name, array.shape, learnt=name in net.learnt) for name, array in net.bottoms.items())
    text += layer("loss", loss.type, net.bottoms, net.tops, (WEIGHT, 0.0)[: len(net.tops)], net.options)
    given = net.bottoms.items()
    return Case(
        f"{FAMILY}/{loss.stem}/{net.name}",
        text,
        inputs={name: array for name, array in given if name not in net.learnt},
        params={name: (array,) for name, array in given if name in net.learnt},
    )


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    """A check for each loss that has such nets."""
    for stem, loss in losses.items():
        if loss.form_nets:
            served = [(case_of(loss, net), [f"{stem}.forward", f"{stem}.backward"]) for net in loss.form_nets]
            yield bundle(f"{FAMILY}/{stem}", stem, served, layer_types=(loss.type,))
