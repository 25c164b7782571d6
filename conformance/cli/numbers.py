"""Numbers of options that are no NaN."""

from __future__ import annotations

import math

import click

__all__ = ["Finite"]


class Finite(click.FloatRange):
    """A number in a range; NaN, which lies outside no range, and infinity are none."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))  # type: ignore[arg-type]
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number of them.", param, ctx)
        return number
