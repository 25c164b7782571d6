"""Forms: nets on which the forks that mean several things by one layer type differ.

Any form's answer is right, and a refusal where some form refuses; what the report's fingerprint says comes of them.
Who claims any form is asked for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.session import Session
from conformance.contract.verdict import Verdict
from conformance.losses import LOSSES, Loss
from conformance.losses.examples import FormNet
from conformance.losses.nets import layer, source
from conformance.suite.fresh import asked
from conformance.suite.judged import judged
from refimpl.layers import every_form

__all__ = ["case_of", "checks"]

FAMILY = "forms"
WEIGHT = 2.5


def case_of(loss: Loss, net: FormNet, form: str = "") -> Case:
    """The net as a case, in any form or in one; what is learnt comes from Parameter layers, so that nobody is asked for
    a label's gradient."""
    text = "".join(source(name, array.shape, learnt=name in net.learnt) for name, array in net.bottoms.items())
    text += layer("loss", loss.type, net.bottoms, net.tops, (WEIGHT, 0.0)[: len(net.tops)], net.options)
    given = net.bottoms.items()
    return Case(
        f"{FAMILY}/{loss.stem}/{net.name}" + (f"/{form}" if form else ""),
        text,
        inputs={name: array for name, array in given if name not in net.learnt},
        params={name: (array,) for name, array in given if name in net.learnt},
        forms=(f"{loss.type}:{form}",) if form else (),
    )


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    """A check for each loss that has such nets."""
    for stem, loss in losses.items():
        if loss.form_nets:
            served = (f"{stem}.forward", f"{stem}.backward")
            judging = partial(_judged, loss, served)
            yield Check(f"{FAMILY}/{stem}", FAMILY, stem, served, judging, layer_types=(loss.type,))


def _judged(loss: Loss, served: tuple[str, ...], session: Session) -> Iterator[Verdict]:
    for net in loss.form_nets:
        for form in every_form(loss.type) if session.description.any_forms else [""]:
            case = case_of(loss, net, form)
            yield from judged(session, case.id, served, asked(case, session))
