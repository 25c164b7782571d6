"""`torch`: PyTorch's own losses depart from Caffe where docs/adapters/torch.md says, and nowhere else."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.adapters.opening import open_implementation
from conformance.adapters.reference import ReferenceImplementation
from conformance.case import Array, Case
from conformance.check import Check
from conformance.drive import build
from conformance.execution import execute, inapplicable
from conformance.fixtures import load
from conformance.implementation import Description, DoesNotStart, Implementation, Unsupported
from conformance.judge import judge
from conformance.outcome import Outcome, Refusal
from conformance.requirements.serving import STEMS
from conformance.session import Session
from conformance.suite import all_checks
from conformance.suite.recipes import recipes_of
from conformance.verdict import Status, Verdict
from refimpl.layers.normalisation import Normalisation
from refimpl.net import Net

PAGE = Path(__file__).parent.parent / "docs" / "adapters" / "torch.md"
CLASSIFIERS = ("softmax_with_loss", "infogain_loss", "hinge_loss", "multinomial_logistic_loss")
FLOORS = {"SoftmaxWithLoss": 2.0**-126, "InfogainLoss": 1e-20, "MultinomialLogisticLoss": 1e-20}


class Loss:
    """A loss layer of a case's net with what it is fed, so that a reason's situation can be looked for."""

    def __init__(self, net: Net, node: Any) -> None:
        self.type, self.param = node.type, node.layer.param
        self.bottoms: list[Array] = [np.array(net.blobs[name].data) for name in node.bottoms]
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
            exponentials = np.exp((finite - finite.max(-1, keepdims=True)).astype(np.longdouble))
            p = exponentials / exponentials.sum(-1, keepdims=True)
        if self.type == "InfogainLoss":
            return p[~self.ignored]
        chosen = np.take_along_axis(p, np.where(self.ignored, 0, self.labels).reshape(*p.shape[:-1], 1), -1)[..., 0]
        return chosen[~self.ignored.reshape(chosen.shape)]


def ignoring(loss: Loss) -> bool:
    return loss.type in ("SoftmaxWithLoss", "InfogainLoss", "SigmoidCrossEntropyLoss")


SITUATIONS: Mapping[str, Callable[[Loss], bool]] = {
    "nothing-counts": lambda loss: ignoring(loss) and loss.valid and bool(loss.ignored.all()),
    "no-floor": lambda loss: loss.type in FLOORS and bool((loss.logged < FLOORS[loss.type]).any()),
    "ignored-not-finite": lambda loss: (
        "Sigmoid" not in loss.type and ignoring(loss) and not np.isfinite(loss.by_class[loss.ignored]).all()
    ),
    "nan-score": lambda loss: loss.type == "HingeLoss" and bool(np.isnan(loss.scores).any()),
    "branch-not-taken": lambda loss: (
        loss.type == "ContrastiveLoss" and not all(np.isfinite(bottom).all() for bottom in loss.bottoms[:2])
    ),
    "logarithm-elsewhere": lambda loss: loss.type == "MultinomialLogisticLoss" and bool((~(loss.scores > 0)).any()),
    "matrix-in-a-file": lambda loss: loss.type == "InfogainLoss" and len(loss.bottoms) == 2,
}
"""Each reason of the page, and when it applies."""


class Watched:
    """An implementation that remembers the cases it ran."""

    def __init__(self, inner: Implementation) -> None:
        self.inner = inner
        self.cases: dict[str, Case] = {}

    def describe(self) -> Description:
        return self.inner.describe()

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        self.cases[case.id] = case
        return self.inner.run(case, dtype)

    def close(self) -> None:
        self.inner.close()


@pytest.fixture(scope="module")
def torch_losses() -> Watched:
    pytest.importorskip("torch", reason="not run: PyTorch is not installed (tox -e torch)")
    return Watched(open_implementation("torch"))


def losses_of(case: Case, dtype: str) -> Iterator[Loss]:
    net = build(case.rounded(dtype))
    net.forward()
    yield from (Loss(net, node) for node in net.layers if node.type in STEMS.values())


def reason_for(verdict: Verdict, cases: Mapping[str, Case]) -> str:
    """The first reason whose situation arises in the verdict's case, or in those that its check ran."""
    looked_at = [cases[verdict.check]] if verdict.check in cases else list(cases.values())
    losses = [loss for case in looked_at for loss in losses_of(case, verdict.dtype)]
    return next((name for name, arises in SITUATIONS.items() if any(map(arises, losses))), "unexplained")


