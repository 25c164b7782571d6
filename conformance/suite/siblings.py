"""Siblings: several layers of one type in one net, unlike in everything, so that what a type keeps for all is seen; and
of every two types of a profile, so that what their base class or a scratch pool keeps for both is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from conformance.contract.case import Array, Case, Pass
from conformance.contract.check import Check
from conformance.losses import LOSSES, Loss, Variant
from conformance.losses.nets import layer, source
from conformance.losses.options import options_text
from conformance.suite.judged import bundle, single
from conformance.suite.trunk import batch

__all__ = ["checks"]

FAMILY = "siblings"
WEIGHTS = (2.5, -0.75, 0.5, -1.5)
_BY_ONE = "scale_param { axis: 0 num_axes: 0 }"


def checks(losses: Mapping[str, Loss] = LOSSES) -> Iterator[Check]:
    for stem, loss in losses.items():
        served = [f"{stem}.contract-siblings", "net.passes"]
        cases = [(case, served) for case in _cases(loss)]
        yield bundle(f"{FAMILY}/{stem}", stem, cases, layer_types=(loss.type,))
    for pair in combinations(losses.values(), 2):
        types = tuple(loss.type for loss in pair)
        if len(set(types)) == len(types):  # a type means one thing in a net
            yield _cousins(pair, types)


def _cousins(pair: tuple[Loss, Loss], types: tuple[str, ...]) -> Check:
    """Two types in turn: the plain variant of each, then the least plain."""
    first, second = pair
    case_id = f"{FAMILY}/net/{first.stem}-and-{second.stem}"
    served = [f"{loss.stem}.contract-siblings" for loss in pair]
    case = _case(case_id, (*(loss.plain for loss in pair), *map(_unlike, pair)))
    about = {"layer_types": types, "forms": case.forms, "together": True}
    return single(case_id, "net", [*served, "net.passes"], case, **about)


def _cases(loss: Loss) -> Iterator[Case]:
    plain = loss.plain
    unlike = _unlike(loss)
    wide = replace(loss.sized((6, 3)), name="wide")
    for name, variants in (
        ("twins", (plain, replace(plain, name="twin"))),
        ("unlike", (plain, unlike)),
        ("three", (wide, unlike, plain)),
    ):
        yield _case(f"{FAMILY}/{loss.stem}/{name}", variants)
    for path, others in _apart(loss, unlike):
        yield _case(f"{FAMILY}/{loss.stem}/{path.rpartition('.')[2]}-apart", others)


def _unlike(loss: Loss) -> Variant:
    """The published variant with the most options, and ignored answers if there are any."""
    return max(loss.variants, key=lambda variant: (len(variant.options), len(variant.ignored), len(variant.shapes)))


def _apart(loss: Loss, variant: Variant) -> Iterator[tuple[str, tuple[Variant, Variant]]]:
    """For each option of a variant, that variant and another that has all but this option in common: what is kept for
    all layers that share a switch is seen by two that do. Options that shapes hang on are left as they are."""
    bound = {loss.axis_option, *loss.completed(variant.shapes[variant.first], {})}
    for path, value in variant.options.items():
        others = [one for one in loss.options.get(path, ()) if one is not None and one != value]
        if others and path not in bound:
            yield path, (variant, replace(variant.given({path: others[0]}), name=f"{variant.name}-other"))


def _case(case_id: str, variants: Sequence[Variant]) -> Case:
    """All instances on a batch, then the last on another one, then the others too."""
    net = "".join(_instance(variant, i, WEIGHTS[i]) for i, variant in enumerate(variants))
    first, second = (_values(variants, seed) for seed in (5, 6))
    last = f"_{len(variants) - 1}"
    passes = ({name: array for name, array in second.items() if name.endswith(last)}, second)
    forms = tuple(dict.fromkeys(form for variant in variants for form in variant.loss.forms))
    return Case(case_id, net, first, passes=tuple(Pass(inputs) for inputs in passes), each_pass=True, forms=forms)


def _instance(variant: Variant, index: int, weight: float) -> str:
    """One loss on inputs of its own; what is learnt comes through a Scale by 1."""
    text, bottoms = "", {}
    for name, shape in variant.shapes.items():
        bottoms[name] = f"{name}_{index}"
        text += source(bottoms[name], shape)
        if name in variant.learned:
            scaled = f"{name}_scaled_{index}"
            text += layer(scaled, "Scale", [bottoms[name]], options=_BY_ONE)
            bottoms[name] = scaled
    name = f"loss_{index}"
    return text + variant.over(name, list(bottoms.values()), [name], (weight,), options_text(variant.options))


def _values(variants: Sequence[Variant], seed: int) -> Mapping[str, Array]:
    return {
        f"{name}_{index}": array
        for index, variant in enumerate(variants)
        for name, array in batch(variant, seed + 11 * index).items()
    }
