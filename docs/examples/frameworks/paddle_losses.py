"""``direct:paddle_losses``: four of Caffe's losses as one writes them with Paddle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from differentiated import Differentiated, Labelled, Targets
from paddle.nn import functional as F


def describe() -> dict[str, Any]:
    return {"name": "paddle", "version": paddle.__version__, "environment": {"numpy": np.__version__}}


class Graphed(Differentiated):
    """Differentiated by ``paddle.grad``."""

    def differentiated(self, bottom: Sequence[Any]) -> tuple[list[Any], Any]:
        learned = len(self.learned)
        given = [paddle.to_tensor(np.array(each), stop_gradient=i >= learned) for i, each in enumerate(bottom)]
        tops = self.tops(*given)

        def pulled(diffs: Sequence[Any]) -> list[Any]:
            asked = tops[: len(diffs)]
            incoming = [
                paddle.to_tensor(np.array(diff)).reshape(top.shape) for diff, top in zip(diffs, asked, strict=True)
            ]
            return [each.numpy() for each in paddle.grad(asked, given[:learned], incoming, retain_graph=True)]

        return [top.numpy() for top in tops], pulled


class SoftmaxWithLoss(Graphed, Labelled):
    def __init__(self, param: Any) -> None:
        super().__init__(param)
        self.axis = param.softmax_param.axis

    def tops(self, x: Any, y: Any) -> list[Any]:
        logits, divisor = paddle.moveaxis(x, self.axis, -1).reshape((len(y), -1)), self.divisor(len(y))
        reduction = "mean" if divisor is None else "sum"
        loss = F.cross_entropy(logits, y, ignore_index=self.ignored, reduction=reduction)
        return [loss if divisor is None else loss / divisor, F.softmax(x, self.axis)]


class SigmoidCrossEntropyLoss(Graphed, Targets):
    def tops(self, x: Any, z: Any) -> list[Any]:
        counted = paddle.to_tensor(self.counted.reshape(x.shape))
        losses = F.binary_cross_entropy_with_logits(x[counted], z.reshape(x.shape)[counted], reduction="none")
        divisor = self.divisor(x.size)
        return [losses.mean() if divisor is None else losses.sum() / divisor]


class EuclideanLoss(Graphed):
    def tops(self, x: Any, z: Any) -> list[Any]:
        return [F.mse_loss(x, z.reshape(x.shape), reduction="sum") / (2 * x.shape[0])]


class HingeLoss(Graphed, Labelled):
    def tops(self, x: Any, y: Any) -> list[Any]:
        rows = x.reshape((x.shape[0], -1))
        margins = F.relu(1 - rows * (2 * F.one_hot(y, rows.shape[1]).astype(x.dtype) - 1))
        return [(margins**2 if self.param.hinge_loss_param.norm == "L2" else margins).sum() / x.shape[0]]
