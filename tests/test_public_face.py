"""What `import conformance` offers: documented, resolvable, and all that the documentation imports."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import conformance

ROOT = Path(__file__).resolve().parent.parent
TEXTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs" / "examples").rglob("*.py")]


@pytest.mark.parametrize("name", conformance.__all__)
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(conformance, name))
    assert name in dir(conformance)


def test_a_type_checker_sees_the_same_names() -> None:
    tree = ast.parse(Path(conformance.__file__).read_text("utf-8"))
    seen = {
        alias.asname: f"{node.module}.{alias.name}"
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {name: f"conformance.{home}.{name}" for home, names in conformance._HOMES.items() for name in names}
    assert seen == homes


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        conformance.no_such_name  # noqa: B018


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys, conformance; sys.exit('numpy' in sys.modules or 'conformance.contract' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def modules_in(text: str) -> list[str]:
    """The modules of ours that a text imports."""
    return re.findall(r"^\s*(?:from|import) (conformance\.\S+)", text, re.MULTILINE)


DESCRIBING = set(modules_in((ROOT / "conformance/suite/new_loss.txt").read_text("utf-8")))
"""What `lossconf losses new` writes at the head of a loss's description, and what is public for those therefore."""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_documentation_imports_public_names_alone(path: Path) -> None:
    text = path.read_text("utf-8")
    allowed = DESCRIBING if "\nLOSS = Loss(" in text else set()
    assert set(modules_in(text)) <= allowed
    for names in re.findall(r"^\s*from conformance import (.+)$", text, re.MULTILINE):
        assert {name.strip() for name in names.split(",")} <= set(conformance.__all__)
