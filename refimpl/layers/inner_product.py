"""InnerProduct: a fully connected layer (``src/caffe/layers/inner_product_layer.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from refimpl.arithmetic import exact_sum
from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.filler import initialised
from refimpl.layer import Layer

__all__ = ["InnerProduct"]


class InnerProduct(Layer):
    """``y = x W^T + b`` over the axes from ``axis`` on, flattened to K; the axes before it are independent.

    Weight W: shape (num_output, K), or its transpose with ``transpose``; bias b: shape (num_output,), unless
    ``bias_term`` is false. Top: the axes before ``axis``, then num_output. ``dx = dy W``, ``dW += dy^T x``, ``db +=
    sum dy``. No kinks.
    """

    type = "InnerProduct"
    exact_bottoms = 1
    exact_tops = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.param.inner_product_param
        inputs = bottom[0].count_between(bottom[0].canonical_axis(param.axis))
        shape = (inputs, param.num_output) if param.transpose else (param.num_output, inputs)
        self.blobs = [initialised(self.context.blob(*shape), param.weight_filler)]
        if param.bias_term:
            self.blobs.append(initialised(self.context.blob(param.num_output), param.bias_filler))
        self.param_propagate_down = [True] * len(self.blobs)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.param.inner_product_param
        axis = bottom[0].canonical_axis(param.axis)
        inputs = self._weight().shape[1]
        if bottom[0].count_between(axis) != inputs:
            raise LayerError(
                f"a bottom of shape {bottom[0].shape} does not have the weights' {inputs} inputs from axis {axis} on",
                "the flattened axes cannot change after set-up",
            )
        top[0].reshape(*bottom[0].shape[:axis], param.num_output)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        products = self._rows(bottom[0])[:, None, :] * self._weight()[None, :, :]
        outputs = exact_sum(products, axis=2)
        if len(self.blobs) > 1:
            outputs = outputs + self.blobs[1].wide
        top[0].data[...] = outputs.reshape(top[0].shape)

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        output_diff = top[0].wide_diff.reshape(-1, self.param.inner_product_param.num_output)
        if self.param_propagate_down[0]:
            products = output_diff[:, :, None] * self._rows(bottom[0])[:, None, :]
            self._add_to_diff(0, self._stored(exact_sum(products, axis=0)))
        if len(self.blobs) > 1 and self.param_propagate_down[1]:
            self._add_to_diff(1, exact_sum(output_diff, axis=0))
        if propagate_down[0]:
            products = output_diff[:, :, None] * self._weight()[None, :, :]
            bottom[0].diff[...] = exact_sum(products, axis=1).reshape(bottom[0].shape)

    def _rows(self, blob: Blob) -> Any:
        return blob.wide.reshape(-1, self._weight().shape[1])

    def _weight(self) -> Any:
        """W as (num_output, K)."""
        return self._stored(self.blobs[0].wide)

    def _stored(self, weight: Any) -> Any:
        return np.transpose(weight) if self.param.inner_product_param.transpose else weight

    def _add_to_diff(self, index: int, gradient: Any) -> None:
        self.blobs[index].diff[...] = self.blobs[index].wide_diff + gradient
