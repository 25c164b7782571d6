"""Requirements on the layers around the losses, ``layer.<type>``, and on the run as a whole."""

from __future__ import annotations

from conformance.requirements.requirement import Requirement
from conformance.verdict import Level

__all__ = ["AROUND_REQUIREMENTS"]

_AROUND = {
    "AbsVal": "absval",
    "Accuracy": "accuracy",
    "ArgMax": "argmax",
    "BNLL": "bnll",
    "Bias": "bias",
    "Concat": "concat",
    "DummyData": "dummy_data",
    "ELU": "elu",
    "Eltwise": "eltwise",
    "Exp": "exp",
    "Flatten": "flatten",
    "InnerProduct": "inner_product",
    "Input": "input",
    "Log": "log",
    "Parameter": "parameter",
    "Power": "power",
    "ReLU": "relu",
    "Reduction": "reduction",
    "Reshape": "reshape",
    "Scale": "scale",
    "Sigmoid": "sigmoid",
    "Silence": "silence",
    "Slice": "slice",
    "Softmax": "softmax",
    "Split": "split",
    "TanH": "tanh",
}

AROUND_REQUIREMENTS = tuple(
    Requirement(
        f"layer.{kind}", f"Tops and gradients of {kind} are those of Caffe's formula.", Level.MUST, f"src/caffe/layers/{stem}_layer.cpp"
    )
    for kind, stem in _AROUND.items()
)
