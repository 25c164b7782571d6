"""The loss layers on a GPU, for a net: ``refimpl.Net(text, layers=LAYERS)``.

They are the CPU path's layers (`refimpl.fast.layers`) with these kernels, on the current device
(`refimpl.fast.cuda.device`); a net's blobs are the host's, so they travel.
"""

from __future__ import annotations

from refimpl.fast.layers import layers_of

__all__ = ["LAYERS"]

LAYERS = layers_of("refimpl.fast.cuda")
"""Layer type to class."""
