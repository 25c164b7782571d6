"""What a case looks like in a terminal: its titles, its arrays, what it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.contract.case import Array, Case, Pass

__all__ = ["arrays_of", "given", "titled"]


def given(case: Case) -> Iterator[str]:
    """Inputs, parameters, diffs and steps of a case, pass by pass."""
    several = bool(case.passes)
    for number, one in enumerate(case.sequence, start=1):
        yield from _changes(one, f" of pass {number}" if several else "")
        if number == 1 and case.files:
            yield from titled("files")
            yield from (f"  {name}: {len(content)} bytes" for name, content in case.files.items())
        yield from titled(f"steps of pass {number}" if several else "steps")
        added = "; the parameters' diffs are added to" if not one.clear else ""
        yield f"  {', '.join(one.steps)} in phase {case.phase}{added}"


def _changes(one: Pass, of_pass: str) -> Iterator[str]:
    yield from arrays_of(f"inputs{of_pass}", one.inputs)
    params = {f"{layer}[{i}]": array for layer, arrays in one.params.items() for i, array in enumerate(arrays)}
    yield from arrays_of(f"parameters{of_pass}", params)
    for title, values in (
        (f"diffs before the first {one.steps[0]}", one.prefill_diff),
        ("diffs set after each forward", one.top_diff),
    ):
        if values:
            yield from titled(f"{title}{of_pass}")
            yield from (f"  {blob} = {value:g}" for blob, value in values.items())


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
