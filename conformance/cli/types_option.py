"""``--dtype``: a claim of types on the command line."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from conformance.contract.dtypes import NAMES, TypeClaim

__all__ = ["TYPES"]


class _Types(click.ParamType[str]):
    name = "types"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The claim's name, however it is spelled."""
        try:
            return TypeClaim.named(value).name
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in NAMES if name.startswith(incomplete)]


TYPES = _Types()
