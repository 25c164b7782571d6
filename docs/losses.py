"""The tables in losses.md, made of the losses' descriptions: ``python -m docs.losses`` writes the page anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from conformance.losses import KNOWN, Loss
from conformance.losses.loss import FACTS, Bottom
from conformance.losses.options import Option

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parent / "losses.md"

_INTRODUCTION = """\
# The losses

What the suite knows of each loss beside its formula, from `conformance/losses`. `python -m docs.losses` writes this
page. The formulas are on the [layer pages](index.md#the-layers).
"""

_UNITS = {
    "position": "a sum over positions, all classes of a label at a time",
    "entry": "a sum over entries",
    "sample": "a sum over items",
}


def page() -> str:
    """The whole page: a section for each loss, and what the traits mean."""
    traits = ["## What a trait says", "", *(f"- **{name}**: {fact}." for name, fact in FACTS.items())]
    return "\n".join([_INTRODUCTION, *(line for loss in KNOWN.values() for line in _section(loss)), *traits, ""])


def _section(loss: Loss) -> Iterator[str]:
    yield f"## {loss.title}"
    yield ""
    divided = f"over a normaliser, {loss.default_mode} where none is named" if loss.default_mode else "over the batch"
    traits = f" Traits: {', '.join(sorted(loss.traits))}." if loss.traits else ""
    if loss.layer.forms:
        told = "recorded from a real fork" if loss.recorded else "read, not measured"
        forms = ", ".join(f"`{form.name}`" for form in loss.layer.forms)
        yield f"Profile {loss.profile}, {told}. Forms of its class: {forms}."
        yield ""
    if loss.feeds is None:
        yield f"{_UNITS[loss.unit].capitalize()}, {divided}.{traits}"
    else:
        yield f"A head: it weighs nothing by itself and is judged beneath {loss.feeds.type}.{traits}"
    yield ""
    yield "| bottom | role | |"
    yield "|---|---|---|"
    for bottom in loss.bottoms:
        yield f"| `{bottom.name}` | {_role(bottom)} | {', '.join(_said(bottom))} |"
    yield ""
    if loss.options:
        yield "| option | values tried, the default first |"
        yield "|---|---|"
        for name, values in loss.options.items():
            yield f"| `{name}` | {', '.join(map(_value, values))} |"
        yield ""
    yield f"{len(loss.published)} published variants, {len(loss.extremes)} nets of extreme values."
    yield ""


def _role(bottom: Bottom) -> str:
    told = [f"{f.name} {value}" for f in fields(bottom.role) if (value := getattr(bottom.role, f.name))]
    return f"{type(bottom.role).__name__} ({', '.join(told)})" if told else type(bottom.role).__name__


def _said(bottom: Bottom) -> Iterator[str]:
    if bottom.learns:
        yield "takes a gradient"
    if bottom.optional:
        yield f"optional: `{bottom.file}` names a file instead" if bottom.file else "optional"


def _value(value: Option) -> str:
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
