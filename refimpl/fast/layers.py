"""The loss layers on Numba, for a net: ``refimpl.Net(text, layers=LAYERS)``.

Each is the reference's layer, which reads the parameters, checks and shapes the blobs, with the numbers from a kernel;
which one takes what follows from the parameters of its function. A net of these takes storage of any type of
`refimpl.dtypes` that is the same for data and diffs; the softmax that a layer keeps is never of a half type.
`refimpl.fast.cuda.layers` puts the same layers on a GPU.

Where the net's dialect means by a type what some fork makes of it, `of_forms` chooses among `KERNELS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from refimpl.blob import Blob
from refimpl.dtypes import FLOAT
from refimpl.errors import LayerError
from refimpl.fast import cpu
from refimpl.fast.cpu import softmax
from refimpl.fast.parameters import Parameters, losses_in
from refimpl.fast.stored import BITS
from refimpl.layer import Layer, LayerContext
from refimpl.layers import BVLC, CLASSES, REGISTRY, class_of
from refimpl.layers.logits_loss import LogitsLoss
from refimpl.messages import LayerParameter

__all__ = ["KERNELS", "LAYERS", "KernelLayer", "Layers", "kernels_of", "of_forms", "use_threads"]

if TYPE_CHECKING:
    _Reference = LogitsLoss
else:
    _Reference = object

OPTIONS: dict[str, Callable[[Any], Any]] = {
    "axis": lambda layer: layer.axis,
    "ignore_label": lambda layer: layer.normalisation.ignored,
    "normalization": lambda layer: layer.normalisation.mode,
}
"""How a layer knows these options of its function; any other is a field of the message named after the function, or of
the layer's own, or a switch of the form in force."""

Layers = Mapping[type[Layer], type[Layer]]
"""A layer that computes with kernels for each class of the reference's that there is one for."""


class _Threads:
    """How many threads a kernel may use; None: as many as it sees fit."""

    most: ClassVar[int | None] = None


def use_threads(count: int | None) -> None:
    """Let the layers' kernels use at most ``count`` threads each; None leaves the choice to them."""
    _Threads.most = count


@contextmanager
def _refusals() -> Iterator[None]:
    """A kernel's ValueError, in a net's words."""
    try:
        yield
    except ValueError as error:
        raise LayerError(str(error)) from error


class KernelLayer(_Reference):
    """Forward and backward by the functions of `kernels`, a module; a base before the reference's class.

    `softmax` is the module whose ``backward`` adds what a second top's diff sends down.
    """

    stem: ClassVar[str]
    kernels: ClassVar[Any]
    softmax: ClassVar[Any]
    takes: ClassVar[Parameters]

    def __init__(self, param: LayerParameter, context: LayerContext) -> None:
        """Raises `LayerError` where the dialect means another layer by the type than this."""
        asked = context.dialect.forms.get(self.type, "")
        if asked and asked not in [form.name for form in self.forms] and (self.forms or asked != BVLC):
            raise LayerError(
                f"these kernels do not compute what {asked} means by {self.type}", "leave the layer to the reference"
            )
        super().__init__(param, context)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        super().setup(bottom, top)
        stored = bottom[0].data.dtype
        self._kept = FLOAT.numpy if stored in BITS else stored
        if self.takes.kept:
            self.probability.move(*[partial(np.zeros, dtype=self._kept)] * 2)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.refuse_empty_batch(bottom)
        if "normalization" not in self.takes.options:  # divides by num(), which a blob of five axes does not have
            bottom[0].refuse_more_than_four_axes()
        kept = {"prob": self.probability.data} if self.takes.kept else {}
        with _refusals():
            loss = getattr(self.kernels, self.stem)
            top[0].data[...] = loss(*self._inputs(bottom), **self._options(), **kept)
        for blob in top[1:]:
            blob.data[...] = kept["prob"]

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        outputs = self.takes.outputs
        if len(outputs) == 1 and not self.allow_force_backward(1):
            self.refuse_label_gradient(propagate_down)
        if not any(propagate_down[: len(outputs)]):
            return
        inputs = self._inputs(bottom)
        if self.takes.kept:
            inputs[0] = self.probability.data
        wanted = zip(outputs, bottom, propagate_down, strict=False)
        given = {name: blob.diff if asked else None for name, blob, asked in wanted}
        both = self.takes.kept and self.second_top_asks(top)
        if both:  # added up before they are stored
            given["out"] = np.empty_like(inputs[0])
        weight = float(top[0].diff)
        if weight:
            with _refusals():
                self.kernels.backward(*inputs, **self._options(), top_diff=weight, **given)
        else:  # 0 even for NaN and infinities, as BLAS takes such a factor in Caffe
            for gradient in given.values():
                if gradient is not None:
                    gradient[...] = 0
        if both:
            diff = top[1].diff.astype(inputs[0].dtype, copy=False)
            self.softmax.backward(inputs[0], diff, axis=self.axis, out=given["out"])
            bottom[0].diff[...] = given["out"]

    def _inputs(self, bottom: Sequence[Blob]) -> list[Any]:
        """An input that is no bottom is a blob that the layer read from a file, or absent; of weights for more entries
        than there are the first count."""
        inputs = [blob.data for blob in bottom]
        for i, name in enumerate(self.takes.inputs):
            if i >= len(bottom) and name not in self.takes.optional:
                inputs.append(getattr(self, name).data.astype(self._kept, copy=False))
            elif i < len(bottom) and name in self.takes.optional and inputs[i].size > inputs[0].size:
                inputs[i] = inputs[i].reshape(-1)[: inputs[0].size]
        return inputs

    def _options(self) -> dict[str, Any]:
        options = {name: OPTIONS[name](self) if name in OPTIONS else self._field(name) for name in self.takes.options}
        return {**options, "threads": _Threads.most} if self.takes.threads else options

    def _field(self, name: str) -> Any:
        for message in (*self.own.values(), getattr(self.param, f"{self.stem}_param", None)):
            if hasattr(message, name):
                return getattr(message, name)
        switches = {switch.replace(" ", "_"): value for switch, value in self.form.switches.items()}
        return switches[name]


def kernels_of(modules: Mapping[str, Any], softmax: Any) -> Layers:
    """By the reference's class, from the modules of some losses and that of the softmax: the class of the same name."""
    references = {found.__name__.lower(): found for found in CLASSES if found.type}
    layers: dict[type[Layer], type[Layer]] = {}
    for stem, kernels in modules.items():
        reference, takes = references[stem.replace("_", "")], Parameters.of(getattr(kernels, stem))
        own = {"stem": stem, "kernels": kernels, "softmax": softmax, "takes": takes}
        layers[reference] = type(reference.__name__, (KernelLayer, reference), own)
    return layers


def of_forms(kernels: Layers, forms: Mapping[str, str]) -> dict[str, type[Layer]]:
    """Layer type to class, for every type that there are kernels for; ``forms`` are the meanings of types that have
    several, as a `refimpl.Dialect` has them. A type whose meaning has no kernel is left out."""
    meant = REGISTRY | {kind: class_of(kind, form) for kind, form in forms.items()}
    return {kind: kernels[reference] for kind, reference in meant.items() if reference in kernels}


KERNELS = kernels_of(
    {stem: importlib.import_module(f"{cpu.__name__}.{stem}") for stem in losses_in(*cpu.__path__)}, softmax
)

LAYERS = of_forms(KERNELS, {})
"""Layer type to class, where every type means what it does by default."""
