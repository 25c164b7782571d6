"""Eltwise: blobs of one shape, combined entry by entry (``src/caffe/layers/eltwise_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arithmetic import exact_sum, step, value_of, weighted
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.layer import Layer

__all__ = ["Eltwise"]


class Eltwise(Layer):
    """SUM: ``y = sum_i c_i x_i`` (c_i is 1 unless ``coeff`` is given); PROD: ``y = prod_i x_i``; MAX: ``y = max_i
    x_i``.

    ``dx_i = c_i dy``; ``dx_i = dy prod_{j != i} x_j``, or ``dy y / x_i`` without ``stable_prod_grad``; ``dx_i = dy``
    where bottom i gave the maximum, else 0. Kinks: ties of MAX, which Caffe gives to the second of the first two
    bottoms and else to the earlier; a NaN never wins except as the second bottom.
    """

    type = "Eltwise"
    min_bottoms = 2
    exact_tops = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.param.eltwise_param
        if param.coeff and len(param.coeff) != len(bottom):
            raise LayerError(
                f"{len(param.coeff)} coeff(s) for {len(bottom)} bottoms", "give coeff once per bottom, or not at all"
            )
        if param.coeff and param.operation == "PROD":
            raise LayerError("PROD takes no coeff", "coefficients are for SUM")
        self.operation = param.operation
        self.coefficients = param.coeff or (1.0,) * len(bottom)
        self.shares: list[Any] = [1.0] + [0.0] * (len(bottom) - 1)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if top[0] in bottom:
            raise LayerError(
                "Eltwise cannot run in place: Caffe overwrites what it still has to read",
                "give its top a name of its own",
            )
        for i, blob in enumerate(bottom):
            if blob.shape != bottom[0].shape:
                raise LayerError(
                    f"bottom {i} has shape {blob.shape}, bottom 0 {bottom[0].shape}", "all bottoms need one shape"
                )
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        values = [blob.wide for blob in bottom]
        if self.operation == "SUM":
            result = exact_sum(np.stack([_times(c, x) for c, x in zip(self.coefficients, values, strict=True)]), axis=0)
        elif self.operation == "PROD":
            result = reduce(mul, values)
        else:
            result, self.shares = _contest(values)
        top[0].data[...] = result

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        gradients = [self._gradient(i, top[0], bottom) if wanted else None for i, wanted in enumerate(propagate_down)]
        for blob, gradient in zip(bottom, gradients, strict=True):
            if gradient is not None:
                blob.diff[...] = gradient

    def _gradient(self, i: int, top: Blob, bottom: Sequence[Blob]) -> Any:
        if self.operation == "SUM":
            return _times(self.coefficients[i], top.wide_diff)
        if self.operation == "MAX":
            return top.wide_diff * self.shares[i]
        if not self.param.eltwise_param.stable_prod_grad:
            return top.wide / bottom[i].wide * top.wide_diff
        return reduce(mul, [blob.wide for j, blob in enumerate(bottom) if j != i]) * top.wide_diff

    def kinks(self, bottom: Sequence[Blob]) -> list[NDArray[np.float64] | None]:
        if self.operation != "MAX":
            return [None for _ in bottom]
        values = [value_of(blob.wide) for blob in bottom]
        rivals = [np.max([x for j, x in enumerate(values) if j != i], axis=0) for i in range(len(values))]
        return [np.absolute(x - rival) for x, rival in zip(values, rivals, strict=True)]


def _times(coefficient: float, x: Any) -> Any:
    return x if coefficient == 1 else weighted(x, coefficient)


def _contest(values: Sequence[Any]) -> tuple[Any, list[Any]]:
    """The maximum, and each bottom's share in it: 1 or 0. The second bottom holds it, the others challenge in turn."""
    best, shares = values[1], [np.ones(values[1].shape) for _ in values]
    held = [1]
    for i in (0, *range(2, len(values))):
        challenger = values[i]
        shares[i] = step(challenger - best)
        for j in held:
            shares[j] = shares[j] * (1.0 - shares[i])
        best = np.where(np.isnan(challenger), best, np.maximum(challenger, best))
        held.append(i)
    return best, shares
