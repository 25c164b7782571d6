"""Verdicts explained: a page names reasons why an implementation fails, each with a situation to look for in a case."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.contract.dtypes import DEFAULT
from conformance.contract.implementation import Implementation
from conformance.contract.limits import Limits
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.engine.execution import execute
from conformance.judge.reference import build
from conformance.losses import loss_of_type
from refimpl.errors import NetError
from refimpl.layers.normalisation import Normalisation
from refimpl.net import Net

__all__ = [
    "Explainer",
    "Loss",
    "Situation",
    "below_floor",
    "digits_cancelled",
    "ignored_not_finite",
    "listed",
    "nothing_counts",
]

FLOORS = {"SoftmaxWithLoss": 2.0**-126, "InfogainLoss": 1e-20, "MultinomialLogisticLoss": 1e-20}
IGNORING = ("SoftmaxWithLoss", "InfogainLoss", "SigmoidCrossEntropyLoss")


class Loss:
    """A loss layer of a case's net with what it is fed, so that a reason's situation can be looked for."""

    def __init__(self, case: Case, net: Net, node: Any) -> None:
        self.case = case
        self.type, self.param, self.weights = node.type, node.layer.param, node.loss_weights
        self.bottoms: list[Array] = [np.array(net.blobs[name].data, np.float64) for name in node.bottoms]
        self.scores = self.bottoms[0]
        axis = {"SoftmaxWithLoss": "softmax_param", "InfogainLoss": "infogain_loss_param"}.get(self.type)
        self.axis = getattr(self.param, axis).axis % self.scores.ndim if axis else 1
        mode = Normalisation.of(self.param.loss_param, "BATCH_SIZE" if "Sigmoid" in self.type else "VALID")
        self.valid = mode.mode == "VALID"
        with np.errstate(invalid="ignore"):
            labels = self.bottoms[-1 if self.type == "ContrastiveLoss" else 1].astype(np.int64)
        positions = self.scores.shape[: self.axis] + self.scores.shape[self.axis + 1 :]
        self.labels = labels.reshape(positions) if axis else labels
        self.ignored = np.zeros(self.labels.shape, bool) if mode.ignored is None else self.labels == mode.ignored

    @property
    def by_class(self) -> Array:
        """Scores with the classes last."""
        if "Multinomial" in self.type or "Hinge" in self.type:
            return self.scores.reshape(len(self.scores), -1)
        return np.moveaxis(self.scores, self.axis, -1)

    @property
    def logged(self) -> Array:
        """The probabilities that the loss takes the logarithm of: the labels', for InfogainLoss all."""
        p = self.by_class
        if "Multinomial" not in self.type:
            finite = np.where(np.isposinf(p), np.nan, p)
            with np.errstate(all="ignore"):
                exponentials = np.exp((finite - finite.max(-1, keepdims=True)).astype(np.longdouble))
                p = exponentials / exponentials.sum(-1, keepdims=True)
        if self.type == "InfogainLoss":
            return p[~self.ignored]
        chosen = np.take_along_axis(p, np.where(self.ignored, 0, self.labels).reshape(*p.shape[:-1], 1), -1)[..., 0]
        return chosen[~self.ignored.reshape(chosen.shape)]


Situation = Callable[[Loss], bool]


def nothing_counts(loss: Loss) -> bool:
    """Every label is ignored, and the sum is divided by how many are not."""
    return loss.type in IGNORING and loss.valid and bool(loss.ignored.all())


def below_floor(loss: Loss) -> bool:
    """Caffe would raise a probability before it takes the logarithm."""
    return loss.type in FLOORS and bool((loss.logged < FLOORS[loss.type]).any())


def ignored_not_finite(loss: Loss) -> bool:
    """A score is NaN or infinite where the label is ignored."""
    return loss.type in ("SoftmaxWithLoss", "InfogainLoss") and not np.isfinite(loss.by_class[loss.ignored]).all()


