"""Kernels that the compile check must refuse, each for its own reason, and a process that shows it the lot.

``python -m tests.cuda_assembly_kernels`` prints a JSON line for each.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numba import cuda

from refimpl.fast.cuda.assembly import assembled
from refimpl.fast.cuda.kernel import Kernel
from refimpl.fast.cuda.toolchain import find_toolchain

CAPABILITY = (8, 0)


def good(x: Any, out: Any) -> None:
    i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
    if i < x.size:
        out[i] = x[i] + x[i]


def narrow(x: Any, out: Any) -> None:
    i = np.int32(np.int32(cuda.blockIdx.x) * np.int32(cuda.blockDim.x) + np.int32(cuda.threadIdx.x))
    if i < x.size:
        out[i] = x[i] + x[i]


def double(x: Any, out: Any) -> None:
    i = np.int64(cuda.threadIdx.x)
    out[i] = x[i] * 0.1


def local(x: Any, out: Any) -> None:
    i = np.int64(cuda.threadIdx.x)
    kept = cuda.local.array(64, np.float32)
    for j in range(64):
        kept[np.int64(x[j])] = x[i + j]
    out[i] = kept[i]


def shares(x: Any, out: Any) -> None:
    i = np.int64(cuda.threadIdx.x)
    scratch = cuda.shared.array(32, np.float32)
    scratch[i % 32] = x[i]
    cuda.syncthreads()
    out[i] = scratch[(i + 1) % 32]


def broken(x: Any, out: Any) -> None:
    out[0] = x.no_such_thing


def sums(x: Any, out: Any) -> None:
    i = np.int64(cuda.threadIdx.x)
    total = np.float64(0)
    for j in range(8):
        total += np.float64(x[i + j])
    out[i] = np.float32(total)


KERNELS = (good, narrow, double, local, shares, broken, sums)


def main() -> None:
    tools = find_toolchain()
    for function in KERNELS:
        kernel = Kernel(function.__name__, function, ("float32[]", "float32[]"), (), 128)
        print(json.dumps(assembled(kernel, "float32", CAPABILITY, tools).to_json()))


if __name__ == "__main__":
    main()
