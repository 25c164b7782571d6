"""R-FCN's LossParameter: a fifth way to normalise, by a number that the net gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refimpl.layers.normalisation import Normalisation
from refimpl.messages import LossParameter
from refimpl.schema import enum, floating

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PreFixedLossParameter", "PreFixedNormalisation"]


class PreFixedLossParameter(LossParameter):
    """``loss_param`` of daijifeng001/caffe-rfcn and intel/caffe, where 3 is PRE_FIXED and NONE is 4."""

    normalization: str = enum("VALID", FULL=0, VALID=1, BATCH_SIZE=2, PRE_FIXED=3, NONE=4)
    pre_fixed_normalizer: float = floating(1)


@dataclass(frozen=True)
class PreFixedNormalisation(Normalisation):
    """A normalisation that may be PRE_FIXED: by ``pre_fixed``, never by less than 1."""

    pre_fixed: float = 1.0

    @classmethod
    def of(cls, param: LossParameter, default: str) -> Self:
        own = super().of(param, default)
        assert isinstance(own, cls)
        assert isinstance(param, PreFixedLossParameter)
        return replace(own, pre_fixed=param.pre_fixed_normalizer)

    def divisor(self, batch: int, counted: NDArray[np.bool_]) -> float:
        return max(1.0, self.pre_fixed) if self.mode == "PRE_FIXED" else super().divisor(batch, counted)
