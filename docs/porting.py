"""Each loss in PyTorch and JAX: ``python -m docs.porting`` writes the second half of guides/porting.md anew, the code
from the descriptions; the rules before it are written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from conformance.losses import PROFILES, Loss

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parent / "guides" / "porting.md"

_HEADS = {
    "bvlc": "## BVLC Caffe's losses",
    "detection": "## Losses of detectors' forks",
    "faces": "## Losses of face recognition's forks",
    "dense": "## Losses of dense prediction's forks",
    "sequence": "## Losses of sequences",
}

_PROLOGUE = """\
Each is the plainest net of its layer, all options left out: `ignored` is its `ignore_label`, or None; other arguments
are its bottoms. In PyTorch `F` is `torch.nn.functional`; in JAX `jnp` is `jax.numpy`.
"""


def page() -> str:
    """The whole page: the rules as they are, then every loss, profile by profile."""
    lines = [PAGE.read_text("utf-8").partition(f"{_HEADS['bvlc']}\n")[0]]
    for profile, losses in PROFILES.items():
        lines += [_HEADS[profile], "", *([_PROLOGUE] if profile == "bvlc" else [])]
        lines += [line for loss in losses.values() for line in _section(loss)]
    return lines[0] + "\n".join(lines[1:])


def _section(loss: Loss) -> Iterator[str]:
    yield f"### {loss.title}"
    yield ""
    yield f"[What it computes](../layers/{loss.stem}.md)."
    yield ""
    for name, framework in (("torch", "PyTorch"), ("jax", "JAX")):
        if name in loss.equivalents:
            yield f"In {framework}:"
            yield ""
            yield f"```python\n{loss.equivalents[name].strip()}\n```"
            yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
