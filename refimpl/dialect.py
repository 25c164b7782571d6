"""Dialects: where BVLC Caffe departs from its own documentation, as independent, named switches.

A quirk has two sides. The ``bvlc`` dialect takes Caffe's side of all of them, ``documented`` of none. A net asks
`Dialect.takes` only where a quirk's situation has arisen, so the dialect knows afterwards which switches a run touched.

Apart from the quirks stands a ledger of departures: places where Caffe's backward formula is not the derivative of
the loss that Caffe's forward reports. Both dialects keep Caffe's formula there; an implementation may follow either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["DEPARTURES", "QUIRKS", "Departure", "Dialect", "Quirk"]


@dataclass(frozen=True)
class Quirk:
    """One departure of BVLC Caffe from its documentation: what Caffe does, what is documented, and where either is
    written."""

    name: str
    bvlc: str
    documented: str
    citation: str


@dataclass(frozen=True)
class Departure:
    """One region of inputs in which Caffe's gradient formula is not the derivative of the reported loss."""

    name: str
    layer: str
    region: str
    statement: str
    citation: str


_LOSS = "docs/tutorial/loss.md"
_PROTO = "src/caffe/proto/caffe.proto"

QUIRKS: dict[str, Quirk] = {
    quirk.name: quirk
    for quirk in (
        Quirk(
            "implicit-weight-once",
            "a loss layer with two tops and no loss_weight is refused: one implicit weight is added for two tops",
            "the first top weighs 1 and every further top 0",
            f"src/caffe/layers/loss_layer.cpp LayerSetUp, include/caffe/layer.hpp SetLossWeights; {_LOSS}",
        ),
        Quirk(
            "softmax-inner-loss-weights",
            "SoftmaxWithLoss with two tops and two weights is refused: its inner Softmax inherits both "
            "weights and has one top",
            "the second top is the softmax and may carry a weight",
            f"src/caffe/layers/softmax_loss_layer.cpp LayerSetUp; {_LOSS}",
        ),
        Quirk(
            "second-top-no-gradient",
            "the weight of InfogainLoss's second top counts in the loss and sends no gradient down",
            "the gradient is the derivative of the reported total, second top included",
            f"src/caffe/layers/infogain_loss_layer.cpp Backward_cpu; {_LOSS}",
        ),
        Quirk(
            "second-top-shares-softmax",
            "InfogainLoss's second top is the memory that its backward reads: a layer that works on that top in place "
            "changes the gradient",
            "backward takes the softmax that forward computed",
            "src/caffe/layers/infogain_loss_layer.cpp Forward_cpu (ShareData); include/caffe/layer.hpp Backward",
        ),
        Quirk(
            "implicit-weight-unsplit",
            "a consumed loss top with the implicit weight gets no Split: a consumer without a gradient "
            "silences the layer, "
            "one with a gradient overwrites the weight",
            "a consumed loss top keeps its weight of 1, and its consumers' gradients are added",
            f"src/caffe/util/insert_splits.cpp InsertSplits; {_LOSS}",
        ),
        Quirk(
            "split-readds-implicit-weight",
            "a consumed loss top with an explicit weight is counted once more with weight 1: the weight moves "
            "to the Split and "
            "the loss layer, left without one, adds its implicit weight again",
            "a loss top counts once, with its weight",
            f"src/caffe/util/insert_splits.cpp InsertSplits, src/caffe/layers/loss_layer.cpp LayerSetUp; {_LOSS}",
        ),
        Quirk(
            "split-drops-sibling-weights",
            "when one weighted top of a layer is consumed, the weights of all its tops are cleared",
            "every top keeps its own weight",
            f"src/caffe/util/insert_splits.cpp InsertSplits; {_LOSS}",
        ),
        Quirk(
            "grown-top-loses-weight",
            "a weighted top that grows past its memory loses its weight: the diff that held it is new and zero",
            "the weight of a top does not depend on its shape",
            f"include/caffe/layer.hpp SetUp and Forward, src/caffe/blob.cpp Reshape; {_LOSS}",
        ),
        Quirk(
            "force-backward-overrides-propagate-down",
            "force_backward sends gradients even to bottoms with propagate_down: false",
            "propagate_down: false skips that bottom",
            f"src/caffe/net.cpp Init; {_PROTO} LayerParameter.propagate_down",
        ),
        Quirk(
            "propagate-down-forces-nothing",
            "propagate_down: true on a layer that nothing else makes run backward has no effect",
            "propagate_down: true forces the gradient to that bottom",
            f"src/caffe/net.cpp Init and AppendBottom; {_PROTO} LayerParameter.propagate_down",
        ),
        Quirk(
            "force-backward-needs-every-backward",
            "force_backward makes layers without a backward pass (Accuracy, ArgMax) run it, which is fatal",
            "a layer that cannot run backward and carries no weight is left out of the backward pass",
            f"src/caffe/net.cpp Init, include/caffe/layers/accuracy_layer.hpp; {_PROTO} NetParameter.force_backward",
        ),
        Quirk(
            "infogain-matrix-forced",
            "force_backward is fatal with an infogain matrix as third bottom: it asks for a gradient into the matrix",
            "bottoms that cannot take a gradient are exempt from force_backward",
            f"include/caffe/layers/loss_layer.hpp AllowForceBackward; {_PROTO} NetParameter.force_backward",
        ),
        Quirk(
            "hinge-scratch",
            "HingeLoss leaves its margins in the bottom's diff during forward and reads them from there in "
            "backward: a second "
            "backward is wrong, and without a backward they leak into the gradients of a blob shared with other layers",
            "forward leaves diffs alone and backward depends on data and top diff only",
            "src/caffe/layers/hinge_loss_layer.cpp; include/caffe/layer.hpp Backward",
        ),
        Quirk(
            "hinge-swallows-nan",
            "a NaN score counts as a margin of 0 in HingeLoss",
            "NaN in, NaN out",
            "src/caffe/layers/hinge_loss_layer.cpp Forward_cpu (std::max); IEEE 754 section 6.2",
        ),
        Quirk(
            "contrastive-buffers-sized-once",
            "ContrastiveLoss sizes its buffers at set-up: a larger batch overruns them (undefined behaviour; "
            "refused here)",
            "a layer follows its bottoms' shapes",
            "src/caffe/layers/contrastive_loss_layer.cpp LayerSetUp; include/caffe/layer.hpp Reshape",
        ),
        Quirk(
            "in-place-input-lost",
            "a layer that runs in place takes its output for its input in backward: wrong for Power, Log, "
            "BNLL, a ReLU with "
            "a negative slope and an ELU with a negative alpha; Power and Log also overwrite the top's "
            "gradient before they "
            "multiply by it",
            "the gradient is the same in place and out of place",
            "src/caffe/layers/power_layer.cpp, log_layer.cpp, bnll_layer.cpp, relu_layer.cpp, elu_layer.cpp "
            "Backward_cpu",
        ),
        Quirk(
            "power-gradient-through-quotient",
            "Power with an exponent other than 0, 1 and 2 computes its gradient as top / base: NaN where the base is 0",
            "the gradient of base^p at a base of 0 is the derivative",
            "src/caffe/layers/power_layer.cpp Backward_cpu",
        ),
        Quirk(
            "parameter-layer-shares-diff",
            "a Parameter layer's top shares its diff with the parameter: each backward overwrites the "
            "parameter's gradient, and a "
            "loss_weight of the top is lost",
            "parameter diffs accumulate until they are cleared, and every weighted top counts",
            f"include/caffe/layers/parameter_layer.hpp Forward_cpu; include/caffe/net.hpp ClearParamDiffs; {_LOSS}",
        ),
        Quirk(
            "scale-scratch",
            "Scale leaves a product in the diff of a bottom that gets no gradient",
            "a diff nobody asked for is left alone",
            "src/caffe/layers/scale_layer.cpp Backward_cpu",
        ),
        Quirk(
            "scale-overwrites-parameter-diff",
            "Scale overwrites its parameter's diff where the parameter starts at the bottom's first axis (but "
            "for a single "
            "entry before further axes)",
            "parameter diffs accumulate until they are cleared",
            "src/caffe/layers/scale_layer.cpp Backward_cpu; include/caffe/net.hpp ClearParamDiffs",
        ),
    )
}

