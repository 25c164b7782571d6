"""Nets: the prototxt of the suite's cases, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["layer", "source"]


def layer(
    name: str,
    layer_type: str,
    bottoms: Iterable[str] = (),
    tops: Iterable[str] | None = None,
    weights: Sequence[float] = (),
    options: str = "",
) -> str:
    """One layer; its top is called like itself unless others are given, ``weights`` are its loss_weights."""
    parts = [f'name: "{name}" type: "{layer_type}"']
    parts += [f'bottom: "{bottom}"' for bottom in bottoms]
    parts += [f'top: "{top}"' for top in ((name,) if tops is None else tops)]
    parts += [f"loss_weight: {weight!r}" for weight in weights]
    return f"layer {{ {' '.join([*parts, options]).strip()} }}\n"


def source(name: str, shape: Sequence[int], learnt: bool = False) -> str:
    """What a blob comes from: an Input, or a Parameter layer where it is to get a gradient without force_backward."""
    dims = " ".join(f"dim: {size}" for size in shape)
    kind, block = ("Parameter", "parameter_param") if learnt else ("Input", "input_param")
    return layer(name, kind, options=f"{block} {{ shape {{ {dims} }} }}")
