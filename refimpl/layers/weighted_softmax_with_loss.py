"""WeightedSoftmaxWithLoss: a softmax loss whose samples weigh differently (no layer of BVLC Caffe's; read)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import like, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.form import Form
from refimpl.layers.softmax_with_loss import SoftmaxWithLoss
from refimpl.messages import SoftmaxParameter
from refimpl.quirk import Departure, Quirk
from refimpl.schema import MessageClass, floating, int32

__all__ = ["RarityWeightedSoftmaxWithLoss", "RowWeightedSoftmaxWithLoss", "WeightedSoftmaxWithLoss"]

_W1 = "bairdzhang/des@105cbe77 src/caffe/layers/weighted_softmax_loss_layer.cpp"
_W2 = "lswzjuer/caffe-adas@cd119fe1 src/caffe/layers/weighted_softmax_loss_layer.cpp"
_W3 = "haochen-rye/LSTD@84c36983 src/caffe/layers/weighted_softmax_loss_layer.cpp"
_W4 = "superxuang/caffe_3d_faster_rcnn@f8002c2d src/caffe/layers/weighted_softmax_loss_layer.cpp"


class PositiveSoftmaxParameter(SoftmaxParameter):
    pos_mult: float = floating(1)
    pos_cid: int = int32(1)


class WeightedSoftmaxWithLoss(SoftmaxWithLoss):
    """``L = -sum c log(max(p_label, FLT_MIN)) / Z`` over the counted positions, p the softmax.

    c is ``softmax_param.pos_mult`` where the label is ``softmax_param.pos_cid``, else 1; ``dL/dx_i = w c (p_i - [i =
    label]) / Z``. Z counts positions, whatever they weigh: by ``loss_param.normalization`` in the form W2; in W1 the
    counted ones with ``loss_param.normalize`` (0/0 where there is none), else the batch.
    """

    type = "WeightedSoftmaxWithLoss"
    v1_type = ""
    messages: ClassVar[Mapping[str, MessageClass]] = {"softmax_param": PositiveSoftmaxParameter}
    forms: ClassVar[tuple[Form, ...]] = (
        Form("W2", _W2, {"by normalize": False}),
        Form("W1", _W1, {"by normalize": True}),
    )
    quirks: ClassVar[tuple[Quirk, ...]] = (
        Quirk(
            "weighted-softmax-scales-neighbours",
            "WeightedSoftmaxWithLoss in the form W1 scales by a weight beyond the classes of a position: its "
            "neighbours' gradients and, at the end, memory that is not its own (undefined behaviour; refused here)",
            "a position's weight scales its own classes",
            f"{_W1} Backward_cpu (k < dim)",
        ),
    )
    departures: ClassVar[tuple[Departure, ...]] = ()

    def softmax_axis(self) -> int:
        param = self.own.get("softmax_param", self.param.softmax_param)
        axis: int = param.axis
        return axis

    def divisor(self, counted: NDArray[np.bool_]) -> float:
        if not self.form.switches["by normalize"]:
            return super().divisor(counted)
        if self.param.loss_param.normalize:
            return float(np.count_nonzero(counted))
        return float(np.prod(self.positions[: self.axis]))

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if self._overruns(bottom) and self.dialect.takes("weighted-softmax-scales-neighbours"):
            raise LayerError(
                "a weight is multiplied into memory beyond the position's classes", "use one position for each sample"
            )
        super().backward(top, propagate_down, bottom)

    def weighed(self, each: Any, labels: NDArray[np.int64], bottom: Sequence[Blob]) -> Any:
        param = self.own["softmax_param"]
        return weighted(each, np.where(labels == param.pos_cid, param.pos_mult, 1.0))

    def _overruns(self, bottom: Sequence[Blob]) -> bool:
        if not self.form.switches["by normalize"] or np.prod(self.positions[self.axis :]) == 1:
            return False
        param, (labels, counted) = self.own["softmax_param"], self.read_labels(bottom)
        return param.pos_mult != 1 and bool((counted & (labels == param.pos_cid)).any())


class RowWeightedSoftmaxWithLoss(WeightedSoftmaxWithLoss):
    """WeightedSoftmaxWithLoss whose c is the third bottom, a number for each item before the class axis.

    VALID counts positions of items that weigh more than 1e-12. The third bottom takes no gradient; there is no
    second top.
    """

    exact_bottoms = 3
    max_tops = 1
    messages: ClassVar[Mapping[str, MessageClass]] = {}
    forms: ClassVar[tuple[Form, ...]] = (Form("W3", _W3, {"by normalize": False}),)
    quirks: ClassVar[tuple[Quirk, ...]] = ()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().reshape(bottom, top)
        if bottom[2].count < np.prod(self.positions[: self.axis]):
            raise LayerError(f"weights of shape {bottom[2].shape}", "give one for each item")

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.counting = value_of(self._rows(bottom)) > 1e-12
        super().forward(bottom, top)

    def divisor(self, counted: NDArray[np.bool_]) -> float:
        return super().divisor(counted & self.counting if self.normalisation.mode == "VALID" else counted)

    def weighed(self, each: Any, labels: NDArray[np.int64], bottom: Sequence[Blob]) -> Any:
        return weighted(each, self._rows(bottom))

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index == 0

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        return [*super().kinks(bottom), None]

    def _rows(self, bottom: Sequence[Blob]) -> Any:
        """The weights in the shape of the positions."""
        items = self.positions[: self.axis]
        count = int(np.prod(items))
        given = bottom[2].wide.reshape(-1)[:count].reshape(*items, *[1] * (len(self.positions) - self.axis))
        return given * like(given, 1.0) * np.ones(self.positions)


class RarityWeightedSoftmaxWithLoss(WeightedSoftmaxWithLoss):
    """WeightedSoftmaxWithLoss whose c is how often the item's most frequent label stands beside the position's own."""

    messages: ClassVar[Mapping[str, MessageClass]] = {}
    forms: ClassVar[tuple[Form, ...]] = (Form("W4", _W4, {"by normalize": False}),)
    quirks: ClassVar[tuple[Quirk, ...]] = ()

    def weighed(self, each: Any, labels: NDArray[np.int64], bottom: Sequence[Blob]) -> Any:
        rows, counted = labels.reshape(int(np.prod(self.positions[: self.axis])), -1), self.read_labels(bottom)[1]
        classes = bottom[0].shape[self.axis]
        kept = counted.reshape(rows.shape)
        frequency = np.stack([np.bincount(row[use], minlength=classes) for row, use in zip(rows, kept, strict=True)])
        own = np.take_along_axis(frequency, rows, 1)
        most = np.broadcast_to(frequency.max(1, keepdims=True), own.shape)
        ratio = like(bottom[1].wide, most.reshape(bottom[1].shape)) / like(
            bottom[1].wide, np.maximum(own, 1).reshape(bottom[1].shape)
        )
        return weighted(each, ratio.reshape(self.positions))
