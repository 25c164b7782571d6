"""``torch``: each loss in `torch.nn.functional`, its gradient by autograd (docs/adapters/torch.md); or, with an
argument, a function of somebody's (docs/guides/kernels.md).

What PyTorch's own functions do is kept, not corrected: no log floors, NaN for a mean over nothing. So the verdicts say
where a port of a Caffe net to PyTorch departs from Caffe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from conformance.adapters.direct import LayerImplementation
from conformance.adapters.functions import Pullback, open_function
from conformance.contract.case import Array
from conformance.contract.dtypes import DEFAULT, TYPES
from conformance.contract.implementation import Description, Implementation
from conformance.losses import KNOWN, LOSSES, Loss, loss_of_type
from refimpl.layers.normalisation import Normalisation
from refimpl.messages import LayerParameter

__all__ = ["LAYERS", "open_torch"]


def open_torch(argument: str, timeout: float | None = None) -> Implementation:
    """The losses on PyTorch's CPU backend; or the function that the argument names
    (`conformance.adapters.functions.open_function`)."""
    if argument:
        return open_function(_Torch(), argument, timeout)
    description = Description(
        name="torch",
        version=torch.__version__,
        language="Python",
        capability="layer",
        dtypes=DEFAULT,
        any_types=True,
        declines=tuple(bottom.file for loss in LOSSES.values() for bottom in loss.bottoms if bottom.file),
        environment={"torch": torch.__version__, "threads": torch.get_num_threads(), "numpy": np.__version__},
    )
    return LayerImplementation(LAYERS, description, timeout)


def tensor_of(array: Array) -> Tensor:
    """A copy of the array in torch's type of the same name. What NumPy itself does not have goes by its bits."""
    if array.dtype.kind in "fi":
        return torch.from_numpy(np.array(array))
    bits = np.array(array).view(np.dtype(f"i{array.dtype.itemsize}"))
    kind: torch.dtype = getattr(torch, array.dtype.name)
    return torch.from_numpy(bits).view(kind)


def array_of(tensor: Tensor) -> Array:
    """The numbers of a tensor in NumPy's type of the same name."""
    held = tensor.detach().cpu().contiguous()
    kind = TYPES[str(held.dtype).removeprefix("torch.")].numpy
    if kind.kind == "f":
        return np.asarray(held.numpy())
    bits: torch.dtype = getattr(torch, f"int{8 * kind.itemsize}")
    return np.asarray(held.view(bits).numpy().view(kind))


class _Torch:
    name = "torch"
    version = str(torch.__version__)

    def evaluate(
        self, function: Callable[..., Any], given: Sequence[Array], learned: Sequence[int], options: Mapping[str, Any]
    ) -> tuple[Array, Pullback]:
        leaves = [tensor_of(array).requires_grad_(i in learned) for i, array in enumerate(given)]
        value = function(*leaves, **options)

        def pulled(gradient: Array) -> list[Array]:
            incoming = tensor_of(gradient).to(value.device, value.dtype).reshape(value.shape)
            found = torch.autograd.grad(value, [leaves[i] for i in learned], incoming, retain_graph=True)
            return [array_of(each) for each in found]

        return array_of(value), pulled


class _Autograd:
    """A loss whose forward is written in torch; backward asks autograd, with the tops' diffs as incoming gradients."""

    differentiable: ClassVar[tuple[int, ...]]
    tops_of: ClassVar[Callable[[list[Tensor], LayerParameter], list[Tensor]]]

    def __init__(self, param: LayerParameter) -> None:
        self.param = param

    def forward(self, bottom: Sequence[Array]) -> list[Array]:
        self.leaves = [tensor_of(array).requires_grad_(i in self.differentiable) for i, array in enumerate(bottom)]
        try:
            self.tops = self.compute(self.leaves)
        except NotImplementedError:  # a RuntimeError by birth
            raise
        except (IndexError, RuntimeError) as error:  # torch's way to say that a label is no class
            raise ValueError(str(error).splitlines()[0]) from error
        return [array_of(top) for top in self.tops]

    def backward(
        self, top_diff: Sequence[Array], bottom: Sequence[Array], propagate_down: Sequence[bool]
    ) -> list[Array | None]:
        asked = [i for i, wanted in enumerate(propagate_down) if wanted]
        if any(i not in self.differentiable for i in asked):
            raise ValueError(f"{self.param.type} has no gradient for bottom {asked[-1]}")
        if not asked:
            return [None] * len(bottom)
        tops = self.tops[: len(top_diff)]
        pairs = zip(top_diff, tops, strict=True)
        incoming = [tensor_of(diff).reshape(top.shape).to(top.dtype) for diff, top in pairs]
        gradients = torch.autograd.grad(tops, [self.leaves[i] for i in asked], incoming, retain_graph=True)
        found = dict(zip(asked, gradients, strict=True))
        return [array_of(found[i]) if i in found else None for i in range(len(bottom))]

    def compute(self, bottom: list[Tensor]) -> list[Tensor]:
        return type(self).tops_of(bottom, self.param)


def _integers(values: Tensor) -> Tensor:
    return values.detach().trunc().long()


def _counted(labels: Tensor, mode: Normalisation) -> Tensor:
    return torch.ones_like(labels, dtype=torch.bool) if mode.ignored is None else labels != mode.ignored


def _divisor(mode: Normalisation, shape: Sequence[int], axis: int) -> int:
    """What a sum or mean is still to be divided by: VALID is torch's own mean."""
    outer = int(np.prod(shape[:axis]))
    return {"FULL": outer * int(np.prod(shape[axis + 1 :])), "BATCH_SIZE": outer}.get(mode.mode, 1)


def _layer(loss: Loss) -> type[_Autograd]:
    """The text of a description as a layer; `_integers` and its like are what the text may call."""
    kinds = loss.layer.messages
    scope: dict[str, Any] = {
        "torch": torch,
        "F": F,
        "integers": _integers,
        "counted": _counted,
        "divisor": _divisor,
        "normalisation": lambda param: Normalisation.of(param.loss_param, loss.default_mode),
        "own": lambda param, name: param.own.get((name, kinds[name]), kinds[name]()),
    }
    exec(loss.equivalents["torch-layer"], scope)
    learned = tuple(i for i, bottom in enumerate(loss.bottoms) if bottom.learns)
    return type(loss.type, (_Autograd,), {"differentiable": learned, "tops_of": staticmethod(scope["tops"])})


LAYERS: dict[str, type[Any]] = {
    loss.type: _layer(loss)
    for loss in KNOWN.values()
    if "torch-layer" in loss.equivalents and loss_of_type(loss.type) is loss
}
