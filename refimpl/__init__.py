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

from refimpl.blob import Blob
from refimpl.dialect import Dialect
from refimpl.errors import LayerError, NetError, PrototxtError
from refimpl.layer import Layer, LossLayer
from refimpl.net import Net

__all__ = ["Blob", "Dialect", "Layer", "LayerError", "LossLayer", "Net", "NetError", "PrototxtError"]
