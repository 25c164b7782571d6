"""Layer and LossLayer: what Caffe's ``include/caffe/layer.hpp`` and ``loss_layer.cpp`` ask of every layer.

A layer has the four methods of a pycaffe Python layer: ``setup``, ``reshape``, ``forward``, ``backward``. The weight
of a top in the net's loss lives in that top's diff; a layer multiplies its gradients by ``top[i].diff``, whatever it
holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum
from refimpl.blob import Blob, Zeros
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.messages import LayerParameter
from refimpl.quirk import LOSS_TUTORIAL, Departure, Quirk
from refimpl.schema import Message, MessageClass

if TYPE_CHECKING:
    from refimpl.dialect import Dialect

__all__ = ["Layer", "LayerContext", "LossLayer", "pick_label", "refuse_labels_outside"]


@dataclass(frozen=True)
class LayerContext:
    """What a layer may know of its net."""

    dialect: Dialect
    zeros: Zeros
    phase: str = "TRAIN"
    files: Mapping[str, bytes] = field(default_factory=dict)

    def blob(self, *shape: int) -> Blob:
        """A new blob in the net's storage, zeroed."""
        return Blob(self.zeros, shape)


class Layer:
    """A layer of a net; subclasses say how many bottoms and tops they take, and compute.

    ``forward`` writes the tops' data. ``backward`` OVERWRITES the diff of every bottom with ``propagate_down`` set
    and ADDS to the diffs of its parameters (``blobs``). Methods raise `LayerError`; the net adds the stage and the
    layer's name.

    ``v1_type`` is the type's name in a V1LayerParameter where it is not the type's words in capitals; ``items_axis`` is
    the axis of the first bottom along which the items of a batch lie; ``quirks`` and ``departures`` are those that the
    class itself has, without its bases'.

    ``forms`` are the forks' meanings of the type that the class computes; none: BVLC's, or the only one there is.
    ``self.form`` is the one in force. ``messages`` are fields of LayerParameter that the class reads in a schema of its
    own, be it that Caffe has no such field or that a fork added to it; ``self.own`` holds them.
    """

    type: ClassVar[str] = ""
    exact_bottoms: ClassVar[int | None] = None
    min_bottoms: ClassVar[int | None] = None
    max_bottoms: ClassVar[int | None] = None
    exact_tops: ClassVar[int | None] = None
    min_tops: ClassVar[int | None] = None
    max_tops: ClassVar[int | None] = None
    equal_bottoms_tops: ClassVar[bool] = False
    automatic_tops: ClassVar[bool] = False
    has_backward: ClassVar[bool] = True
    implicit_weight: ClassVar[bool] = False
    v1_type: ClassVar[str] = ""
    items_axis: ClassVar[int] = 0
    forms: ClassVar[tuple[Form, ...]] = ()
    messages: ClassVar[Mapping[str, MessageClass]] = {}
    departures: ClassVar[tuple[Departure, ...]] = ()
    quirks: ClassVar[tuple[Quirk, ...]] = (
        Quirk(
            "grown-top-loses-weight",
            "a weighted top that grows past its memory loses its weight: the diff that held it is new and zero",
            "the weight of a top does not depend on its shape",
            f"include/caffe/layer.hpp SetUp and Forward, src/caffe/blob.cpp Reshape; {LOSS_TUTORIAL}",
            number=8,
        ),
    )

    def __init__(self, param: LayerParameter, context: LayerContext) -> None:
        self.param = param
        self.context = context
        self.dialect = context.dialect
        self.form = self._form_in_force()
        self.own: dict[str, Any] = {name: self._own(name) for name in self.messages}
        self.blobs: list[Blob] = []
        self.param_propagate_down: list[bool] = []
        self.declared_weights: list[float] = list(param.loss_weight)
        self.loss_weights: list[float] = []

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters and make the learnable blobs; once, before the first reshape."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the tops the shapes that follow from the bottoms'; before every forward."""
        raise NotImplementedError(self.type)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        raise NotImplementedError(self.type)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        raise NotImplementedError(self.type)

    def allow_force_backward(self, bottom_index: int) -> bool:
        """Whether ``force_backward`` may ask for a gradient into this bottom."""
        return True

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        """Per bottom, each entry's distance to the nearest point without a derivative (inf where there is none);
        None: nowhere."""
        return [None for _ in bottom]

    @property
    def unsettled(self) -> frozenset[str]:
        """Quirks whose situation the layer is in now, and that a further pass may still take it out of."""
        return frozenset()

    def _form_in_force(self) -> Form:
        """The form that the dialect names, else the first."""
        asked = self.dialect.forms.get(self.type)
        return next((form for form in self.forms if form.name == asked), self.forms[0] if self.forms else Form(""))

    def _own(self, name: str) -> Message:
        """The field as this class reads it, all defaults where the net does not have it."""
        kind = self.messages[name]
        return self.param.own.get((name, kind), kind())

    @classmethod
    def refuse_fields_of_other_forms(cls, param: LayerParameter) -> None:
        """Raise `LayerError` for a field that the format of this form's fork does not have: its parser fails there."""
        read = {name for name, kind in param.own if cls.messages.get(name) is kind}
        asked = {name for name, _ in param.own if name in param.extra or name in cls.messages}
        for name in sorted(asked - read):
            raise LayerError(
                f"{name} has a field that {cls.type} does not have here", f"only another form of {cls.type} reads it"
            )

    def check_counts(self, bottoms: int, tops: int) -> None:
        """Refuse a wrong number of bottoms or tops."""
        for what, count, exact, low, high in (
            ("bottom", bottoms, self.exact_bottoms, self.min_bottoms, self.max_bottoms),
            ("top", tops, self.exact_tops, self.min_tops, self.max_tops),
        ):
            verb = "takes" if what == "bottom" else "produces"
            for bound, wrong, words in (
                (exact, count != exact, "exactly"),
                (low, low is not None and count < low, "at least"),
                (high, high is not None and count > high, "at most"),
            ):
                if bound is not None and wrong:
                    raise LayerError(
                        f"{self.type} {verb} {words} {bound} {what} blob(s), got {count}", f"give it {words} {bound}"
                    )
        if self.equal_bottoms_tops and bottoms != tops:
            raise LayerError(f"{self.type} needs as many tops as bottoms, got {bottoms} bottom(s) and {tops} top(s)")

    def check_fields(self, tops: int) -> None:
        """Refuse what the layer's fields show to be wrong, whatever the blobs are; after the counts, before set-up."""

    def set_loss_weights(self, top: Sequence[Blob]) -> None:
        """Write each top's weight into its diff (``layer.hpp`` SetLossWeights)."""
        self.loss_weights = [0.0] * len(top)
        if not self.declared_weights:
            return
        if len(self.declared_weights) != len(top):
            raise LayerError(
                f"{len(self.declared_weights)} loss_weight(s) for {len(top)} top(s)",
                "give loss_weight once per top, or not at all",
            )
        for i, weight in enumerate(self.declared_weights):
            self.loss_weights[i] = weight
            if weight != 0:
                top[i].diff[...] = weight

    def run_reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Reshape after set-up: a weighted top that grows keeps its weight, but in Caffe's dialect."""
        before = [blob.reallocations for blob in top]
        self.reshape(bottom, top)
        for i, weight in enumerate(self.loss_weights):
            grew = top[i].reallocations != before[i]
            if weight != 0 and grew and not self.dialect.takes("grown-top-loses-weight"):
                top[i].diff[...] = weight

    def run_forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> Any | None:
        """Reshape, compute, and return this layer's part of the net's loss: ``sum(data * diff)`` over the weighted
        tops."""
        self.run_reshape(bottom, top)
        self.forward(bottom, top)
        parts = [exact_sum(top[i].wide * top[i].wide_diff) for i, weight in enumerate(self.loss_weights) if weight != 0]
        return sum(parts[1:], parts[0]) if parts else None


