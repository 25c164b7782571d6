"""What Caffe computes: a slow, obvious float64 reference of Caffe's nets with losses.

>>> import refimpl
>>> net = refimpl.Net('''
...     layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
...     layer { name: "loss" type: "Reduction" bottom: "x" top: "loss" loss_weight: 0.5 }
... ''')
>>> net.blobs["x"].data[...] = 1
>>> net.forward()
3.0
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refimpl.blob import Blob
    from refimpl.dialect import Dialect
    from refimpl.errors import LayerError, NetError, PrototxtError
    from refimpl.layer import Layer, LossLayer
    from refimpl.net import Net

__all__ = ["Blob", "Dialect", "Layer", "LayerError", "LossLayer", "Net", "NetError", "PrototxtError"]

_HOMES = {
    "blob": ("Blob",),
    "dialect": ("Dialect",),
    "errors": ("LayerError", "NetError", "PrototxtError"),
    "layer": ("Layer", "LossLayer"),
    "net": ("Net",),
}


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, imported when it is asked for: who reads the table of types needs no net."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
