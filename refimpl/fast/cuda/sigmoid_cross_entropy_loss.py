"""SigmoidCrossEntropyLoss on a GPU (``src/caffe/layers/sigmoid_cross_entropy_loss_layer.cpp``).

``L = sum (log(1 + e^-|x|) - x (t - [x >= 0])) / Z`` over the counted entries; ``dL/dx = w (1 / (1 + e^-x) - t) / Z``
there and 0 elsewhere. As in Caffe an infinite logit gives NaN, with a finite gradient.
"""

from __future__ import annotations

from refimpl.fast.cpu import sigmoid_cross_entropy_loss as cpu
from refimpl.fast.cuda.pointwise import module_of

__all__ = ["backward", "differentiate", "sigmoid_cross_entropy_loss", "sum_losses"]

_made = module_of(cpu)
sigmoid_cross_entropy_loss, backward = _made.sigmoid_cross_entropy_loss, _made.backward
sum_losses, differentiate = _made.sum_losses, _made.differentiate
