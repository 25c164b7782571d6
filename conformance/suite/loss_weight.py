"""Loss weights: implicit, explicit, zero, negative, tiny, huge; the total and the gradient scale, and the top's diff
is the weight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from conformance.contract.case import Array, Case
from conformance.contract.check import Check
from conformance.contract.dtypes import FLOAT
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Status, Verdict
from conformance.losses import LOSSES, Loss, Variant
from conformance.losses.nets import layer, source
from conformance.requirements import CATALOGUE
from conformance.suite.agreement import allowed_by, arrays_of, differing, keeps_bits
from conformance.suite.fresh import asked
from conformance.suite.judged import bundle, judged_answer, single
from conformance.suite.stock import DISTANCE

__all__ = ["checks"]

FAMILY = "loss_weight"
WEIGHTS: dict[str, tuple[float, ...]] = {
    "implicit": (),
    "one": (1.0,),
    "zero": (0.0,),
    "minus-one": (-1.0,),
    "two-and-a-half": (2.5,),
    "thousandth": (1e-3,),
    "tenth": (0.1,),
    "tiny": (1e-20,),
    "huge": (1e10,),
    "underflowing": (1e-50,),
}
"""0.1 and 1e-3 are rounded to float32 by the format; 1e-50 is 0 there."""


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    for loss in losses.values():
        yield from (_weights(variant) for variant in loss.variants[:2])
        yield from (_top_diff(loss.plain, value) for value in (5.0, -0.5, 0.0))
        yield _scaling(loss.plain)
        yield _removed(loss.plain)
    if losses is LOSSES:
        yield _any_layer()


def _weights(variant: Variant) -> Check:
    stem = variant.loss.stem
    facet = f"{stem}.loss-weight"
    cases = []
    if not variant.loss.layer.implicit_weight:
        unweighted = replace(variant, unweighted=True)
        case = unweighted.case(f"{FAMILY}/{stem}/{variant.name}/unweighted")
        cases.append((case, [f"{stem}.no-implicit-weight", "net.total-loss"]))
    for name, weights in WEIGHTS.items():
        if not weights and not variant.loss.layer.implicit_weight:
            continue
        kind = "net.explicit-loss-weight" if weights else "net.implicit-loss-weight"
        zero = ["net.zero-loss-weight"] if weights and FLOAT.rounded(weights[0]) == 0 else []
        case = variant.case(f"{FAMILY}/{stem}/{variant.name}/{name}", weights=weights)
        cases.append((case, [facet, kind, *zero, "net.total-loss", "net.top-diff-is-the-weight"]))
    return bundle(
        f"{FAMILY}/{variant.loss.stem}/{variant.name}", variant.loss.stem, cases, layer_types=(variant.loss.type,)
    )


def _top_diff(variant: Variant, value: float) -> Check:
    """The top's diff, set by hand between the passes, is what scales the gradient."""
    check_id = f"{FAMILY}/{variant.loss.stem}/top-diff/{value:g}"
    case = variant.case(check_id, weights=(2.0,), top_diff={"loss": value})
    return single(
        check_id,
        variant.loss.stem,
        [f"{variant.loss.stem}.loss-weight", "net.top-diff-is-the-weight"],
        case,
        layer_types=(variant.loss.type,),
    )


def _scaling(variant: Variant) -> Check:
    """A weight that is a power of two changes nothing but exponents, in any order of evaluation."""
    check_id = f"{FAMILY}/{variant.loss.stem}/scaling"
    requirement = f"{variant.loss.stem}.weight-scaling"

    def run(session: Session) -> Iterator[Verdict]:
        plain = asked(variant.case(check_id, weights=(1.0,)), session)
        bits = keeps_bits(session, plain)
        whole = session.run(plain)
        for weight in (4.0, -0.5):
            weighted = asked(variant.case(check_id, weights=(weight,)), session)
            part, want = session.run(weighted), _scaled(whole, weight, variant.learned)
            allowed = None if bits else allowed_by(session, (weighted, 1.0), (plain, weight))
            yield _same(check_id, requirement, session.dtype, part, want, variant.learned, allowed)

    return Check(check_id, FAMILY, variant.loss.stem, (requirement,), run, layer_types=(variant.loss.type,))


def _scaled(answer: Outcome | Refusal, weight: float, blobs: Sequence[str]) -> Outcome | Refusal:
    if isinstance(answer, Refusal):
        return answer
    return replace(
        answer,
        loss=answer.loss * weight,
        diff={name: answer.diff[name] * weight for name in blobs if name in answer.diff},
    )


