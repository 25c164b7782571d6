"""The loss layers on a GPU, for a net: ``refimpl.Net(text, layers=LAYERS)``.

They are the CPU path's layers (`refimpl.fast.layers`) with these kernels, on the current device
(`refimpl.fast.cuda.device`); a net's blobs are the host's, so they travel.
"""

from __future__ import annotations

from refimpl.fast.cuda import softmax
from refimpl.fast.cuda.losses import losses, module
from refimpl.fast.layers import kernels_of, of_forms

__all__ = ["KERNELS", "LAYERS"]

KERNELS = kernels_of({stem: module(stem) for stem in losses()}, softmax)

LAYERS = of_forms(KERNELS, {})
"""Layer type to class, where every type means what it does by default."""
