"""The loss layers as CUDA kernels, one file per layer, for a GPU or the simulator of one.

Each file has a function named after the layer, which computes the loss and, given arrays for them, the gradients; and
``backward``, which computes gradients alone, for a caller who learns ``top_diff`` only after the loss. What a loss
without a file has is made of its formula (`refimpl.fast.cuda.pointwise`): ``refimpl.fast.cuda.l1_loss.l1_loss``. They
run on the device of `refimpl.fast.cuda.device`, and take arrays of NumPy or of that device:

    from refimpl.fast.cuda.device import using
    from refimpl.fast.cuda.simulator import Simulator
    from refimpl.fast.cuda.softmax_with_loss import softmax_with_loss

    with using(Simulator("reverse")):
        loss = softmax_with_loss(x, labels, out=gradient)
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.endswith("_loss"):
        from refimpl.fast.cuda.losses import losses, module

        if name in losses():
            return module(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
