"""Environment: how templates of pages are read, and the hash by which a page allows its own style or script."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined

__all__ = ["environment", "source_hash"]


def environment(package: str) -> Environment:
    """Of the templates that a package has, by their files' names. What is put into one is text, and what is missing an
    error."""
    return Environment(
        loader=FunctionLoader(lambda name: (files(package) / name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def source_hash(text: str) -> str:
    """The source expression of a Content-Security-Policy that stands for an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
