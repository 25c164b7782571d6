"""ContrastiveLoss: what the suite knows of it beside its formula (`refimpl.layers.contrastive_loss`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from conformance.contract.case import Array
from conformance.contract.dtypes import FLOAT
from conformance.contract.requirement import MUST, PROTO, Requirement
from conformance.losses.examples import Extreme, LargeCount, Misreading, QuirkNet, Refused
from conformance.losses.expression import number
from conformance.losses.loss import Bottom, Loss, Published
from conformance.losses.nets import layer, source
from conformance.losses.options import Options
from conformance.losses.roles import Scores, Shape, Similarity
from conformance.losses.values import FORMULA, HUGE_WEIGHT, INF, NAN, Rows, exact
from refimpl.layers.contrastive_loss import ContrastiveLoss
from refimpl.messages import LayerParameter

__all__ = ["LOSS"]

_MARGIN, _LEGACY = "contrastive_loss_param.margin", "contrastive_loss_param.legacy_version"
_CPP = "src/caffe/layers/contrastive_loss_layer.cpp"
_HPP = "include/caffe/layers/contrastive_loss_layer.hpp"


def _published() -> Iterator[Published]:
    settings: dict[str, Options] = {
        "plain": {},
        "margin": {_MARGIN: 3.5},
        "legacy": {_LEGACY: True},
        "legacy-margin": {_MARGIN: 20, _LEGACY: True},
    }
    for name, options in settings.items():
        yield Published(name, (5, 4), options)
        yield Published(f"{name}-4d", (3, 2, 1, 1), options)

    def about(offset: float) -> Any:
        def near(rng: np.random.Generator, shape: Shape, classes: int) -> Array:
            return rng.integers(-8, 9, size=shape) / 64.0 + offset

        return near

    close = {"x": about(0.0), "z": about(1 / 256)}
    yield Published("inside-margin", (4, 3), {_MARGIN: 2}, fill=close)
    yield Published("legacy-inside-margin", (4, 3), {_MARGIN: 2, _LEGACY: True}, fill=close)


def _extreme(
    name: str, facets: tuple[str, ...], gaps: Rows, similar: Sequence[float], options: Options, **fields: Any
) -> Extreme:
    """Pairs that are ``gaps`` apart, from a half on or, where the gaps are small, from 0."""
    gap = exact(gaps)
    start = np.zeros_like(gap) if np.abs(gap[np.isfinite(gap)]).max() < 2.0**-5 else np.full_like(gap, 0.5)
    return Extreme(name, facets, (exact(start + gap), start, exact(similar)), options, **fields)


def _extremes() -> Iterator[Extreme]:
    inside, outside = 4 * (1 - 2.0**-20), 4 * (1 + 2.0**-20)
    no_margin: Rows = [[0.25, 0], [0, 0], [0, 0.5]]
    for name, legacy, at_margin in (("", {}, 5), ("legacy-", {_LEGACY: True}, 25)):

        def of(
            what: str,
            facets: tuple[str, ...],
            gaps: Rows,
            similar: Sequence[float],
            margin: float | None = None,
            name: str = name,
            legacy: Options = legacy,
        ) -> Extreme:
            return _extreme(f"{name}{what}", facets, gaps, similar, {**legacy, _MARGIN: margin})

        yield of("zero-distance", ("zero-distance", *FORMULA), [[0, 0], [0, 0], [1, 0]], [0, 1, 0], 2)
        yield of("at-margin", ("margin", *FORMULA), [[3, 4], [3, 4], [-4, 3]], [0, 1, 0], at_margin)
        beside: Rows = [[3, inside], [3, outside], [-3, inside], [0, 1]]
        yield of("beside-margin", ("margin", *FORMULA), beside, [0, 0, 1, 0], at_margin)
        yield of("near", FORMULA, [[2.0**-10, 0], [2.0**-13, 2.0**-14], [0, 2.0**-7]], [0, 0, 1])
        yield of("tiny", FORMULA, [[2.0**-60, 0], [2.0**-55, 2.0**-60], [2.0**-50, 0]], [0, 0, 1])
        yield of("no-margin", ("margin",), no_margin, [0, 0, 1], 0)
        yield of("negative-margin", ("margin",), no_margin, [0, 0, 1], -1)
        yield of("far", FORMULA, [[1e4, -1e4], [1e4, 0], [0.25, 0]], [0, 1, 0])
        yield of("overflow", ("nonfinite",), [[1e20, 0], [1e20, -1e25], [0.25, 0]], [0, 1, 0])
        yield of("nan", ("nonfinite",), [[NAN, 0.25], [0.25, 0], [0, 0.5]], [1, 0, 1])
        yield of("infinite", ("nonfinite",), [[INF, 0.25], [-INF, 0], [0, 0.5], [0.5, 0]], [1, 0, 1, 0])
    yield _extreme("huge-weight", ("loss-weight",), [[1, -1, 1, 1]], [1], {}, weight=HUGE_WEIGHT)


def _large_count(terms: int) -> LargeCount:
    tenth = float(FLOAT.rounded(0.1))
    column = np.ones((terms, 1))
    return LargeCount((tenth * column, 0 * column, np.ones(terms)), tenth**2 / 2)


def _grown_pairs() -> QuirkNet:
    """A thousand times the declared batch: little enough to send, too much to fit by chance."""
    a, b = (np.random.default_rng(11).integers(-64, 65, (2, 4000, 4)) * 2 + 1) / 64
    net = "force_backward: true\n" + source("x", (4, 4)) + source("z", (4, 4)) + source("s", (4,))
    net += layer("loss", ContrastiveLoss.type, ["x", "z", "s"], options="contrastive_loss_param { margin: 2 }")
    fields = {"inputs": {"x": a, "z": b * 0.75, "s": np.resize([1.0, 0.0, 0.0], 4000)}}
    return QuirkNet("contrastive-buffers-sized-once", net, fields=fields, undefined=True)


_FIVE_AXES = (2, 3, 1, 1, 1)

_EQUIVALENTS = {
    "torch": """
