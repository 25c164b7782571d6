"""Requirements on the layers around the losses: ``layer.<type>``."""

from __future__ import annotations

from conformance.contract.requirement import MUST, Requirement

__all__ = ["AROUND_REQUIREMENTS"]

_FORMULAS = {
    "AbsVal": "the magnitude of every entry",
    "Accuracy": "the share of items whose label is among the top_k highest scores, a tie counted against it",
    "ArgMax": "the indices, or the values, of the top_k highest scores",
    "BNLL": "log(1 + exp(x)) of every entry",
    "Bias": "its first bottom plus its second or its parameter, broadcast from axis",
    "Concat": "its bottoms joined along axis",
    "DummyData": "the numbers of its fillers",
    "ELU": "x where positive and alpha (exp(x) - 1) elsewhere",
    "Eltwise": "the product, the sum with its coefficients, or the maximum of its bottoms, entry by entry",
    "Exp": "base^(scale x + shift), with e as base where it is -1",
    "Flatten": "its bottom with the axes from axis to end_axis as one",
    "InnerProduct": "the product of each item with its weights plus its bias",
    "Log": "the logarithm of scale x + shift to its base, with e where it is -1",
    "Parameter": "its learnable array",
    "Power": "(shift + scale x)^power of every entry",
    "ReLU": "x where positive and negative_slope x elsewhere",
    "Reduction": "coeff times the SUM, ASUM, SUMSQ or MEAN over the axes from axis",
    "Reshape": "its bottom in another shape",
    "Scale": "its first bottom times its second or its parameter, broadcast from axis, plus a bias where asked for",
    "Sigmoid": "1 / (1 + exp(-x)) of every entry",
    "Silence": "nothing and the gradient 0",
    "Slice": "its bottom cut along axis at its slice points",
    "Softmax": "the softmax along axis",
    "Split": "a copy of its bottom in each top",
    "TanH": "the hyperbolic tangent of every entry",
}
"""Layer type to what its tops hold; the gradients are the derivatives."""

_FILES = {"AbsVal": "absval", "ArgMax": "argmax", "BNLL": "bnll", "ELU": "elu", "ReLU": "relu", "TanH": "tanh"}
_WITHOUT_GRADIENT = ("Accuracy", "ArgMax", "DummyData", "Parameter", "Silence")


def _stem(kind: str) -> str:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind)
    return _FILES.get(kind, snake.lstrip("_"))


def _statement(kind: str, formula: str) -> str:
    gradient = "" if kind in _WITHOUT_GRADIENT else ", and its bottoms the derivative"
    return f"{kind} gives {formula}{gradient}."


AROUND_REQUIREMENTS = tuple(
    Requirement(f"layer.{kind}", _statement(kind, formula), MUST, f"src/caffe/layers/{_stem(kind)}_layer.cpp")
    for kind, formula in _FORMULAS.items()
)
