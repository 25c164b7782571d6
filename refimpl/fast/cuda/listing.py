"""Listings: what the PTX and the SASS of a kernel say of its float64 arithmetic, its local memory and its addresses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "Instruction",
    "narrow_addresses",
    "ptx_float64",
    "ptx_instructions",
    "ptx_local",
    "reduction_only",
    "sass_float64",
    "sass_local",
    "sass_opcodes",
]

_PTX = re.compile(r"^(?:@!?%\w+\s+)?([a-z][\w.:]*)\s*([^;]*);")
_SASS = re.compile(r"^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", re.MULTILINE)
_REGISTER = re.compile(r"%[a-z]+\d+")

MOVES = frozenset({"ld", "ldu", "st", "mov", "selp", "shfl", "prmt"})
"""PTX that moves a number and does nothing to it."""

REDUCTION = frozenset({"add", "sub", "cvt", "DADD", "F2F"})
"""What the reduction of a loss may do in float64 where everything else is float32: convert, and add (or subtract, which
SASS does by the same instruction)."""


@dataclass(frozen=True)
class Instruction:
    """A PTX instruction: its opcode, and its operands as they are written."""

    opcode: str
    operands: tuple[str, ...]

    @property
    def base(self) -> str:
        return self.opcode.partition(".")[0]

    @property
    def stores(self) -> bool:
        """Whether all its registers are read."""
        return self.base in ("st", "bra", "bar", "ret", "setp", "red")

    def written(self) -> tuple[str, ...]:
        """The registers that it defines."""
        return () if self.stores or not self.operands else tuple(_REGISTER.findall(self.operands[0]))

    def read(self) -> tuple[str, ...]:
        """The registers that it uses."""
        used = self.operands if self.stores else self.operands[1:]
        return tuple(register for operand in used for register in _REGISTER.findall(operand))


def ptx_instructions(ptx: str) -> Iterator[Instruction]:
    """Every instruction of a PTX text, in its order; declarations and labels are none."""
    for line in ptx.splitlines():
        if found := _PTX.match(line.strip()):
            yield Instruction(found[1], _operands(found[2]))


def _operands(text: str) -> tuple[str, ...]:
    """Split at the commas that no brace or bracket encloses."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "[{(") - (sign in "]})")
        if sign == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return (*parts, text[start:].strip()) if text.strip() else ()


def ptx_float64(ptx: str) -> Counter[str]:
    """How often each instruction that computes in float64, or converts from or to it, occurs in PTX."""
    found = (instruction for instruction in ptx_instructions(ptx) if ".f64" in instruction.opcode)
    return Counter(instruction.opcode for instruction in found if instruction.base not in MOVES)


def ptx_local(ptx: str) -> int:
    """How many instructions of PTX load from a thread's local memory or store to it."""
    return sum(".local" in instruction.opcode for instruction in ptx_instructions(ptx))


def sass_opcodes(sass: str) -> Counter[str]:
    """How often each opcode occurs in the listing of nvdisasm."""
    return Counter(_SASS.findall(sass))


def sass_float64(sass: str) -> Counter[str]:
    """As `ptx_float64`, in SASS: the D instructions, conversions, and the halves of a division or a root."""
    return Counter({opcode: count for opcode, count in sass_opcodes(sass).items() if _computes_float64(opcode)})


def _computes_float64(opcode: str) -> bool:
    base, *rest = opcode.split(".")
    return base in {"DADD", "DMUL", "DFMA", "DSETP", "DMNMX"} or "F64" in rest or any("64H" in part for part in rest)


def sass_local(sass: str) -> int:
    """How many instructions load from a thread's local memory or store to it."""
    return sum(count for opcode, count in sass_opcodes(sass).items() if opcode.split(".")[0] in ("LDL", "STL"))


def reduction_only(found: Counter[str]) -> list[str]:
    """Those of some float64 instructions that the reduction of a float32 loss has no business with."""
    return sorted(opcode for opcode in found if opcode.split(".")[0] not in REDUCTION)


def narrow_addresses(ptx: str) -> list[str]:
    """Opcodes through which an address in global memory depends on a number that was computed in 32 bits.

    Walks backwards from every address. Thread and block numbers and what is loaded may be 32 bits wide, and so may
    bits of those be; what a sum, a product or a shift to the left makes of them in 32 bits may have overflowed, and a
    number of 64 bits that was cut to 32 may have lost some. But LLVM divides unsigned numbers in 32 bits where it
    has found that both fit, and takes the remainder from that.
    """
    instructions = list(ptx_instructions(ptx))
    makers: dict[str, list[Instruction]] = {}
    for instruction in instructions:
        for register in instruction.written():
            makers.setdefault(register, []).append(instruction)
    pending = [register for one in instructions for register in _addresses(one)]
    seen, narrow = set(pending), set()
    while pending:
        for maker in makers.get(pending.pop(), ()):
            sources = () if maker.base in ("ld", "ldu") else maker.read()
            if _divides(maker, makers):
                sources = tuple(source for register in sources for source in _uncut(register, makers))
            elif _may_overflow(maker):
                narrow.add(maker.opcode)
            pending += [register for register in sources if register not in seen]
            seen.update(sources)
    return sorted(narrow)


Makers = dict[str, list[Instruction]]


def _addresses(instruction: Instruction) -> Iterator[str]:
    """The registers in brackets of a load from, or store to, global memory."""
    if instruction.base in ("ld", "st", "red", "atom") and ".global" in instruction.opcode:
        for operand in instruction.operands:
            if operand.startswith("["):
                yield from _REGISTER.findall(operand)


def _cuts(maker: Instruction) -> bool:
    return bool(re.fullmatch(r"cvt\.[us]32\.[us]64", maker.opcode))


def _may_overflow(maker: Instruction) -> bool:
    narrow = maker.opcode.endswith((".s32", ".u32", ".b32")) and ".wide" not in maker.opcode
    return _cuts(maker) or (narrow and maker.base in ("add", "sub", "mul", "mad", "shl"))


def _divides(maker: Instruction, makers: Makers) -> bool:
    """Whether it is an unsigned division, the product of its quotient, or the remainder: what is left of that."""
    if maker.opcode in ("div.u32", "rem.u32"):
        return True
    before = {"mul.lo.s32": "div.u32", "sub.s32": "mul.lo.s32"}.get(maker.opcode)
    return before is not None and any(
        one.opcode == before and _divides(one, makers) for register in maker.read() for one in makers.get(register, ())
    )


def _uncut(register: str, makers: Makers) -> tuple[str, ...]:
    """The numbers of 64 bits that a register was cut from; itself where it was not."""
    cut = [source for maker in makers.get(register, ()) if _cuts(maker) for source in maker.read()]
    return tuple(cut) or (register,)