class LossLayer(Layer):
    """A layer whose first top is a scalar loss with an implicit weight of 1 (``src/caffe/layers/loss_layer.cpp``).

    Bottoms: predictions of shape (N, ...) and labels or targets with the same first dimension. Top 0 has shape ().
    """

    exact_bottoms: ClassVar[int | None] = 2
    exact_tops: ClassVar[int | None] = 1
    automatic_tops = True
    implicit_weight = True
    quirks: ClassVar[tuple[Quirk, ...]] = (
        Quirk(
            "implicit-weight-once",
            "a loss layer with two tops and no loss_weight is refused: one implicit weight is added for two tops",
            "the first top weighs 1 and every further top 0",
            f"src/caffe/layers/loss_layer.cpp LayerSetUp, include/caffe/layer.hpp SetLossWeights; {LOSS_TUTORIAL}",
            number=1,
        ),
    )

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if self.declared_weights:
            return
        self.declared_weights = [1.0]
        if len(top) > 1 and not self.dialect.takes("implicit-weight-once"):
            self.declared_weights += [0.0] * (len(top) - 1)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        for blob in bottom[:2]:
            blob.canonical_axis(0)
        if bottom[0].shape[0] != bottom[1].shape[0]:
            raise LayerError(
                f"the first dimensions of data {bottom[0].shape} and label {bottom[1].shape} differ",
                "data and label need the same batch size",
            )
        top[0].reshape()

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 1

    def refuse_label_gradient(self, propagate_down: Sequence[bool]) -> None:
        """Labels take no gradient; Caffe says so in backward, not at set-up."""
        if propagate_down[1]:
            raise LayerError(
                f"{self.type} cannot backpropagate to its label input",
                "let the label come from an Input, or give propagate_down: true propagate_down: false",
            )

    def refuse_empty_batch(self, bottom: Sequence[Blob]) -> None:
        """A batch of 0 crashes or corrupts Caffe in one way or another; here it is refused."""
        if bottom[0].count == 0:
            raise LayerError(
                f"an empty batch (data of shape {bottom[0].shape}) has no loss", "give at least one sample"
            )


def pick_label(labels: NDArray[np.int64], classes: int, axis: int) -> NDArray[np.float64]:
    """One-hot rows: 1 where the class index along a new axis ``axis`` of length ``classes`` is the label, else 0.

    A label outside 0..classes-1 has an all-zero row.
    """
    index = np.arange(classes).reshape([-1 if a == axis else 1 for a in range(labels.ndim + 1)])
    hot: NDArray[np.bool_] = np.expand_dims(labels, axis) == index
    return hot.astype(np.float64)


def refuse_labels_outside(labels: NDArray[np.int64], classes: int, counted: NDArray[np.bool_] | None = None) -> None:
    """Raise `LayerError` for the first counted label outside 0..classes-1 (a release build of Caffe reads out of
    bounds)."""
    wrong = (labels < 0) | (labels >= classes)
    if counted is not None:
        wrong &= counted
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise LayerError(
            f"label {labels[where]} at {where} is outside 0..{classes - 1}",
            "labels are class indices from 0; check ignore_label",
        )
