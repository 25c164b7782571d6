"""The toolchain: NVIDIA's compilers, which turn a kernel into machine code on a computer without a GPU or a driver.

Three tools of one release: libnvvm with libdevice (LLVM's code to PTX), ptxas (PTX to SASS), and nvdisasm where there
is one. They come in the wheel ``nvidia-cuda-nvcc-cu12`` (the extra ``ptx``), in the wheels of CUDA 13, or in an
installed CUDA toolkit.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__all__ = ["Assembled", "AssemblyError", "Capability", "NoToolchain", "Toolchain", "find_toolchain"]

Capability = tuple[int, int]
"""A compute capability, (8, 0) for 8.0."""

_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")


class NoToolchain(Exception):
    """There is no complete toolchain; ``str()`` says what is missing and how to get it."""


class AssemblyError(Exception):
    """A kernel does not compile, or ptxas refuses it; ``str()`` is what was said, in one line."""


@dataclass(frozen=True)
class Assembled:
    """What ptxas tells of a kernel: registers of a thread; bytes of a block's static shared memory, of a thread's
    stack frame, and of spills stored and loaded. ``sass`` is its listing where there is an nvdisasm."""

    registers: int
    shared: int
    stack: int
    spills: int
    sass: str | None


@dataclass(frozen=True)
class Toolchain:
    """Paths of the tools, all of one release but for nvdisasm, which reads what older ones wrote."""

    libnvvm: Path
    libdevice: Path
    ptxas: Path
    nvdisasm: Path | None = None

    def release(self) -> str:
        """As in ``12.9.86``."""
        found = re.search(r"V(\d+\.\d+\.\d+)", _output([self.ptxas, "--version"]))
        return "unknown" if found is None else found[1]

    def architectures(self) -> frozenset[Capability]:
        """The compute capabilities that ptxas assembles for."""
        told = _output([self.ptxas, "--help"])
        return frozenset((int(major), int(minor)) for major, minor in re.findall(r"'sm_(\d+)(\d)'", told))

    def to_ptx(self, function: Callable[..., Any], signature: tuple[Any, ...], capability: Capability) -> str:
        """A kernel's PTX. Only the first call of a process chooses the toolchain; use a process per capability, since
        device functions are compiled once. Raises `AssemblyError`."""
        from numba import cuda

        self._install(capability)
        try:
            text, _ = cuda.compile(function, signature, cc=capability, device=False, abi="numba", output="ptx")
        except Exception as error:  # Numba's errors, libnvvm's, and whatever else a compiler gives up with
            raise AssemblyError(f"{type(error).__name__}: {_line(str(error))}") from None
        return str(text).rstrip("\0")

    def assemble(self, ptx: str, capability: Capability) -> Assembled:
        """Machine code for a kernel's PTX. Raises `AssemblyError`."""
        with tempfile.TemporaryDirectory(prefix="lossconf-") as folder:
            source, cubin = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
            source.write_text(ptx)
            architecture = f"-arch=sm_{capability[0]}{capability[1]}"
            done = _run([self.ptxas, "-v", architecture, source, "-o", cubin])
            if done.returncode:
                raise AssemblyError(_line(done.stderr or done.stdout))
            listing = None if self.nvdisasm is None else _run([self.nvdisasm, "-c", cubin])
        told = done.stderr + done.stdout
        frames = [tuple(map(int, frame)) for frame in _SPILLS.findall(told)]
        return Assembled(
            registers=_number(r"Used (\d+) registers", told),
            shared=_number(r"(\d+) bytes smem", told),
            stack=max(frame[0] for frame in frames),
            spills=sum(frame[1] + frame[2] for frame in frames),
            sass=None if listing is None or listing.returncode else listing.stdout,
        )

    def _install(self, capability: Capability) -> None:
        """Have Numba compile with these tools, and for this capability where it would ask the device.

        Numba has no public way to compile a kernel that calls device functions where there is no driver.
        """
        from numba import cuda
        from numba.core import config

        if config.ENABLE_CUDASIM:
            raise NoToolchain("Numba simulates CUDA in this process: unset NUMBA_ENABLE_CUDASIM")
        from numba.cuda import dispatcher
        from numba.cuda.cudadrv import libs

        ctypes.CDLL(str(self.libnvvm))
        paths = {name: SimpleNamespace(info=str(path), by="lossconf") for name, path in self._libraries().items()}
        libs.get_cuda_paths = lambda: paths
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
        if cuda.implementation == "Built-in":
            from numba.cuda.cudadrv import nvvm as known
        else:
            from numba.cuda.cudadrv import nvrtc as known
        known.find_closest_arch = lambda wanted: wanted

    def _libraries(self) -> dict[str, Path]:
        return {"nvvm": self.libnvvm, "libdevice": self.libdevice}


def find_toolchain() -> Toolchain:
    """The first complete one: in ``CUDA_HOME``, in a wheel, in ``/usr/local/cuda``, around the ptxas on the path.

    Raises `NoToolchain`.
    """
    roots = list(_roots())
    for root in roots:
        libnvvm, libdevice = _first(root, "nvvm/lib64", "lib", "lib64"), root / "nvvm/libdevice/libdevice.10.bc"
        ptxas = root / "bin/ptxas"
        if libnvvm is not None and libdevice.is_file() and ptxas.is_file():
            beside = [path for path in (other / "bin/nvdisasm" for other in roots) if path.is_file()]
            anywhere = shutil.which("nvdisasm")
            beside += [Path(anywhere)] if anywhere else []
            return Toolchain(libnvvm, libdevice, ptxas, beside[0] if beside else None)
    raise NoToolchain("no libnvvm and ptxas on this machine: pip install 'caffe-loss-conformance[ptx]'")


def _roots() -> Iterator[Path]:
    if chosen := os.environ.get("CUDA_HOME"):
        yield Path(chosen)
    wheels = importlib.util.find_spec("nvidia")
    for folder in (wheels and wheels.submodule_search_locations) or ():
        yield Path(folder, "cuda_nvcc")
        yield Path(folder, "cu13")
    yield Path("/usr/local/cuda")
    if ptxas := shutil.which("ptxas"):
        yield Path(ptxas).resolve().parents[1]


def _first(root: Path, *folders: str) -> Path | None:
    """The libnvvm in the first folder that has one; the shortest name where there are several."""
    for folder in folders:
        if found := sorted((root / folder).glob("libnvvm.so*")):
            return found[0]
    return None


def _run(command: list[Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)


def _output(command: list[Any]) -> str:
    return _run(command).stdout


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return 0 if found is None else int(found[1])


def _line(text: str) -> str:
    """The line of a message that says most: the first that speaks of an error, or else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    return next((line for line in lines if "error" in line.lower()), lines[-1])[:300]