def listed() -> dict[str, set[str]]:
    """The requirements that the page names, by reason."""
    sections = re.split(r"^### ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        named = re.search(r"^(?:Fails|Unsupported): (.*?)(?:\n\n|\n*\Z)", section, re.MULTILINE | re.DOTALL)
        assert named, section
        found[section.split("\n", 1)[0]] = set(re.findall(r"`([a-z_]+\.[a-z0-9-]+)`", named[1]))
    return found


def judged_by(watched: Watched, checks: Iterator[Check]) -> Iterator[tuple[Verdict, Mapping[str, Case], Check]]:
    description = watched.describe()
    for check in checks:
        for dtype in check.dtypes:
            if inapplicable(check, description) is None:
                watched.cases = {}
                for verdict in execute(check, Session(watched, description, dtype)):
                    yield verdict, watched.cases, check


def decides_nothing(check: Check, verdict: Verdict) -> bool:
    """Whether the reference's own answer decides the requirement as little."""
    reference = ReferenceImplementation()
    same = execute(check, Session(reference, reference.describe(), verdict.dtype))
    return any(v.requirement == verdict.requirement and v.status is Status.INCONCLUSIVE for v in same)


def test_without_torch_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "conformance.adapters.torch", raising=False)
    with pytest.raises(DoesNotStart, match=r"pip install 'caffe-loss-conformance\[torch\]'"):
        open_implementation("torch")


@pytest.mark.parametrize("stem", list(STEMS))
def test_torch_computes_every_loss_and_its_gradient(torch_losses: Watched, stem: str) -> None:
    for dtype in ("float32", "float64"):
        case = recipes_of(stem)[0].case(f"plain/{stem}", weights=(2.5,))
        judged = judge("plain", [f"{stem}.forward", f"{stem}.backward"], case, torch_losses.run(case, dtype), dtype)
        assert {verdict.status for verdict in judged} == {Status.PASSED}


@pytest.mark.parametrize(("stem", "label"), [(s, y) for s in CLASSIFIERS for y in (-1.0, 1e3)])
def test_torch_refuses_a_label_that_is_no_class(torch_losses: Watched, stem: str, label: float) -> None:
    recipe = recipes_of(stem)[0]
    values = recipe.values()
    values["y"][0] = label
    answer = torch_losses.run(recipe.case("label", values=values), "float64")
    assert isinstance(answer, Refusal)
    assert answer.stage == "forward"


def test_torch_is_unsupported_not_refused_where_the_matrix_lies_in_a_file(torch_losses: Watched) -> None:
    with pytest.raises(Unsupported, match="third bottom"):
        torch_losses.run(load("infogain_source/double-0").case, "float64")


def test_the_page_has_a_section_for_every_reason() -> None:
    assert list(listed()) == list(SITUATIONS)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stem", [*STEMS, "net"])
def test_every_verdict_against_torch_has_a_reason_on_the_page(torch_losses: Watched, stem: str) -> None:
    known, seen, unexplained = listed(), defaultdict(set), []
    for verdict, cases, check in judged_by(torch_losses, (c for c in all_checks() if c.layer == stem)):
        if verdict.status is Status.INCONCLUSIVE and decides_nothing(check, verdict):
            continue
        if verdict.status not in (Status.PASSED, Status.NOT_APPLICABLE):
            reason = reason_for(verdict, cases)
            seen[reason].add(verdict.requirement)
            if verdict.requirement not in known.get(reason, ()):
                unexplained.append((reason, verdict.check, verdict.requirement, verdict.status.value, verdict.reason))
    assert not unexplained
    for reason, requirements in known.items():
        of_this_layer = {requirement for requirement in requirements if requirement.startswith(f"{stem}.")}
        assert of_this_layer <= seen[reason], f"{reason}: no longer fails"
