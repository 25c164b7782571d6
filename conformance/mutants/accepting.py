"""What can be wrong in refusals: nets that Caffe refuses, accepted and computed somehow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from conformance.losses import LOSSES
from conformance.losses.roles import Matrix
from conformance.mutants.mutant import Mutant
from conformance.mutants.net.bookkeeping import built_from
from conformance.mutants.slips import Blobs, Slip, mutants_of
from conformance.record.cause import Cause
from refimpl.errors import LayerError, PrototxtError
from refimpl.layer import Layer
from refimpl.layers import REGISTRY
from refimpl.messages import LayerParameter, NetParameter
from refimpl.net import Net
from refimpl.prototxt import parse_net

__all__ = ["MUTANTS"]

CLASSIC = "classic slip"


def _counts_unchecked(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def check_counts(self, bottoms: int, tops: int) -> None:
            """Takes any number."""

    return Wrong


def _shapes_unchecked(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        fits = True

        def reshape(self, bottom: Blobs, top: Blobs) -> None:
            try:
                super().reshape(bottom, top)
            except LayerError:
                self.fits = False
                top[0].reshape()

        def forward(self, bottom: Blobs, top: Blobs) -> None:
            if self.fits:
                super().forward(bottom, top)

        def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
            if self.fits:
                super().backward(top, propagate_down, bottom)

    return Wrong


def _weights_unchecked(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        declared_weights: list[float]

        def set_loss_weights(self, top: Blobs) -> None:
            given = self.declared_weights
            self.declared_weights = [*given, *[0.0] * len(top)][: len(top)] if given else []
            super().set_loss_weights(top)

    return Wrong


def _labels_propagated(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def refuse_label_gradient(self, propagate_down: Sequence[bool]) -> None:
            """Lets it pass, and sends nothing."""

    return Wrong


def _identity_matrix(layer: type[Layer]) -> type[Layer]:
    class Wrong(layer):  # type: ignore[misc, valid-type]
        def _read_source(self) -> Any:
            try:
                return super()._read_source()
            except LayerError:
                return self.context.blob(0)

        def reshape(self, bottom: Blobs, top: Blobs) -> None:
            if len(bottom) == 2 and self.matrix.count == 0:
                classes = bottom[0].shape[1]
                self.matrix.reshape(classes, classes)
                self.matrix.data.ravel()[:: classes + 1] = 1
            super().reshape(bottom, top)

    return Wrong


def _slips(stem: str) -> tuple[Slip, ...]:
    slips = [
        Slip(
            "accepts-any-count",
            "{type} takes any number of bottoms and tops.",
            CLASSIC,
            Cause.ACCEPTS,
            _counts_unchecked,
        ),
        Slip(
            "accepts-any-shape",
            "{type} computes nothing where shapes do not fit, and says nothing.",
            CLASSIC,
            Cause.ACCEPTS,
            _shapes_unchecked,
        ),
        Slip(
            "accepts-any-weights",
            "{type} pads or cuts the list of its loss_weights.",
            CLASSIC,
            Cause.ACCEPTS,
            _weights_unchecked,
        ),
    ]
    if LOSSES[stem].answer_takes_no_gradient:
        slips.append(
            Slip(
                "accepts-label-gradient",
                "{type} sends no gradient to labels that ask for one, and says nothing.",
                "nets with a learnable layer below the labels",
                Cause.ACCEPTS,
                _labels_propagated,
            )
        )
    if LOSSES[stem].bottom(Matrix):
        slips.append(
            Slip(
                "accepts-no-matrix",
                "{type} takes the identity where there is no matrix.",
                CLASSIC,
                Cause.ACCEPTS,
                _identity_matrix,
            )
        )
    return tuple(slips)


def _without_unknown_types(net: NetParameter, phase: str) -> NetParameter:
    return replace(net, layer=tuple(layer for layer in net.layer if layer.type in REGISTRY))


def _makers_first(net: NetParameter, phase: str) -> NetParameter:
    waiting, layers, known = list(net.layer), list[LayerParameter](), set[str]()
    while waiting:
        following = next((layer for layer in waiting if known.issuperset(layer.bottom)), waiting[0])
        waiting.remove(following)
        layers.append(following)
        known.update(following.top)
    return replace(net, layer=tuple(layers))


def _without_exclude(net: NetParameter, phase: str) -> NetParameter:
    return replace(net, layer=tuple(replace(layer, exclude=()) if layer.include else layer for layer in net.layer))


def _propagate_down_fitted(net: NetParameter, phase: str) -> NetParameter:
    def fit(layer: LayerParameter) -> LayerParameter:
        given = layer.propagate_down
        return replace(
            layer, propagate_down=(*given, *[True] * len(layer.bottom))[: len(layer.bottom)] if given else ()
        )

    return replace(net, layer=tuple(map(fit, net.layer)))


class _UnreadableLinesSkipped(Net):
    def __init__(self, text: str | NetParameter, phase: str = "TRAIN", **options: Any) -> None:
        if isinstance(text, str):
            text = _readable(text)
        super().__init__(text, phase, **options)


def _readable(text: str) -> str:
    """The text without the lines at which reading it fails, as long as that helps."""
    lines = text.splitlines()
    for _ in lines:
        try:
            parse_net("\n".join(lines))
        except PrototxtError as error:
            lines[error.line - 1 : error.line] = []
        else:
            break
    return "\n".join(lines)


_NETS = (
    Mutant(
        "net/accepts-unknown-types",
        "Layers of unknown types are left out.",
        CLASSIC,
        Cause.ACCEPTS,
        net=built_from(_without_unknown_types),
    ),
    Mutant(
        "net/accepts-any-order",
        "Layers may stand before those that make their bottoms.",
        "frameworks that sort a graph",
        Cause.ACCEPTS,
        net=built_from(_makers_first),
    ),
    Mutant(
        "net/accepts-any-count-around",
        "Layers around the losses take any number of bottoms and tops.",
        CLASSIC,
        Cause.ACCEPTS,
        {kind: _counts_unchecked(layer) for kind, layer in REGISTRY.items() if not layer.implicit_weight},
    ),
    Mutant(
        "net/accepts-both-rules",
        "Where a layer has include and exclude rules, the latter are not read.",
        CLASSIC,
        Cause.ACCEPTS,
        net=built_from(_without_exclude),
    ),
    Mutant(
        "net/accepts-any-propagate-down",
        "A list of propagate_down is padded or cut to the bottoms.",
        CLASSIC,
        Cause.ACCEPTS,
        net=built_from(_propagate_down_fitted),
    ),
    Mutant(
        "net/accepts-unreadable-lines",
        "Lines of a prototxt that cannot be read are skipped.",
        CLASSIC,
        Cause.ACCEPTS,
        net=_UnreadableLinesSkipped,
    ),
)

MUTANTS = (
    *(mutant for loss in LOSSES.values() for mutant in mutants_of(loss.stem, loss.layer, _slips(loss.stem))),
    *_NETS,
)
