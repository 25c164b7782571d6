"""Every bug planted in a CUDA kernel is found without a GPU, and nothing is found where none is planted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from refimpl.fast.cuda.toolchain import NoToolchain, find_toolchain
from tests.cuda_bugs.bugs import BUGS, Bug
from tests.cuda_bugs.package import Package, planted
from tests.cuda_bugs.scenarios import Scenario, findings

ROOT = Path(__file__).parents[3]
SCENARIOS = tuple(dict.fromkeys(bug.scenario for bug in BUGS))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def with_bug(folder: Path, bug: Bug) -> Package:
    name = "cuda_with_" + re.sub(r"\W+", "_", bug.name)
    return planted(folder, name, bug.module, bug.right, bug.wrong)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug, folder: Path) -> None:
    found = findings(with_bug(folder, bug), bug.scenario)
    assert any(re.search(bug.sign, said) for said in found), found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_nothing_is_found_where_no_bug_is_planted(scenario: Scenario, folder: Path) -> None:
    assert findings(planted(folder, f"cuda_as_it_is_in_{scenario.__name__}"), scenario) == []


def test_a_bug_that_no_longer_fits_its_kernel_is_no_bug(folder: Path) -> None:
    with pytest.raises(ValueError, match="no longer fits"):
        planted(folder, "cuda_with_nothing", "grid", "no such line", "")


COMPILED = """
import json, sys
from {package}.assembly import assembled
from {package}.kernel import kernels
from {package}.toolchain import find_toolchain
kernel = next(kernel for kernel in kernels() if kernel.name == "euclidean_loss.sum_losses")
print(json.dumps(assembled(kernel, "float32", (8, 0), find_toolchain()).problems))
"""


def problems(package: Package, folder: Path) -> list[str]:
    """What the compile check says of a package, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT)])
    command = [sys.executable, "-W", "ignore", "-c", COMPILED.format(package=package.name)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    found: list[str] = json.loads(done.stdout)
    return found


def test_an_int32_overflow_is_found_in_the_compiled_code_as_well(folder: Path) -> None:
    try:
        find_toolchain()
    except NoToolchain as reason:
        pytest.skip(str(reason))
    bug = next(bug for bug in BUGS if bug.name.startswith("int32"))
    assert problems(planted(folder, "cuda_as_it_compiles"), folder) == []
    found = problems(with_bug(folder, bug), folder)
    assert any(said.startswith("computes addresses in 32 bits") for said in found), found
