"""The picture in architecture.md, drawn from what the packages import: ``python -m docs.packages`` draws it anew."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from conformance.contract.toml import read_toml

__all__ = ["PAGE", "drawn", "imports", "layers"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
_BETWEEN = re.compile(r"(?<=<!-- drawn by docs/packages.py -->\n).*?(?=<!-- end -->)", re.DOTALL)


def layers() -> list[str]:
    """The packages from the top down, as the contract in pyproject.toml has them."""
    (contract,) = read_toml(ROOT / "pyproject.toml", "a project")["tool"]["importlinter"]["contracts"]
    return [layer for layer in contract["layers"] if "|" not in layer]


def imports(package: str) -> set[str]:
    """The packages that a package imports, its own left out."""
    found = set()
    for path in ROOT.joinpath(*package.split(".")).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {
        other for other in layers() if other != package and any(f"{name}.".startswith(f"{other}.") for name in found)
    }


def drawn() -> str:
    """A triangle of who imports whom, and a table of what each package holds."""
    packages = layers()
    names = [package.removeprefix("conformance.") for package in packages]
    width = max(map(len, names))
    picture = []
    for row, package in enumerate(packages):
        wanted = imports(package)
        below = ["●" if other in wanted else "·" for other in packages[row + 1 :]]
        picture.append(f"{names[row]:>{width}}  {'  ' * row}╲ {' '.join(below)}".rstrip())
    foot = [f"{'':{width}}  {'│ ' * place}└ {names[place]}" for place in range(len(names) - 1, -1, -1)]
    table = [f"| `{name}` | {_says(package)} |" for name, package in zip(names, packages, strict=True)]
    return "\n".join(["```text", *picture, *foot, "```", "", "| package | |", "|---|---|", *table, ""])


def _says(package: str) -> str:
    """The first sentence of a package's docstring."""
    said = ast.get_docstring(ast.parse(ROOT.joinpath(*package.split("."), "__init__.py").read_text("utf-8"))) or ""
    return " ".join(said.split("\n\n")[0].split())


def main() -> None:
    """Draw the page's picture anew."""
    PAGE.write_text(_BETWEEN.sub(lambda _: drawn(), PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