def loss(x, z, s, ignored):
    difference = (x - z).flatten(1)
    squared = (difference * difference).sum(1)
    apart = F.relu(1 - squared.sqrt()) ** 2
    return torch.where(s != 0, squared, apart).sum() / (2 * len(x))
""",
    "jax": """
def loss(x, z, s, ignored):
    squared = ((x - z).reshape(len(x), -1) ** 2).sum(1)
    apart = jnp.maximum(1 - jnp.sqrt(squared), 0) ** 2
    return jnp.where(s != 0, squared, apart).sum() / (2 * len(x))
""",
}


_TORCH_LAYER = """\
# relu(margin - distance); the distance's own derivative, without Caffe's 1e-4.
def tops(bottom, param):
    a, b = (blob.reshape(len(blob), -1) for blob in bottom[:2])
    margin = param.contrastive_loss_param.margin
    similar = integers(bottom[2]).reshape(-1)[: len(a)] != 0
    squared = ((a - b) ** 2).sum(1)
    if param.contrastive_loss_param.legacy_version:
        apart = F.relu(margin - squared)
    else:
        apart = F.relu(margin - torch.linalg.vector_norm(a - b, dim=1)) ** 2
    return [torch.where(similar, squared, apart).sum() / (2 * len(a))]
"""


def _expression(param: LayerParameter) -> str:
    given = param.contrastive_loss_param
    distance = "squared" if given.legacy_version else "torch.linalg.vector_norm(difference, dim=1)"
    apart = f"F.relu({number(given.margin)} - {distance})" + ("" if given.legacy_version else ".square()")
    return f"""difference = x.flatten(1) - z.flatten(1)
squared = difference.square().sum(1)
torch.where(s.long().flatten()[: len(x)] != 0, squared, {apart}).sum() / (2 * len(x))"""


LOSS = Loss(
    layer=ContrastiveLoss,
    forward="The top of ContrastiveLoss is the sum of d^2 over similar pairs and of max(margin - d, 0)^2 over the "
    "others, over twice the batch size.",
    backward="ContrastiveLoss's gradient is Caffe's, which divides by d + 1e-4 for a dissimilar pair, or the "
    "derivative.",
    bottoms=(
        Bottom("x", Scores(), learns=True),
        Bottom("z", Scores(of="x"), learns=True),
        Bottom("s", Similarity(of="x")),
    ),
    options={_MARGIN: (1.0, 3.5, 20.0), _LEGACY: (False, True)},
    further={_MARGIN: (0.1, 1e-3, 1000.3)},
    traits=frozenset({"batch-mean", "flat", "margin", "sized-once"}),
    requirements=(
        Requirement(
            "contrastive_loss.margin",
            "ContrastiveLoss's margin is contrastive_loss_param.margin, 1 where unset, and dissimilar pairs beyond it "
            "add nothing.",
            MUST,
            f"{PROTO} ContrastiveLossParameter.margin",
        ),
        Requirement(
            "contrastive_loss.legacy",
            "ContrastiveLoss with legacy_version adds max(margin - d^2, 0) for a dissimilar pair.",
            MUST,
            f"{PROTO} ContrastiveLossParameter.legacy_version",
        ),
        Requirement(
            "contrastive_loss.zero-distance",
            "A dissimilar pair of ContrastiveLoss at distance 0 adds margin^2 to the sum and has gradient 0.",
            MUST,
            f"{_CPP} Backward_cpu",
        ),
        Requirement(
            "refusal.spatial-pairs",
            "ContrastiveLoss with bottoms of a height or width other than 1 is refused.",
            MUST,
            f"{_HPP} class comment",
        ),
        Requirement(
            "refusal.pair-shape",
            "ContrastiveLoss with pairs of two lengths, or with more than one similarity for a pair, is refused.",
            MUST,
            f"{_HPP} class comment",
        ),
    ),
    published=tuple(_published()),
    extremes=tuple(_extremes()),
    large_count=_large_count,
    refused=(
        Refused("five-axes", "axes", declared={"x": _FIVE_AXES, "z": _FIVE_AXES}),
        *(
            Refused(f"{name}-pairs", "spatial-pairs", declared={"x": shape, "z": shape})
            for name, shape in (("high", (2, 3, 2, 1)), ("wide", (2, 3, 1, 2)))
        ),
        Refused("pairs-of-two-lengths", "pair-shape", declared={"z": (2, 4)}),
        Refused("two-similarities", "pair-shape", declared={"s": (2, 2)}),
    ),
    quirk_nets=(_grown_pairs(),),
    misreadings=(
        Misreading(_LEGACY, "option-ignored", lambda legacy: (not legacy,)),
        Misreading(_MARGIN, "margin", lambda margin: (margin**2, 2 * margin, margin / 2, 0.0)),
    ),
    operations=(0, 6, 1),
    equivalents={**_EQUIVALENTS, "torch-layer": _TORCH_LAYER},
    batches=2,
    expression=_expression,
)
