"""EuclideanLoss on a GPU (``src/caffe/layers/euclidean_loss_layer.cpp``).

``L = sum (a - b)^2 / (2 N)``, N the first dimension; ``dL/da = w (a - b) / N = -dL/db``.
"""

from __future__ import annotations

from refimpl.fast.cpu import euclidean_loss as cpu
from refimpl.fast.cuda.pointwise import module_of

__all__ = ["backward", "differentiate", "euclidean_loss", "sum_losses"]

_made = module_of(cpu)
euclidean_loss, backward = _made.euclidean_loss, _made.backward
sum_losses, differentiate = _made.sum_losses, _made.differentiate
