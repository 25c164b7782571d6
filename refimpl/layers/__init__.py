"""The layers, one module per type; `REGISTRY` finds a class by the type a prototxt gives."""

from __future__ import annotations

from refimpl.layer import Layer
from refimpl.layers.absval import AbsVal
from refimpl.layers.accuracy import Accuracy
from refimpl.layers.argmax import ArgMax
from refimpl.layers.bias import Bias
from refimpl.layers.bnll import BNLL
from refimpl.layers.concat import Concat
from refimpl.layers.contrastive_loss import ContrastiveLoss
from refimpl.layers.dummy_data import DummyData
from refimpl.layers.eltwise import Eltwise
from refimpl.layers.elu import ELU
from refimpl.layers.euclidean_loss import EuclideanLoss
from refimpl.layers.exp import Exp
from refimpl.layers.flatten import Flatten
from refimpl.layers.hinge_loss import HingeLoss
from refimpl.layers.infogain_loss import InfogainLoss
from refimpl.layers.inner_product import InnerProduct
from refimpl.layers.input import Input
from refimpl.layers.log import Log
from refimpl.layers.multinomial_logistic_loss import MultinomialLogisticLoss
from refimpl.layers.parameter import Parameter
from refimpl.layers.power import Power
from refimpl.layers.reduction import Reduction
from refimpl.layers.relu import ReLU
from refimpl.layers.reshape import Reshape
from refimpl.layers.scale import Scale
from refimpl.layers.sigmoid import Sigmoid
from refimpl.layers.sigmoid_cross_entropy_loss import SigmoidCrossEntropyLoss
from refimpl.layers.silence import Silence
from refimpl.layers.slice import Slice
from refimpl.layers.softmax import Softmax
from refimpl.layers.softmax_with_loss import SoftmaxWithLoss
from refimpl.layers.split import Split
from refimpl.layers.tanh import TanH

__all__ = ["REGISTRY"]

REGISTRY: dict[str, type[Layer]] = {
    layer.type: layer
    for layer in (
        AbsVal,
        Accuracy,
        ArgMax,
        Bias,
        BNLL,
        Concat,
        ContrastiveLoss,
        DummyData,
        Eltwise,
        ELU,
        EuclideanLoss,
        Exp,
        Flatten,
        HingeLoss,
        InfogainLoss,
        InnerProduct,
        Input,
        Log,
        MultinomialLogisticLoss,
        Parameter,
        Power,
        Reduction,
        ReLU,
        Reshape,
        Scale,
        Sigmoid,
        SigmoidCrossEntropyLoss,
        Silence,
        Slice,
        Softmax,
        SoftmaxWithLoss,
        Split,
        TanH,
    )
}
