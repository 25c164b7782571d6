"""Machine: what a reader has to know of the computer to make something of its times, and waiting until it is quiet."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from cpuinfo import get_cpu_info

__all__ = ["Machine", "describe_machine", "load_average", "wait_until_quiet"]

THREAD_SETTINGS = (
    "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "GOMP_SPINCOUNT", "GOMP_CPU_AFFINITY", "KMP_BLOCKTIME",
    "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "XLA_FLAGS",
)  # fmt: skip
"""Environment variables that say how many threads there are and how they wait."""

LIBRARIES = ("numpy", "numba", "llvmlite", "torch", "jax", "jaxlib", "caffe-loss-conformance")

GLANCE = 0.25
"""Seconds over which it is looked at how busy the cores are."""

QUIET = 0.95
"""Share of the cores' time that has to be idle."""

PAUSE = 2.0
"""Seconds between glances."""

_SYS = Path("/sys/devices/system/cpu")
_KIB = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Machine:
    """The processor and what is known of its state. ``caches`` are (level, type, bytes) of the first core's.

    ``cores`` are those this process may use, ``quota`` the processors' worth of time that a container is given.
    Fields that the system does not tell are None or empty.
    """

    cpu: str
    architecture: str
    cores: int
    cores_present: int
    caches: tuple[tuple[int, str, int], ...] = ()
    governor: str | None = None
    boost: bool | None = None
    virtual: bool | None = None
    quota: float | None = None
    memory: int | None = None
    gpus: tuple[str, ...] = ()
    system: str = ""
    python: str = ""
    libraries: dict[str, str] = field(default_factory=dict)
    threads: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "caches": [list(cache) for cache in self.caches], "gpus": list(self.gpus)}

    def described(self) -> dict[str, Any]:
        """The same under the names that MLPerf's submitters describe their ``systems`` by, texts for people; what is
        not known is left out."""
        caches = ", ".join(f"L{level} {kind} {size >> 10} KiB" for level, kind, size in self.caches)
        state = {
            "governor": self.governor,
            "boost": self.boost,
            "virtual": self.virtual,
            "processors' quota": self.quota,
            "cores used": self.cores,
        }
        known = {
            "number_of_nodes": 1,
            "host_processor_model_name": self.cpu,
            "host_processor_vcpu_count": self.cores_present,
            "host_processor_caches": caches,
            "host_memory_capacity": f"{self.memory / 2**30:.1f} GiB" if self.memory else "",
            "accelerators_per_node": len(self.gpus),
            "accelerator_model_name": "; ".join(self.gpus),
            "operating_system": self.system,
            "framework": ", ".join(f"{name} {version}" for name, version in self.libraries.items()),
            "other_software_stack": self.python,
            "hw_notes": _notes(state),
            "sw_notes": _notes(self.threads),
        }
        return {name: value for name, value in known.items() if value not in ("", None)}

    @property
    def hardware(self) -> tuple[str, str, int]:
        """What has to be the same for times to be compared as they are."""
        return self.cpu, self.architecture, self.cores

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Machine:
        return cls(
            **{**value, "caches": tuple(tuple(cache) for cache in value["caches"]), "gpus": tuple(value["gpus"])}
        )


def _notes(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in told.items() if value is not None)


def _processor() -> dict[str, Any]:
    """What py-cpuinfo tells. It starts a Python that imports from the working directory first: root's, meanwhile."""
    here = os.getcwd()
    os.chdir(os.path.abspath(os.sep))
    try:
        told: dict[str, Any] = get_cpu_info()
    finally:
        os.chdir(here)
    return told


def describe_machine() -> Machine:
    """This machine, as far as it tells."""
    processor = _processor()
    flags = processor.get("flags")
    return Machine(
        cpu=processor.get("brand_raw") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cores=_usable_cores(),
        cores_present=psutil.cpu_count() or 1,
        caches=tuple(_caches()),
        governor=_text(_SYS / "cpu0/cpufreq/scaling_governor").strip() or None,
        boost=_boost(),
        virtual=None if flags is None else "hypervisor" in flags,
        quota=_quota(_text(Path("/sys/fs/cgroup/cpu.max"))),
        memory=psutil.virtual_memory().total,
        gpus=tuple(_gpus()),
        system=platform.platform(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries=library_versions(),
        threads=thread_settings(),
    )


def load_average() -> float:
    """Runnable processes over the last minute."""
    return float(psutil.getloadavg()[0])


def idle_share() -> float:
    """The share of the cores' time, over the next `GLANCE` seconds, that nothing runs."""
    found = psutil.cpu_times_percent(interval=GLANCE)
    return float(found.idle + getattr(found, "iowait", 0.0)) / 100


def wait_until_quiet(deadline: float, glance: Callable[[], float] = idle_share, pause: float = PAUSE) -> bool:
    """Wait until the cores are idle, or until ``deadline`` (of ``time.monotonic``); whether they are."""
    while glance() < QUIET:
        if time.monotonic() + pause > deadline:
            return False
        time.sleep(pause)
    return True


def library_versions() -> dict[str, str]:
    """The versions of the libraries that bear on the times, those that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def thread_settings() -> dict[str, str]:
    """Those of `THREAD_SETTINGS` that are set."""
    return {name: os.environ[name] for name in THREAD_SETTINGS if name in os.environ}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _usable_cores() -> int:
    """Those that this process may use, where its system lets processes be kept to some."""
    process = psutil.Process()
    return len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1


def _caches() -> Iterator[tuple[int, str, int]]:
    """Those of one core: py-cpuinfo adds up all cores'."""
    for folder in sorted((_SYS / "cpu0/cache").glob("index*")):
        level, kind, size = (_text(folder / name).strip() for name in ("level", "type", "size"))
        if level.isdecimal() and size[:-1].isdecimal() and size[-1:] in _KIB:
            yield int(level), kind, int(size[:-1]) * _KIB[size[-1]]


def _boost() -> bool | None:
    """Whether the clock may go beyond its nominal frequency."""
    common = _text(_SYS / "cpufreq/boost").strip()
    intel = _text(_SYS / "intel_pstate/no_turbo").strip()
    return common == "1" if common else intel == "0" if intel else None


def _quota(text: str) -> float | None:
    """The processors' worth of time in the text of ``cpu.max``; None where there is no limit."""
    words = text.split()
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return None
    return int(words[0]) / int(words[1])


def _gpus() -> Iterator[str]:
    """What the NVIDIA driver says, where there is one."""
    if shutil.which("nvidia-smi") is None:
        return
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return
    yield from (line.strip() for line in told.stdout.splitlines() if line.strip())
