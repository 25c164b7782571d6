"""The loss layers on Numba, for a net: ``refimpl.Net(text, layers=LAYERS)``.

Each is the reference's layer, which reads the parameters, checks and shapes the blobs, with the numbers from a kernel;
which one takes what follows from the parameters of its function. A net of these takes float32 or float64 storage.
`refimpl.fast.cuda.layers` puts the same layers on a GPU.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from refimpl.blob import Blob
from refimpl.errors import LayerError
from refimpl.fast.parameters import Parameters, losses_in
from refimpl.layer import Layer
from refimpl.layers import CLASSES
from refimpl.layers.logits_loss import LogitsLoss

__all__ = ["LAYERS", "KernelLayer", "layers_of", "use_threads"]

if TYPE_CHECKING:
    _Reference = LogitsLoss
else:
    _Reference = object

OPTIONS: dict[str, Callable[[Any], Any]] = {
    "axis": lambda layer: layer.axis,
    "ignore_label": lambda layer: layer.normalisation.ignored,
    "normalization": lambda layer: layer.normalisation.mode,
}
"""How a layer knows these options of its function; any other is a field of the message named after the function."""


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
        if len(outputs) == 1:
            self.refuse_label_gradient(propagate_down)
        if not any(propagate_down[: len(outputs)]):
            return
        inputs = self._inputs(bottom)
        if self.takes.kept:
            inputs[0] = self.probability.data
        wanted = zip(outputs, bottom, propagate_down, strict=False)
        given = {name: blob.diff if asked else None for name, blob, asked in wanted}
        with _refusals():
            self.kernels.backward(*inputs, **self._options(), top_diff=float(top[0].diff), **given)
        if self.takes.kept and self.second_top_asks(top):
            self.softmax.backward(top[1].data, top[1].diff, axis=self.axis, out=bottom[0].diff)

    def _inputs(self, bottom: Sequence[Blob]) -> list[Any]:
        """An input that is no bottom is a blob that the layer read from a file."""
        blobs = [bottom[i] if i < len(bottom) else getattr(self, name) for i, name in enumerate(self.takes.inputs)]
        return [blob.data for blob in blobs]

    def _options(self) -> dict[str, Any]:
        options = {name: OPTIONS[name](self) if name in OPTIONS else self._field(name) for name in self.takes.options}
        return {**options, "threads": _Threads.most} if self.takes.threads else options

    def _field(self, name: str) -> Any:
        return getattr(getattr(self.param, f"{self.stem}_param"), name)


def layers_of(package: str) -> dict[str, type[Layer]]:
    """Layer type to class, for every loss that a package of kernels has a module for."""
    references = {layer.__module__.rpartition(".")[2]: layer for layer in CLASSES if layer.type}
    softmax = importlib.import_module(f"{package}.softmax")
    layers: dict[str, type[Layer]] = {}
    for stem in losses_in(*importlib.import_module(package).__path__):
        kernels, reference = importlib.import_module(f"{package}.{stem}"), references[stem]
        takes = Parameters.of(getattr(kernels, stem))
        own = {"stem": stem, "kernels": kernels, "softmax": softmax, "takes": takes}
        layers[reference.type] = type(reference.__name__, (KernelLayer, reference), own)
    return layers


LAYERS = layers_of("refimpl.fast.cpu")
"""Layer type to class."""