DEPARTURES: dict[str, Departure] = {
    departure.name: departure
    for departure in (
        Departure(
            "softmax-log-floor",
            "SoftmaxWithLoss",
            "the label's probability is below FLT_MIN",
            "the loss is capped at -log(FLT_MIN) there, and the gradient is that of the uncapped loss",
            "src/caffe/layers/softmax_loss_layer.cpp Forward_cpu, Backward_cpu",
        ),
        Departure(
            "infogain-log-floor",
            "InfogainLoss",
            "a probability with a nonzero entry of H is below 1e-20",
            "its logarithm is held at log(1e-20), and the gradient is that of the unheld loss",
            "src/caffe/layers/infogain_loss_layer.cpp Forward_cpu, Backward_cpu",
        ),
        Departure(
            "multinomial-log-floor",
            "MultinomialLogisticLoss",
            "the label's probability is below 1e-20",
            "its logarithm is held at log(1e-20), and the gradient is -1/1e-20 instead of 0",
            "src/caffe/layers/multinomial_logistic_loss_layer.cpp Forward_cpu, Backward_cpu",
        ),
        Departure(
            "contrastive-distance-offset",
            "ContrastiveLoss",
            "a dissimilar pair inside the margin, without legacy_version",
            "the gradient divides by d + 1e-4 instead of d, and is 0 at d = 0",
            "src/caffe/layers/contrastive_loss_layer.cpp Backward_cpu",
        ),
        Departure(
            "hinge-nan-slope",
            "HingeLoss",
            "a score is NaN, with norm L1",
            "the slope of a margin that is NaN is 0, as that of one that is not positive; the derivative is NaN",
            "src/caffe/layers/hinge_loss_layer.cpp Backward_cpu (caffe_cpu_sign)",
        ),
    )
}


