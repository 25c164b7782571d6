"""The compile check of the CUDA kernels: what it finds in listings, what it makes of kernels, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from refimpl.fast.cuda import assemble
from refimpl.fast.cuda.assembly import Assembly
from refimpl.fast.cuda.listing import (
    narrow_addresses,
    ptx_float64,
    ptx_instructions,
    reduction_only,
    sass_float64,
    sass_local,
)
from refimpl.fast.cuda.occupancy import LIMITS, occupancy
from refimpl.fast.cuda.toolchain import NoToolchain, Toolchain, find_toolchain

ROOT = Path(__file__).parents[3]
ROW = Assembly("hinge_loss.forward", "float32", "8.0", 128, 32, 16, occupancy=1.0)


def test_an_instruction_knows_what_it_defines_and_what_it_uses() -> None:
    text = "$L_1:\n@%p1 bra \t$L_2;\nmad.wide.u32 %rd4, %r1, 8, %rd3;\nst.global.f32 [%rd4+8], %f1;\n.reg .b64 %rd<9>;"
    jump, product, store = ptx_instructions(text)
    assert (jump.opcode, jump.written()) == ("bra", ())
    assert (product.written(), product.read()) == (("%rd4",), ("%r1", "%rd3"))
    assert (store.written(), store.read()) == ((), ("%rd4", "%f1"))
    shuffle = next(ptx_instructions("shfl.sync.down.b32 %r7|%p2, %r5, 16, 31, -1;"))
    assert shuffle.written() == ("%r7", "%p2")


def test_float64_of_a_reduction_is_told_from_that_of_arithmetic() -> None:
    fine = "ld.global.f64 %fd1, [%rd1];\ncvt.f64.f32 %fd2, %f1;\nadd.f64 %fd3, %fd1, %fd2;\n"
    assert reduction_only(ptx_float64(fine)) == []
    assert reduction_only(ptx_float64(fine + "setp.gt.f64 %p1, %fd1, %fd2;")) == ["setp.gt.f64"]
    sass = "        /*0010*/    @!P0 DADD R2, R4, R6 ;\n        /*0020*/    F2F.F64.F32 R2, R3 ;\n"
    assert reduction_only(sass_float64(sass)) == []
    assert reduction_only(sass_float64(sass + "    /*0030*/   MUFU.RCP64H R5, R7 ;\n")) == ["MUFU.RCP64H"]
    assert sass_local(sass) == 0
    assert sass_local(sass + "    /*0030*/    STL.64 [R1], R2 ;\n") == 1


WIDE = "mul.wide.u32 %rd1, %r1, %r2;\nadd.s64 %rd2, %rd1, %rd9;\nshl.b64 %rd3, %rd2, 2;\n"
NARROW = "mad.lo.s32 %r9, %r1, %r2, %r8;\nmul.wide.s32 %rd3, %r9, 4;\n"
QUOTIENT = "cvt.u32.u64 %r3, %rd8;\ncvt.u32.u64 %r4, %rd9;\ndiv.u32 %r5, %r3, %r4;\n"
REMAINDER = "mul.lo.s32 %r6, %r5, %r4;\nsub.s32 %r7, %r3, %r6;\ncvt.u64.u32 %rd3, %r7;\n"
LOAD = "add.s64 %rd4, %rd7, %rd3;\nld.global.f32 %f1, [%rd4];\n"


@pytest.mark.parametrize(
    ("ptx", "found"),
    [
        (WIDE + LOAD, []),
        (NARROW + LOAD, ["mad.lo.s32"]),
        (NARROW, []),
        (QUOTIENT + REMAINDER + LOAD, []),
        ("cvt.u32.u64 %r3, %rd9;\ncvt.s64.s32 %rd3, %r3;\n" + LOAD, ["cvt.u32.u64"]),
        (NARROW.replace("%rd3", "%rd8") + QUOTIENT + REMAINDER + LOAD, ["mad.lo.s32"]),
        ("mov.u32 %r3, %tid.x;\nshr.u32 %r4, %r3, 5;\nmul.wide.u32 %rd3, %r4, 8;\n" + LOAD, []),
        (NARROW.replace("%rd3", "%rd5") + "ld.shared.u64 %rd3, [%rd5];\n" + LOAD, []),
    ],
)
def test_an_address_that_may_have_overflowed_is_found(ptx: str, found: list[str]) -> None:
    assert narrow_addresses(ptx) == found


@pytest.mark.parametrize(
    ("capability", "block", "registers", "shared", "share"),
    [
        ((7, 0), 128, 37, 0, 0.75),
        ((8, 0), 256, 32, 0, 1.0),
        ((8, 0), 256, 64, 0, 0.5),
        ((8, 0), 32, 16, 0, 0.5),
        ((7, 5), 1024, 64, 0, 1.0),
        ((9, 0), 128, 32, 56 << 10, 4 * 4 / 64),
        ((8, 6), 128, 255, 0, 2 * 4 / 48),
        ((12, 0), 1024, 32, 0, 32 / 48),
    ],
)
def test_occupancy_is_what_the_scarcest_resource_leaves(
    capability: tuple[int, int], block: int, registers: int, shared: int, share: float
) -> None:
    assert occupancy(capability, block, registers, shared) == pytest.approx(share)


def test_every_capability_that_is_wanted_has_limits() -> None:
    assert set(assemble.WANTED) <= LIMITS.keys()


@pytest.fixture
def toolchain(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake(Toolchain):
        def release(self) -> str:
            return "12.9.86"

        def architectures(self) -> frozenset[tuple[int, int]]:
            return frozenset({(8, 0), (9, 0), (10, 0)})

    monkeypatch.setattr(assemble, "find_toolchain", lambda: Fake(Path("a"), Path("b"), Path("c")))


def of(*rows: Assembly) -> object:
    return lambda capability: list(rows)


@pytest.mark.usefixtures("toolchain")
def test_what_is_as_it_should_be_ends_with_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(assemble, "_of_capability", of(ROW))
    assert assemble.main(["--cc", "8.0"]) == 0
    told = capsys.readouterr().out
    assert "hinge_loss.forward  float32  8.0    128" in told
    assert "1 of 1 as they should be" in told


@pytest.mark.usefixtures("toolchain")
def test_one_problem_ends_it_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    spilling = replace(ROW, dtype="float64", problems=("spills 8 bytes",))
    monkeypatch.setattr(assemble, "_of_capability", of(ROW, spilling))
    assert assemble.main(["--cc", "8.0"]) == 1
    assert "hinge_loss.forward float64 8.0: spills 8 bytes" in capsys.readouterr().out


@pytest.mark.usefixtures("toolchain")
def test_a_compiler_that_dies_ends_it_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert assemble.main(["--cc", "8.0"]) == 1
    assert "8.0: the process that compiles ended with 1" in capsys.readouterr().out


@pytest.mark.usefixtures("toolchain")
def test_capabilities_that_the_tools_lack_are_said_not_to_have_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(assemble, "_has_numba_cuda", lambda: False)
    monkeypatch.setattr(assemble, "_of_capability", of(ROW))
    assert assemble.main([]) == 0
    assert "not run: 7.0, 7.5, 10.0, 12.0" in capsys.readouterr().out


def test_without_a_toolchain_it_is_not_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing() -> Toolchain:
        raise NoToolchain("no ptxas here")

    monkeypatch.setattr(assemble, "find_toolchain", missing)
    assert assemble.main([]) == 77
    assert capsys.readouterr().out == "not run: no ptxas here\n"


@pytest.mark.usefixtures("toolchain")
def test_a_capability_that_is_not_known_is_a_mistake_of_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        assemble.main(["--cc", "6.6"])
    assert ended.value.code == 2


def test_a_toolchain_is_whole_or_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refimpl.fast.cuda.toolchain._roots", lambda: iter([tmp_path / "half", tmp_path / "whole"]))
    for name in ("nvvm/lib64/libnvvm.so", "nvvm/libdevice/libdevice.10.bc", "bin/ptxas"):
        for folder in ("whole",) if name == "bin/ptxas" else ("half", "whole"):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert find_toolchain().ptxas == tmp_path / "whole/bin/ptxas"
    (tmp_path / "whole/bin/ptxas").unlink()
    with pytest.raises(NoToolchain, match=r"pip install 'caffe-loss-conformance\[ptx\]'"):
        find_toolchain()


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[str, Assembly]]:
    """The kernels of `tests.cuda_assembly_kernels`, compiled by a process of its own."""
    try:
        find_toolchain()
    except NoToolchain as reason:
        pytest.skip(str(reason))
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.cuda_assembly_kernels"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = [Assembly.from_json(json.loads(line)) for line in done.stdout.splitlines()]
    yield {row.kernel: row for row in found}


@pytest.mark.parametrize(
    ("kernel", "problem"),
    [
        ("narrow", "computes addresses in 32 bits: "),
        ("double", "computes in float64: "),
        ("local", "uses local memory, 256 bytes of stack"),
        ("shares", "takes 128 bytes of shared memory and says 0"),
        ("broken", "TypingError: "),
    ],
)
def test_a_kernel_that_is_not_as_it_should_be_is_found(rows: dict[str, Assembly], kernel: str, problem: str) -> None:
    assert [said[: len(problem)] for said in rows[kernel].problems] == [problem]


@pytest.mark.parametrize("kernel", ["good", "sums"])
def test_a_kernel_that_is_as_it_should_be_is_not(rows: dict[str, Assembly], kernel: str) -> None:
    assert rows[kernel].problems == ()
    assert rows[kernel].registers > 0
    assert (rows[kernel].float64 > 0) == (kernel == "sums")
