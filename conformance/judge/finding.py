"""Finding: one thing in an outcome that the reference does not explain, and how near the rest came."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from conformance.contract.aspect import WORDS
from conformance.contract.verdict import Element, Level
from conformance.judge.best import over_best
from conformance.judge.bias import measure_bias
from conformance.judge.bounded import Measurement, measure
from conformance.judge.replay import Comparison

__all__ = ["Finding", "findings_of"]


@dataclass(frozen=True)
class Finding:
    """What was judged of one array (or of the answer as a whole), and how it came out.

    ``kind`` is the comparison's aspect or one of "bias", "shape" (whether the axes are right where the count is),
    "structure", "refused" (what Caffe runs is refused), "refusal" (what Caffe refuses is refused, or not) and
    "stage" (it is, but earlier than by Caffe). ``layer_type`` is "net" where no layer answers for it.
    ``by_weight`` tells that a rejected array is right once the top's weight is multiplied in or divided out,
    ``absent`` that it is all zeros, ``unbounded`` that some of its elements are off and have no finite bound,
    ``boundless`` that none has one, ``in_total`` that it is a top whose weighted sum is in the net's loss.
    ``blob`` names what the numbers are of, ``best`` is their error over the least that their type allows.
    """

    kind: str
    layer_type: str
    layer: str | None
    accepted: bool
    level: Level
    reason: str = ""
    headroom: float | None = None
    element: Element | None = None
    by_weight: bool = False
    absent: bool = False
    unbounded: bool = False
    boundless: bool = False
    in_total: bool = False
    blob: str = ""
    best: float | None = None


def findings_of(
    comparisons: list[list[Comparison]], dtype: str, weightless: list[Comparison] | None = None
) -> list[Finding]:
    """Judge the arrays of one replay; ``comparisons`` holds it and its alternatives (each element may follow any).

    A rejected gradient is tried again with the weight multiplied in and divided out, and beside a replay whose losses
    leave their weights out of their gradients.
    """
    found: list[Finding] = []
    for i, versions in enumerate(zip(*comparisons, strict=True)):
        findings = _judged(versions, dtype)
        if weightless is not None and _gradient_is(weightless[i], dtype):
            findings = [finding if finding.accepted else replace(finding, by_weight=True) for finding in findings]
        found += findings
    return found


def _judged(versions: tuple[Comparison, ...], dtype: str) -> list[Finding]:
    first = versions[0]
    level = Level.SHOULD if first.aspect == "unasked" else Level.MUST
    given = first.aspect == "input" and first.got.shape != first.want.shape
    if first.got.size != first.want.size or given:
        shape = f"{first.blob} has shape {first.got.shape}, wanted {first.want.shape}"
        return [Finding(first.aspect, first.layer_type, first.layer, False, level, shape)]
    found = [_measured(versions, dtype, level)]
    same_shape = first.got.shape == first.want.shape
    if not same_shape or first.aspect == "forward":
        shape = "" if same_shape else f"{first.blob} has shape {first.got.shape} for {first.want.shape}"
        found.append(Finding("shape", first.layer_type, first.layer, same_shape, Level.SHOULD, shape))
    of_a_loss = first.node is not None and first.node.layer.implicit_weight and first.want.stored is None
    if found[0].accepted and of_a_loss and len(versions) == 1 and first.aspect in ("forward", "backward"):
        found += _biased(first)
    return found


def _measured(versions: tuple[Comparison, ...], dtype: str, level: Level) -> Finding:
    first = versions[0]
    measured = measure(first.got, [version.want for version in versions], dtype)
    absent = not np.count_nonzero(first.got)
    spared = first.aspect == "unasked" and absent
    accepted = measured.accepted or spared
    of_a_loss = first.node is not None and first.node.layer.implicit_weight
    return Finding(
        kind=first.aspect,
        layer_type=first.layer_type,
        layer=first.layer,
        accepted=accepted,
        level=level,
        reason="" if accepted else _reason(first, measured),
        headroom=None if spared else measured.headroom,
        element=None if accepted else Element(first.blob, measured.index, measured.got, measured.want, measured.bound),
        by_weight=not accepted and _right_by_weight(versions, dtype),
        absent=not accepted and absent,
        unbounded=measured.unbounded > 0,
        boundless=0 < measured.size == measured.boundless,
        blob=first.blob,
        best=_over_best(versions) if of_a_loss and first.aspect in ("forward", "backward") else None,
    )


def _over_best(versions: tuple[Comparison, ...]) -> float | None:
    """The reading beside the right answer that the array is nearest to."""
    read = (over_best(version.got, version.want) for version in versions)
    return min((each for each in read if each is not None), default=None)


def _biased(first: Comparison) -> list[Finding]:
    bias = measure_bias(first.got, first.want)
    if bias is None:
        return []
    accepted = bias.headroom >= 1
    reason = (
        ""
        if accepted
        else f"{first.blob} is off by a common factor of {1 + bias.value:.9g}, within 1 ± {bias.bound:.2g}"
    )
    return [Finding("bias", first.layer_type, first.layer, accepted, Level.SHOULD, reason, headroom=bias.headroom)]


def _reason(first: Comparison, measured: Measurement) -> str:
    place = f"[{', '.join(map(str, measured.index))}]" if measured.index else ""
    return (
        f"{WORDS[first.aspect]} {first.blob}{place}: got {measured.got:.9g}, want {measured.want:.9g} "
        f"within {measured.bound:.2g}; {measured.rejected} of {measured.size} element(s) out of bounds"
    )


def _gradient_is(one: Comparison, dtype: str) -> bool:
    fits = one.aspect in ("backward", "parameter") and one.got.size == one.want.size
    return fits and measure(one.got, [one.want], dtype).accepted


def _right_by_weight(versions: tuple[Comparison, ...], dtype: str) -> bool:
    if versions[0].aspect != "backward":
        return False
    weights = versions[0].weights - {0.0, 1.0}
    wants = [version.want for version in versions]
    got = np.asarray(versions[0].got, dtype=np.float64)
    with np.errstate(all="ignore"):
        return any(measure(got * factor, wants, dtype).accepted for w in weights for factor in (w, 1 / w))
