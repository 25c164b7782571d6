# mypy: disable-error-code="no-any-return, untyped-decorator"
"""What a loss is divided by (``src/caffe/layers/loss_layer.cpp`` GetNormalizer): never less than 1."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from refimpl.fast.cpu.arguments import MODES, NO_LABEL
from refimpl.fast.cpu.kernel import DONE, helper, kernel
from refimpl.fast.cpu.threads import spread
from refimpl.fast.scalar import truncated
from refimpl.fast.stored import number

__all__ = ["divisor", "divisor_of"]

VALID, FULL, BATCH_SIZE, NONE = (MODES[name] for name in ("VALID", "FULL", "BATCH_SIZE", "NONE"))
CHUNK = 1 << 16


@helper()
def _counted(labels: Any, ignore: int) -> int:
    count = 0
    for i in range(labels.size):
        count += truncated(number(labels[i])) != ignore
    return count


@helper()
def divisor(mode: int, batch: int, labels: Any, ignore: int) -> float:
    """VALID: the labels that are not ignored; FULL: all of them; BATCH_SIZE: `batch`; NONE: 1."""
    if mode == FULL or (mode == VALID and ignore == NO_LABEL):
        size = labels.size
    elif mode == VALID:
        size = _counted(labels, ignore)
    else:
        size = batch if mode == BATCH_SIZE else 1
    return float(size if size > 1 else 1)


@kernel(nogil=True)
def _count(first: int, last: int, sums: Any, labels: Any, ignore: int) -> int:
    for chunk in range(first, last):
        sums[chunk] = _counted(labels[chunk * CHUNK : (chunk + 1) * CHUNK], ignore)
    return DONE


def divisor_of(mode: int, batch: int, labels: NDArray[Any], ignore: int, threads: int | None) -> float:
    """`divisor` for Python: counts with several threads where there is much to count."""
    if mode == VALID and ignore != NO_LABEL:
        counted, _ = spread(_count, -(-labels.size // CHUNK), labels.size, threads, labels, ignore)
        return max(1.0, counted)
    sizes = {VALID: labels.size, FULL: labels.size, BATCH_SIZE: batch, NONE: 1}
    return float(max(1, sizes[mode]))
