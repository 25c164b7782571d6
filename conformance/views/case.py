"""What a case looks like in a terminal: its titles, its arrays, what it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.contract.case import Array, Case

__all__ = ["arrays_of", "given", "titled"]


def given(case: Case) -> Iterator[str]:
    """Inputs, parameters, diffs and steps of a case."""
    yield from arrays_of("inputs", case.inputs)
    yield from arrays_of(
        "parameters", {f"{layer}[{i}]": a for layer, arrays in case.params.items() for i, a in enumerate(arrays)}
    )
    for title, values in (
        ("diffs before the first forward", case.prefill_diff),
        ("diffs set after each forward", case.top_diff),
    ):
        if values:
            yield from titled(title)
            yield from (f"  {blob} = {value:g}" for blob, value in values.items())
    if case.files:
        yield from titled("files")
        yield from (f"  {name}: {len(content)} bytes" for name, content in case.files.items())
    yield from titled("steps")
    yield f"  {', '.join(case.steps)} in phase {case.phase}"


def titled(title: str) -> Iterator[str]:
    """A title with an empty line above."""
    yield ""
    yield title


def arrays_of(title: str, arrays: Mapping[str, Array]) -> Iterator[str]:
    """Arrays by name, with their shapes; nothing where there are none."""
    import numpy as np

    if not arrays:
        return
    yield from titled(title)
    for name, array in arrays.items():
        text = np.array2string(array, threshold=200, max_line_width=110, precision=9)
        rows = text.splitlines()
        yield f"  {name} {array.shape}" + (f" {rows[0]}" if len(rows) == 1 else "")
        yield from (f"    {row}" for row in rows if len(rows) > 1)
