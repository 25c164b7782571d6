"""``docs/fast.md`` says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refimpl import fast
from refimpl.fast import cache
from refimpl.fast.cpu import kernel, softmax, threads
from refimpl.fast.layers import KERNELS

PAGE = (Path(__file__).parents[3] / "docs" / "fast.md").read_text("utf-8")


def test_the_example_computes_what_it_says() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, float] = {}
    exec(compile(example, "fast.md", "exec"), names)
    said = float(re.findall(r"# (0\.\d+)\.\.\.", example)[0])
    assert names["loss"] == pytest.approx(said, abs=1e-6)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (kernel.QUICK, "Below {:,} entries a call stays in its own thread"),
        (kernel.WIDE, "up to {:,} where there are exponentials"),
        (kernel.WIDE, "inputs of up to {}\nentries are computed in it all the same"),
        (threads.SHARE, "one more thread for every {:,} entries"),
        (kernel.CHUNK, "to {:,} entries) and, per thread"),
        (softmax.TILE, "about\n{:,} entries each"),
        (softmax.NARROW, "up to {} classes"),
        (cache.STALE_DAYS, "nothing was added for {} days"),
    ],
)
def test_its_numbers_are_those_of_the_code(number: int, sentence: str) -> None:
    assert sentence.format(number) in PAGE


def test_it_lists_the_losses_of_forks() -> None:
    rows = re.findall(r"^\| `(\w+)` \| \[\w+\]\(layers/(\w+)\.md\)[\w ]* \| ([\w, -]+) \|$", PAGE, re.MULTILINE)
    forks = {layer.stem: layer for reference, layer in KERNELS.items() if reference.forms}
    assert {stem: forms for stem, _, forms in rows} == {
        stem: ", ".join(form.name for form in layer.forms) for stem, layer in forks.items()
    }
    assert all(stem == page for stem, page, _ in rows)
    assert len(fast.__all__) == 7 + len(forks)
