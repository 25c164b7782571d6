"""The gradient checkers that an author of a loss layer would otherwise use, as rules of acceptance on the same mutants.

Caffe's ``GradientChecker`` (``include/caffe/test/test_gradient_check_util.hpp``), with the settings that the test of
each layer gives it, and ``torch.autograd.gradcheck`` with its defaults. Both difference the first top of a single
layer; neither sees the value of the loss, what a diff held before, or a net.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.contract.case import Case
from conformance.contract.dtypes import DEFAULT, DOUBLE
from conformance.fixtures import load_all
from conformance.judge.reference import build
from conformance.losses import LOSSES, loss_of_type
from conformance.mutants.mutant import Mutant
from refimpl.backward_plan import Node
from refimpl.errors import LayerError, NetError
from refimpl.layer import Layer
from refimpl.net import Net

__all__ = ["CHECKERS", "Checker", "Probe", "compared", "false_rejections", "kills"]

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """The loss layer of a one-loss net, to be run by itself; ``learned`` bottoms take a gradient."""

    net: Net
    node: Node
    learned: tuple[int, ...]

    @classmethod
    def of(cls, case: Case, stem: str, dtype: str, layers: Mapping[str, type[Layer]]) -> Probe:
        """Build a case's net around a layer. Raises `NetError` where it is refused."""
        net, loss = build(case, dtype=dtype, layers=layers), LOSSES[stem]
        node = next(node for node in net.layers if node.type == loss.type)
        for other in net.layers:
            if other is node:
                break
            net.forward_layer(other)
        return cls(net, node, tuple(i for i, bottom in enumerate(loss.bottoms) if bottom.learns))

    def loss(self) -> float:
        """The first top after a forward pass."""
        with np.errstate(all="ignore"):
            self.node.layer.reshape(self._bottoms, self._tops)
            self.node.layer.forward(self._bottoms, self._tops)
        return float(self._tops[0].data)

    def gradients(self, top_diff: float) -> list[Values]:
        """The learned bottoms' gradients for a diff of the first top alone, into diffs of 0."""
        for i in self.learned:
            self._bottoms[i].diff[...] = 0
        for top in self._tops:
            top.diff[...] = 0
        self._tops[0].diff[...] = top_diff
        with np.errstate(all="ignore"):
            self.node.layer.backward(self._tops, [i in self.learned for i in range(len(self._bottoms))], self._bottoms)
        return [self._bottoms[i].diff.astype(np.float64) for i in self.learned]

    def differences(self, step: float) -> list[Values]:
        """Central differences of the loss in every entry of the learned bottoms."""
        return [np.array([self._slope(i, j, step) for j in range(self._bottoms[i].count)]) for i in self.learned]

    def features(self) -> list[Values]:
        """The learned bottoms' entries."""
        return [self._bottoms[i].data.astype(np.float64).ravel() for i in self.learned]

    def _slope(self, bottom: int, entry: int, step: float) -> float:
        flat = self._bottoms[bottom].data.reshape(-1)
        held = flat[entry]
        losses = []
        for sign in (1, -1):
            flat[entry] = held + sign * step
            losses.append(self.loss())
        flat[entry] = held
        return (losses[0] - losses[1]) / (2 * step)

    @property
    def _bottoms(self) -> list[Any]:
        return self.net.bottoms_of(self.node)

    @property
    def _tops(self) -> list[Any]:
        return self.net.tops_of(self.node)


@dataclass(frozen=True)
class Checker:
    """A rule of acceptance, and the types it is applied in."""

    name: str
    dtypes: tuple[str, ...]
    accepts: Callable[[Probe], bool]


@dataclass(frozen=True)
class _Settings:
    """Of Caffe's checker; features whose magnitude is within ``width`` of ``kink`` are left out."""

    step: float = 1e-2
    threshold: float = 1e-2
    kink: float = 0.0
    width: float = -1.0


_CAFFE = {
    "HingeLoss": _Settings(threshold=2e-3, kink=1, width=0.01),
    "InfogainLoss": _Settings(1e-4, 2e-2, 1, 0.01),
    "MultinomialLogisticLoss": _Settings(threshold=2e-2, width=0.05),
}
"""Where a layer's test differs from stepsize 1e-2 and threshold 1e-2; HingeLoss's L2 test does not."""

_TOP_DIFF = 2.0
"""The weight that Caffe's checker gives the entry it differences."""


