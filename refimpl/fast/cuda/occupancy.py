"""Theoretical occupancy: the share of a multiprocessor's warps that can be resident at once.

Limits are those of the CUDA C++ Programming Guide, appendix *Compute Capabilities*, table *Technical Specifications per
Compute Capability* (7.0: the edition of CUDA 12); how resources are rounded up is that of NVIDIA's occupancy
calculator: registers by warp in units of 256, warps in fours, shared memory in units of 256 bytes on 7.x and of 128
bytes from 8.0 on, where the system takes another 1024 bytes of every block.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LIMITS", "Limits", "occupancy"]

WARP = 32
REGISTERS = 64 * 1024
"""32-bit registers of a multiprocessor, on every capability from 5.0 on."""

REGISTER_UNIT = 256
WARP_UNIT = 4


@dataclass(frozen=True)
class Limits:
    """Of a multiprocessor: resident warps, resident blocks, bytes of shared memory. Of a block's shared memory: the
    unit it is given in, and the bytes that the system adds."""

    warps: int
    blocks: int
    shared: int
    unit: int = 128
    reserved: int = 1024


LIMITS: dict[tuple[int, int], Limits] = {
    (7, 0): Limits(64, 32, 96 << 10, unit=256, reserved=0),
    (7, 5): Limits(32, 16, 64 << 10, unit=256, reserved=0),
    (8, 0): Limits(64, 32, 164 << 10),
    (8, 6): Limits(48, 16, 100 << 10),
    (8, 9): Limits(48, 24, 100 << 10),
    (9, 0): Limits(64, 32, 228 << 10),
    (10, 0): Limits(64, 32, 228 << 10),
    (12, 0): Limits(48, 24, 100 << 10),
}


def occupancy(capability: tuple[int, int], block: int, registers: int, shared: int) -> float:
    """For blocks of ``block`` threads, each of ``registers`` registers, with ``shared`` bytes a block; 0 to 1.

    Raises KeyError for a capability that is not in `LIMITS`.
    """
    limits = LIMITS[capability]
    warps = -(-block // WARP)
    by_warps = min(limits.blocks, limits.warps // warps)
    of_warp = _rounded(max(registers, 1) * WARP, REGISTER_UNIT)
    by_registers = REGISTERS // of_warp // WARP_UNIT * WARP_UNIT // warps
    of_block = _rounded(shared + limits.reserved, limits.unit)
    by_shared = limits.shared // of_block if of_block else limits.blocks
    return min(by_warps, by_registers, by_shared) * warps / limits.warps


def _rounded(amount: int, unit: int) -> int:
    return -(-amount // unit) * unit