class Dialect:
    """A side for every quirk, and a record of the switches a run touched.

    ``taken`` are the quirks on Caffe's side, ``true_derivatives`` the departures where the derivative replaces
    Caffe's formula. Raises `ValueError` for names that do not exist.
    """

    def __init__(self, name: str, taken: Iterable[str] = (), true_derivatives: Iterable[str] = ()) -> None:
        self.name = name
        self.taken = frozenset(taken)
        self.true_derivatives = frozenset(true_derivatives)
        unknown = sorted(self.taken - QUIRKS.keys() | self.true_derivatives - DEPARTURES.keys())
        if unknown:
            raise ValueError(
                f"no such quirk or departure: {', '.join(unknown)}; known: {', '.join([*QUIRKS, *DEPARTURES])}"
            )
        self.touched: set[str] = set()
        self.departed: set[str] = set()

    @classmethod
    def named(cls, name: str) -> Dialect:
        """``documented`` or ``bvlc``. Raises `ValueError` for anything else."""
        if name not in ("documented", "bvlc"):
            raise ValueError(f"no dialect named {name!r}: use 'documented' or 'bvlc'")
        return cls(name, QUIRKS if name == "bvlc" else ())

    def takes(self, quirk: str) -> bool:
        """Whether Caffe's side is taken. Call it only where the quirk's situation has arisen: the touch is recorded."""
        if quirk not in QUIRKS:
            raise KeyError(quirk)
        self.touched.add(quirk)
        return quirk in self.taken

    def derivative(self, departure: str) -> bool:
        """Whether the true derivative replaces Caffe's formula; the touch is recorded, so call it only inside the
        region."""
        if departure not in DEPARTURES:
            raise KeyError(departure)
        self.departed.add(departure)
        return departure in self.true_derivatives