def _caffe_accepts(probe: Probe) -> bool:
    settings = _CAFFE.get(probe.node.type, _Settings())
    if getattr(probe.node.layer, "squared", False):
        settings = _Settings()
    probe.loss()
    computed = [gradient.ravel() for gradient in probe.gradients(_TOP_DIFF)]
    estimated = [_TOP_DIFF * slopes for slopes in probe.differences(settings.step)]
    for mine, theirs, feature in zip(computed, estimated, probe.features(), strict=True):
        away = np.absolute(np.absolute(feature) - settings.kink) > settings.width
        scale = np.maximum(np.maximum(np.absolute(mine), np.absolute(theirs)), 1)
        if not np.all(np.absolute(mine - theirs)[away] <= settings.threshold * scale[away]):
            return False
    return True


def _torch_accepts(probe: Probe) -> bool:
    step, absolute, relative = 1e-6, 1e-5, 1e-3
    probe.loss()
    computed = probe.gradients(1.0)
    again, nothing = probe.gradients(1.0), probe.gradients(0.0)
    if not all(np.array_equal(a, b) for a, b in zip(computed, again, strict=True)) or any(map(np.any, nothing)):
        return False
    return all(
        np.all(np.absolute(mine.ravel() - theirs) <= absolute + relative * np.absolute(theirs))
        for mine, theirs in zip(computed, probe.differences(step), strict=True)
    )


CHECKERS = (
    Checker("Caffe's GradientChecker", DEFAULT, _caffe_accepts),
    Checker("torch.autograd.gradcheck", (DOUBLE.name,), _torch_accepts),
)


def compared(mutants: Sequence[Mutant]) -> tuple[str, dict[str, Any]]:
    """The table of what each checker makes of the layers' mutants, as Markdown and as numbers."""
    wrong = [mutant for mutant in mutants if mutant.equivalent is None]
    right = [mutant for mutant in mutants if mutant.equivalent is not None]
    lines = [
        "| checker | mutants killed | equivalents rejected | golden cases rejected for the reference |",
        "|---|---|---|---|",
    ]
    whole: dict[str, Any] = {"mutants": len(wrong), "equivalents": len(right)}
    for checker in CHECKERS:
        killed = [mutant.id for mutant in wrong if kills(checker, mutant)]
        refused = [mutant.id for mutant in right if kills(checker, mutant)]
        rejected, tried = false_rejections(checker)
        whole[checker.name] = {"killed": killed, "equivalents": refused, "rejected": rejected, "tried": tried}
        cells = [f"{len(killed)} of {len(wrong)}", f"{len(refused)} of {len(right)}", f"{rejected} of {tried}"]
        lines.append(f"| {checker.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n", whole


def kills(checker: Checker, mutant: Mutant) -> bool:
    """Whether the checker rejects a layer's mutant on any of the suite's variants of the layer."""
    loss = LOSSES[mutant.stem]
    cases = [variant.case(f"checkers/{loss.stem}/{variant.name}", seed=1) for variant in loss.variants]
    return any(not _accepted(checker, case, mutant.stem, mutant.layers) for case in cases)


def false_rejections(checker: Checker) -> tuple[int, int]:
    """How many of the golden cases of one loss layer with a finite loss the checker rejects for the reference, and of
    how many."""
    tried = rejected = 0
    for stem, case in _golden():
        try:
            finite = all(np.isfinite(Probe.of(case, stem, dtype, {}).loss()) for dtype in checker.dtypes)
        except (NetError, LayerError):
            continue
        if finite:
            tried += 1
            rejected += not _accepted(checker, case, stem, {})
    return rejected, tried


def _golden() -> Iterator[tuple[str, Case]]:
    for fixture in load_all():
        stem = fixture.id.partition("/")[0]
        answer: Any = next(iter(fixture.document["expected"].values()))
        records: Sequence[Any] = answer.get("layers", ())
        losses = [record for record in records if loss_of_type(record["type"])]
        if stem in LOSSES and (not records or len(losses) == 1) and "error" not in answer:
            yield stem, fixture.case


def _accepted(checker: Checker, case: Case, stem: str, layers: Mapping[str, type[Layer]]) -> bool:
    try:
        return all(checker.accepts(Probe.of(case, stem, dtype, layers)) for dtype in checker.dtypes)
    except (NetError, LayerError, ArithmeticError, LookupError, TypeError, ValueError):
        return False
