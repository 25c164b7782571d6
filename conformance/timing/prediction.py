"""Prediction: how long each CUDA kernel takes; printed by ``python -m conformance.timing.prediction``.

Nothing here was measured. A kernel takes as long as its bytes take at the bandwidth of the data sheet, or as its
float64 instructions take at the rate of the Programming Guide, whichever is longer. ``docs/cuda.md`` says what would
falsify that.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.contract.dtypes import FLOAT
from conformance.timing.sizes import SIZES, Size
from conformance.timing.table import shown_seconds

__all__ = ["GPUS", "KERNELS", "PASSES", "Gpu", "Work", "markdown", "of_copy", "seconds"]

SHOWN = ("large", "huge")
"""4096 x 1000 entries, and 2^26."""

SECTOR = 32
"""Bytes that a GPU reads where it needs any of them."""


@dataclass(frozen=True)
class Gpu:
    """Bytes a second, and float64 instructions a second: multiprocessors, times their float64 additions (conversions
    go at the same rate or half of it) per clock, times the clock."""

    name: str
    bandwidth: float
    float64: float


GPUS = (
    Gpu("T4", 320e9, 40 * 2 * 1.59e9),
    Gpu("A100 80GB SXM", 2039e9, 108 * 16 * 1.41e9),
    Gpu("H100 SXM", 3350e9, 132 * 16 * 1.98e9),
)
"""Data sheets: "NVIDIA T4 Tensor Core GPU" (320 GB/s), "NVIDIA A100 Tensor Core GPU" (2,039 GB/s), "NVIDIA H100 Tensor
Core GPU" (3.35 TB/s). Per clock and multiprocessor: CUDA C++ Programming Guide, throughput of native arithmetic
instructions; the rate of conversions from 64 bits where that is the lower one."""


@dataclass(frozen=True)
class Work:
    """What a kernel of a float32 layer does: entries of arrays as large as the scores that it reads and writes, per
    entry; bytes per sample beside them; float64 instructions per entry. ``operations`` are per entry, in words."""

    reads: int
    writes: int
    operations: str
    per_sample: int = 4
    float64: int = 0


KERNELS: dict[str, Work] = {
    "normaliser.count_valid": Work(0, 0, "per label: truncate, compare, add"),
    "normaliser.add_counts": Work(0, 0, "per block of the launch before: add", per_sample=0),
    "normaliser.add_losses": Work(0, 0, "per block of the launch before: add", per_sample=0),
    "softmax.add_gradient": Work(3, 1, "2 multiply-add, subtract"),
    "contrastive_loss.sum_losses": Work(2, 0, "subtract, multiply-add; per pair a root"),
    "contrastive_loss.differentiate": Work(2, 2, "2 subtract, multiply-add, multiply, negate; per pair a root, divide"),
    "euclidean_loss.sum_squares": Work(2, 0, "subtract, multiply, convert, add in float64", 0, 2),
    "euclidean_loss.differentiate": Work(2, 2, "subtract, multiply, negate", 0),
    "hinge_loss.sum_losses": Work(1, 0, "compare, add, maximum, convert, add in float64", float64=2),
    "hinge_loss.differentiate": Work(1, 1, "2 compare, add, multiply"),
    "infogain_loss.sum_losses": Work(
        1, 1, "compare; 2 exp, 5 subtract, add, 2 multiply, compare, convert, add in float64; per position a log", 4, 2
    ),
    "infogain_loss.differentiate": Work(1, 1, "2 add, 2 multiply, subtract"),
    "multinomial_logistic_loss.sum_losses": Work(0, 0, "per sample a log", 4 + SECTOR),
    "multinomial_logistic_loss.differentiate": Work(0, 1, "compare; per sample a divide", 4 + SECTOR),
    "sigmoid_cross_entropy_loss.sum_losses": Work(
        2, 0, "exp, log1p, 2 compare, 5 add or multiply, convert, add in float64", 0, 2
    ),
    "sigmoid_cross_entropy_loss.differentiate": Work(2, 1, "exp, divide, 2 compare, 2 add, multiply", 0),
    "softmax_with_loss.sum_losses": Work(1, 1, "compare; 2 exp, 2 subtract, add, multiply; per position a log"),
    "softmax_with_loss.differentiate": Work(1, 1, "compare, subtract, multiply"),
}
"""Of a sum of losses that keeps the softmax as well, as a pass for the gradient needs it. What a team reads again comes
from the first level cache, rows of the infogain matrix from the second."""

PASSES: dict[str, tuple[str, ...]] = {
    "softmax_with_loss": ("softmax_with_loss.sum_losses", "softmax_with_loss.differentiate"),
    "infogain_loss": ("infogain_loss.sum_losses", "infogain_loss.differentiate"),
    "sigmoid_cross_entropy_loss": ("sigmoid_cross_entropy_loss.sum_losses", "sigmoid_cross_entropy_loss.differentiate"),
    "hinge_loss": ("hinge_loss.sum_losses", "hinge_loss.differentiate"),
    "euclidean_loss": ("euclidean_loss.sum_squares", "euclidean_loss.differentiate"),
    "contrastive_loss": ("contrastive_loss.sum_losses", "contrastive_loss.differentiate"),
    "multinomial_logistic_loss": (
        "multinomial_logistic_loss.sum_losses",
        "multinomial_logistic_loss.differentiate",
    ),
}
"""The kernels of a forward and backward pass that touch every entry."""


def moved(work: Work, size: Size) -> int:
    """Bytes to and from the device's memory, in float32."""
    return 4 * (work.reads + work.writes) * size.elements + work.per_sample * size.shape[0]