def _removed(variant: Variant) -> Check:
    """A loss of weight 0 on a blob that another loss uses leaves no trace, bit for bit."""
    check_id = f"{FAMILY}/{variant.loss.stem}/zero-is-removed"
    requirement = f"{variant.loss.stem}.zero-weight-removed"
    first = replace(variant, unforced=True)

    def run(session: Session) -> Iterator[Verdict]:
        alone, beside = (asked(_case(first, check_id, weights), session) for weights in ((), (0.0,)))
        with_both = session.run(beside)
        yield from judged_answer(session, check_id, ["net.zero-loss-weight"], with_both)
        allowed = None if keeps_bits(session, alone) else allowed_by(session, (beside, 1.0), (alone, 1.0))
        same = _same(check_id, requirement, session.dtype, with_both, session.run(alone), variant.learned, allowed)
        leaks = [f"quirk.{net.quirk}" for net in variant.loss.quirk_nets if net.shows == "leaks"]
        if same.status is Status.FAILED and leaks and session.dialect != "documented":
            explained = judged_answer(session, check_id, leaks, with_both)
            yield from (replace(v, reason=v.reason or same.reason) for v in explained)
            if not any(v.status.breaks for v in explained):
                return
        yield same

    requirements = (requirement, "net.zero-loss-weight")
    return Check(check_id, FAMILY, variant.loss.stem, requirements, run, layer_types=(variant.loss.type,))


def _case(variant: Variant, check_id: str, weights: tuple[float, ...]) -> Case:
    """A distance on the variant's first bottom and, with ``weights``, the variant's loss beside it."""
    blob, shape = variant.first, variant.shapes[variant.first]
    net = variant.sources() + source("target", shape) + layer("main", DISTANCE.type, (blob, "target"))
    net += variant.layer(name="aside", weights=weights) if weights else ""
    values = variant.values()
    fed = variant.feed(values)
    fed["inputs"]["target"] = FLOAT.rounded(np.linspace(-2, 2, values[blob].size).round(2)).reshape(shape)
    return Case(check_id, net, **fed, forms=variant.loss.forms)


def _same(
    check: str,
    requirement: str,
    dtype: str,
    got: Outcome | Refusal,
    want: Outcome | Refusal,
    blobs: Sequence[str],
    allowed: Mapping[str, Array] | None,
) -> Verdict:
    level = CATALOGUE[requirement].level
    if isinstance(got, Refusal) or isinstance(want, Refusal):
        refused = got if isinstance(got, Refusal) else want
        assert isinstance(refused, Refusal)
        return Verdict(
            check, requirement, dtype, Status.FAILED, level, reason=f"refused at {refused.stage}: {refused.message}"
        )
    kept = {f"diff of {name}" for name in blobs if name in got.diff and name in want.diff}
    if not kept:
        return Verdict(check, requirement, dtype, Status.INCONCLUSIVE, level, reason="no gradient is reported")
    if requirement.endswith("weight-scaling"):
        kept.add("net loss")
    mine, theirs = ({n: a for n, a in arrays_of(answer).items() if n in kept} for answer in (got, want))
    wrong = next(differing(mine, theirs, allowed), None)
    if wrong is not None:
        return Verdict(check, requirement, dtype, Status.FAILED, level, reason=wrong.reason)
    return Verdict(check, requirement, dtype, Status.PASSED, level)


_ANY = {
    "AbsVal": "",
    "BNLL": "",
    "ELU": "",
    "Exp": "",
    "Flatten": "",
    "InnerProduct": "inner_product_param { num_output: 2 }",
    "Power": "power_param { power: 2 scale: 0.5 shift: 1 }",
    "ReLU": "",
    "Reduction": "reduction_param { operation: SUMSQ axis: 1 }",
    "Reshape": "reshape_param { shape { dim: 0 dim: -1 } }",
    "Scale": "",
    "Sigmoid": "",
    "Softmax": "",
    "TanH": "",
}


def _any_layer() -> Check:
    """Any layer's top may carry a weight: the loss is the weighted sum of every entry."""
    values = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.25]])
    cases = []
    for kind, options in _ANY.items():
        for weight in (2.5, -1.0):
            net = (
                "force_backward: true\n"
                + source("x", values.shape)
                + layer("f", kind, "x", weights=(weight,), options=options)
            )
            params = {
                "InnerProduct": (np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]), np.array([0.5, -0.5])),
                "Scale": (np.array([0.5, 2.0, -1.0]),),
            }
            case = Case(
                f"{FAMILY}/net/{kind}/{weight:g}",
                net,
                {"x": values},
                params={"f": params[kind]} if kind in params else {},
            )
            cases.append((case, [f"layer.{kind}", "net.non-loss-weight", "net.total-loss"]))
    return bundle(f"{FAMILY}/net/any-layer", "net", cases, needs_net=True)
