"""The bugs: which lines of which module to replace, the scenario that shows them, and the signs by which they are
known."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cuda_bugs import scenarios
from tests.cuda_bugs.scenarios import Scenario

__all__ = ["BUGS", "Bug"]

RACE = "with no barrier between"
UNWRITTEN = "which nothing was written to"
BOUNDS = "which has [0-9]+ entries"


@dataclass(frozen=True)
class Bug:
    """`sign` is a regular expression that something found of it must match; "wrong ..." is a result."""

    name: str
    module: str
    right: str
    wrong: str
    scenario: Scenario
    sign: str


BUGS = (
    Bug(
        "missing barrier",
        "reduction",
        "    cuda.syncthreads()\n    total = scratch[0]\n",
        "    total = scratch[0]\n",
        scenarios.euclidean,
        f"{RACE}|{UNWRITTEN}",
    ),
    Bug(
        "wrong stride at a ragged edge",
        "team",
        "base_of(position, classes, inner)",
        "base_of(position, max(classes, width), inner)",
        scenarios.narrow_rows,
        BOUNDS,
    ),
    Bug(
        "row shorter than the block",
        "softmax",
        "    most = x.dtype.type(-np.inf)\n",
        "    most = x[team.base + team.lane * inner]\n",
        scenarios.narrow_rows,
        BOUNDS,
    ),
    Bug(
        "off by one in the last block",
        "team",
        "    if position < positions:\n",
        "    if position <= positions:\n",
        scenarios.narrow_rows,
        BOUNDS,
    ),
    Bug(
        "race on shared memory",
        "reduction",
        "    cuda.syncthreads()  # the scratch may be written again at once\n",
        "",
        scenarios.wide_rows,
        RACE,
    ),
    Bug(
        "uninitialised partial sums",
        "pointwise",
        "            sums[cuda.blockIdx.x] = loss\n",
        "            sums[cuda.blockIdx.x] += loss\n",
        scenarios.euclidean,
        rf"reads sums\[[0-9]+\], {UNWRITTEN}",
    ),
    Bug(
        "wrong lane in a shuffle",
        "reduction",
        "        value += cuda.shfl_xor_sync(ALL, value, distance)\n",
        "        value += cuda.shfl_down_sync(ALL, value, distance)\n",
        scenarios.narrow_rows,
        "wrong softmax",
    ),
    Bug(
        "int32 overflow of the flat index",
        "grid",
        "    return np.int64(block) * np.int64(width) + np.int64(thread)\n",
        "    return np.int32(np.int32(block) * np.int32(width)) + np.int32(thread)\n",
        scenarios.huge_indices,
        "wrong flat index",
    ),
    Bug(
        "ignored label counted",
        "normaliser",
        "        if truncated(labels[i]) != ignore:\n",
        "        if truncated(labels[i]) >= 0:\n",
        scenarios.with_ignored_labels,
        "wrong loss",
    ),
    Bug(
        "weight read before it is written",
        "arguments",
        "        made = Input(device.copy(number.reshape(-1)), number.shape)\n",
        "        made = Input(device.empty(number.size, like.dtype), number.shape)\n",
        scenarios.euclidean,
        rf"reads top_diff\[0\], {UNWRITTEN}",
    ),
)
