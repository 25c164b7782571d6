"""A copy of `refimpl.fast.cuda` under another name, with some lines of one module replaced."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import refimpl.fast.cuda

__all__ = ["Package", "planted"]

ORIGINAL = "refimpl.fast.cuda"
SOURCES = Path(refimpl.fast.cuda.__file__).parent


@dataclass(frozen=True)
class Package:
    """An importable copy; its folder's parent is on ``sys.path``."""

    name: str

    def module(self, stem: str) -> Any:
        return importlib.import_module(f"{self.name}.{stem}")


def planted(folder: Path, name: str, module: str = "", right: str = "", wrong: str = "") -> Package:
    """Write the copy into `folder`, which the caller has on ``sys.path``.

    Raises ValueError where `module` does not hold the lines `right` exactly once: the bug no longer fits the kernel.
    """
    target = folder / name
    target.mkdir()
    for source in SOURCES.glob("*.py"):
        text = source.read_text("utf-8")
        if source.stem == module:
            if text.count(right) != 1:
                raise ValueError(f"{source.name} holds {right!r} {text.count(right)} times: the bug no longer fits it")
            text = text.replace(right, wrong)
        (target / source.name).write_text(text.replace(ORIGINAL, name), "utf-8")
    importlib.invalidate_caches()
    return Package(name)