def digits_cancelled(loss: Loss) -> bool:
    """The counted entries' losses are some millionth of their scores, or less."""
    if loss.type != "SigmoidCrossEntropyLoss":
        return False
    counted = ~loss.ignored.ravel()
    x, t = (bottom.ravel()[counted] for bottom in loss.bottoms)
    each = np.log1p(np.exp(-np.absolute(x))) - x * (t - (x >= 0))
    return bool(0 < each.sum() < 1e-6 * np.absolute(x).max())


def listed(page: Path) -> dict[str, set[str]]:
    """The requirements that a page names after "Fails:" or "Unsupported:", by the heading (of rank 3) above them."""
    found = {}
    for section in re.split(r"^### ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        named = re.search(r"^(?:Fails|Unsupported): (.*?)(?:\n\n|\n*\Z)", section, re.MULTILINE | re.DOTALL)
        assert named, section
        found[section.split("\n", 1)[0]] = set(re.findall(r"`([a-z_]+\.[a-zA-Z0-9-]+)`", named[1]))
    return found


class Explainer:
    """Runs checks and looks for the reason of every verdict against the implementation.

    ``situations`` maps a reason to what has to be true of a loss layer in the case for it to apply; "refused" stands
    for a case that the reference refuses. ``known`` are the requirements that each reason may fail, ``fine`` statuses
    that need none.
    """

    def __init__(
        self, situations: Mapping[str, Situation], known: Mapping[str, set[str]], fine: Sequence[Status] = ()
    ) -> None:
        self.situations, self.known = situations, known
        self.fine = (Status.PASSED, Status.NOT_APPLICABLE, *fine)
        self.seen: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.unexplained: list[str] = []

    def run(self, implementation: Implementation, checks: Iterable[Check], claims: Sequence[str] = DEFAULT) -> None:
        description = implementation.describe()
        limits = Limits.of(description)
        for check in checks:
            for dtype in check.among(claims):
                if not limits.of_check(check):
                    session = Session(implementation, description, dtype)
                    verdicts = execute(check, session)
                    cases = {run.case.id: run.case for run in session.runs}
                    for verdict in verdicts:
                        self._take(verdict, cases, check)

    def stale(self, prefix: str) -> list[str]:
        """What the page says fails and has not failed, out of a layer's requirements; the net's fail anywhere."""
        return [
            f"{reason}: {requirement}"
            for reason, named in self.known.items()
            for requirement in named
            if requirement.startswith(prefix) and prefix != "net." and not self.seen[reason][requirement]
        ]

    def _take(self, verdict: Verdict, cases: Mapping[str, Case], check: Check) -> None:
        if verdict.status in self.fine or verdict.limit or _decides_nothing(check, verdict):
            return
        looked_at = [cases[verdict.check]] if verdict.check in cases else list(cases.values())
        losses = [loss for case in looked_at for loss in _losses(case, verdict.dtype)]
        arising = [name for name, arises in self.situations.items() if any(map(arises, losses))]
        arising += [] if losses else ["refused"]
        reasons = [name for name in arising if verdict.requirement in self.known.get(name, ())]
        for reason in reasons:
            self.seen[reason][verdict.requirement] += 1
        if not reasons:
            self.unexplained.append(f"{arising}: {verdict}")


def _losses(case: Case, dtype: str) -> Iterator[Loss]:
    """The loss layers of a case, in each of its passes; none where the reference refuses it."""
    inputs, params = dict(case.inputs), dict(case.params)
    for one in case.sequence:
        inputs |= one.inputs
        params |= one.params
        alone = replace(case, inputs=inputs, params=params, passes=(), each_pass=False)
        try:
            net = build(alone.rounded(dtype))
            net.forward()
        except NetError:
            return
        yield from (Loss(alone, net, node) for node in net.layers if loss_of_type(node.type))


def _decides_nothing(check: Check, verdict: Verdict) -> bool:
    """Whether the verdict is inconclusive because the reference's own answer decides the requirement as little."""
    if verdict.status is not Status.INCONCLUSIVE:
        return False
    reference = ReferenceImplementation()
    same = execute(check, Session(reference, reference.describe(), verdict.dtype))
    return any(v.requirement == verdict.requirement and v.status is Status.INCONCLUSIVE for v in same)