def seconds(work: Work, size: Size, gpu: Gpu) -> float:
    """The prediction for one launch; without what a launch itself takes."""
    return max(moved(work, size) / gpu.bandwidth, work.float64 * size.elements / gpu.float64)


def of_copy(layer: str, gpu: Gpu) -> float:
    """What ``lossconf bench`` should print under *of copy* for forward and backward, float32, size huge: the time of a
    copy of the bytes that have to be moved, over that of the kernels."""
    from conformance.timing.problem import Problem
    from conformance.timing.traffic import traffic_of

    size = SIZES["huge"]
    floor = traffic_of(Problem(layer, size, FLOAT.name), "both").total / gpu.bandwidth
    return floor / sum(seconds(KERNELS[kernel], size, gpu) for kernel in PASSES[layer])


def markdown() -> str:
    """The two tables of docs/cuda.md."""
    heads = [f"{gpu.name}, {'4096 × 1000' if size == 'large' else '2²⁶'}" for gpu in GPUS for size in SHOWN]
    lines = [f"| kernel | read | written | {' | '.join(heads)} |", "|---|---|---|" + "---|" * len(heads)]
    for name, work in KERNELS.items():
        times = [shown_seconds(seconds(work, SIZES[size], gpu)) for gpu in GPUS for size in SHOWN]
        if moved(work, SIZES["huge"]) < 1 << 24:
            times = ["a launch"] * len(times)
        lines.append(f"| {name} | {_share(work.reads)} | {_share(work.writes)} | {' | '.join(times)} |")
    lines += ["", f"| layer | {' | '.join(gpu.name for gpu in GPUS)} |", "|---|" + "---|" * len(GPUS)]
    lines += [f"| {layer} | {' | '.join(f'{of_copy(layer, gpu):.0%}' for gpu in GPUS)} |" for layer in PASSES]
    lines += ["", "| kernel | operations per entry |", "|---|---|"]
    lines += [f"| {name} | {work.operations} |" for name, work in KERNELS.items()]
    return "\n".join(lines)


def _share(arrays: int) -> str:
    return "" if arrays == 0 else "s" if arrays == 1 else f"{arrays} s"


if __name__ == "__main__":
    print(markdown())
