"""Labels: what a layer makes of labels, targets and similarities that are no whole numbers, ignored, or all ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.losses import LOSSES, Loss, Variant
from conformance.losses.options import Options
from conformance.losses.roles import Labels, Similarity
from conformance.suite.judged import bundle

__all__ = ["checks"]

FAMILY = "labels"
WEIGHT = 2.5

Served = tuple[Case, Sequence[str]]


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    for stem, loss in losses.items():
        cases = list(_cases(loss.plain))
        if cases:
            yield bundle(f"{FAMILY}/{stem}", stem, cases, layer_types=(loss.type,))


def _cases(variant: Variant) -> Iterator[Served]:
    loss = variant.loss
    if loss.labelled:
        role = loss.answer.role
        assert isinstance(role, Labels)
        fractions = np.resize(role.fractions, _labels(variant).size)
        yield _case(variant, "fractional", fractions), [f"{loss.stem}.label-truncation"]
    if loss.bottom(Similarity):
        for name, flags in _SIMILARITIES.items():
            yield _case(variant, name, flags), [f"{loss.stem}.similarity-truncation"]
    if loss.graded:
        yield _case(variant, "beyond-one", _TARGETS), [f"{loss.stem}.fractional-targets"]
    if loss.ignores:
        yield from _ignoring(variant)


_SIMILARITIES = {
    "similarity-fractional": np.array([0.5, -0.75, 1.5, 0.9375, -1.5]),
    "similarity-beyond-one": np.array([2.0, -1.0, 0.0, 7.0, 1.0]),
}
"""One for each of five pairs; whatever truncates to 0 is dissimilar."""

_TARGETS = np.resize([2.0, -1.0, 0.5, 1.0, 1.5, -0.25, 0.0], 20)


def _ignoring(variant: Variant) -> Iterator[Served]:
    """Ignored labels of either sign and 0, fractional ones with them; and nothing but ignored labels."""
    stem, modes = variant.loss.stem, variant.loss.modes
    of_mode = [f"{stem}.normalization"] if variant.loss.default_mode else []
    served = [f"{stem}.ignore-label", *of_mode]
    for ignored, near in ((0, -0.75), (-1, -1.5), (2, 2.25), (255, 255.0)):
        for mode in dict.fromkeys((None, *modes)):
            labels = _labels(variant)
            labels[[0, -1]], labels[labels.size // 2] = ignored, near
            name = f"ignore-{ignored}-{(mode or 'default').lower()}"
            yield _case(variant, name, labels, _loss_param(ignored, mode)), served
    for mode in modes:
        labels = np.full(_labels(variant).size, 255.0)
        case = _case(variant, f"all-ignored-{(mode or 'default').lower()}", labels, _loss_param(255, mode))
        yield case, [f"{stem}.all-ignored", *of_mode]


def _loss_param(ignored: int, mode: str | None) -> Options:
    return {"loss_param.ignore_label": ignored, "loss_param.normalization": mode}


def _labels(variant: Variant) -> Array:
    """The variant's own labels or targets, flat."""
    return variant.values(seed=4)[variant.loss.answer.name].ravel()


def _case(variant: Variant, name: str, answers: Array, options: Options | None = None) -> Case:
    """The variant with other labels (targets, similarities), and further options."""
    blob = variant.loss.answer.name
    values = variant.values(seed=4)
    values[blob] = answers.astype(np.float64).reshape(values[blob].shape)
    case_id = f"{FAMILY}/{variant.loss.stem}/{name}"
    return variant.given(options or {}).case(case_id, weights=(WEIGHT,), values=values)
