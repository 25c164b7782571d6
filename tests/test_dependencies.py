"""What the product imports as it starts is in the standard library or among the dependencies that installing brings."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.lowest import EXTRAS, lowest

ROOT = Path(__file__).parent.parent
OWN = {"refimpl", "conformance", "fixtures"}


def test_no_module_needs_what_installing_does_not_bring() -> None:
    known = set(sys.stdlib_module_names) | OWN | set(modules_of_dependencies())
    missing = {
        f"{path.relative_to(ROOT)}:{line}: {module}"
        for path in [*ROOT.glob("refimpl/**/*.py"), *ROOT.glob("conformance/**/*.py")]
        for module, line in imported_at_once(ast.parse(path.read_text("utf-8")).body)
        if module not in known
    }
    assert not missing


def test_an_import_for_the_type_checker_alone_is_not_counted() -> None:
    source = "from __future__ import annotations\nif TYPE_CHECKING:\n    import a\nelse:\n    import b\nimport c.d\n"
    assert dict(imported_at_once(ast.parse(source).body)) == {"__future__": 1, "b": 5, "c": 6}


def test_an_import_for_another_python_is_not_counted() -> None:
    source = "if sys.version_info < (3,):\n    import a\nelse:\n    import b\n"
    assert dict(imported_at_once(ast.parse(source).body)) == {"b": 4}


def test_what_is_installed_with_it_has_a_lower_and_an_upper_bound() -> None:
    unbounded = [item for item in requirements() if not re.search(r">=[\d.]+,<[\d.]+", item)]
    assert unbounded == []
    assert len(list(lowest())) > 15  # raises where one has no lower bound


def requirements() -> Iterator[str]:
    """What installing it brings, and what the extras bring that a user installs or the tests need."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    for name in ("dependencies", "torch", "jax", "docs", "bench", *EXTRAS):
        listed = re.search(rf"^{name} = \[(.*?)\]$", text, re.DOTALL | re.MULTILINE)
        assert listed
        yield from (item for item in re.findall(r'"([^"]+)"', listed[1]) if "[" not in item)


def imported_at_once(statements: list[ast.stmt]) -> Iterator[tuple[str, int]]:
    """The top-level modules that executing `statements` imports, with their lines."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield alias.name.partition(".")[0], statement.lineno
        elif isinstance(statement, ast.ImportFrom) and not statement.level:
            yield (statement.module or "").partition(".")[0], statement.lineno
        elif isinstance(statement, ast.If):
            yield from imported_at_once(branches(statement))


def branches(statement: ast.If) -> list[ast.stmt]:
    """What may be executed of an `if`: neither what is for the type checker alone nor what is for another Python."""
    condition = ast.unparse(statement.test)
    if "TYPE_CHECKING" in condition:
        return statement.orelse
    if condition.startswith("sys.version_info "):
        return statement.body if eval(condition, {"sys": sys}) else statement.orelse
    return statement.body + statement.orelse


def modules_of_dependencies() -> Iterator[str]:
    """The top-level modules of the distributions that pyproject.toml names: those alone, not what these require."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    lists = re.findall(r"^(?:dependencies|torch|jax|cuda|bench|oracle) = \[(.*?)\]$", project, re.MULTILINE | re.DOTALL)
    names = {name.lower() for names in lists for name in re.findall(r'"([A-Za-z0-9_-]+)', names)}
    yield from (name.replace("-", "_") for name in names)
    for distribution in importlib.metadata.distributions():
        if distribution.name.lower() in names:
            yield from {file.parts[0].removesuffix(".py") for file in distribution.files or ()}
