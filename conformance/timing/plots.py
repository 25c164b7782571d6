"""Plots: times against size, shares of the copy's bandwidth, portability, a map of layers by sizes; as SVG and PNG."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from conformance.contract.errors import UsageError
from conformance.losses import KNOWN
from conformance.timing.comparison import Line, lines
from conformance.timing.portability import portabilities
from conformance.timing.problem import timed_losses
from conformance.timing.result import Result

__all__ = ["plot_all"]

FORMATS = ("svg", "png")

MARKS = "osD^vPX"

PREFERRED = ("both", "forward", "backward")
"""The mode that is plotted: the first of these that was timed."""


def plot_all(results: Mapping[str, Result], folder: Path) -> list[Path]:
    """Draw everything that the results have numbers for; the files written.

    Raises `UsageError` where matplotlib is not installed or the folder cannot be written.
    """
    try:
        from matplotlib import rc_context
    except ImportError:
        raise UsageError("plots need matplotlib: pip install 'caffe-loss-conformance[bench]'") from None
    every = list(lines(results))
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with rc_context(
            {"svg.hashsalt": "lossconf", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
        ):
            for dtype in dict.fromkeys(line.problem.dtype for line in every):
                of_type = [line for line in every if line.problem.dtype == dtype]
                mode = next(mode for mode in PREFERRED if any(line.mode == mode for line in of_type))
                chosen = [line for line in of_type if line.mode == mode]
                written += _save(_times(chosen, f"{mode}, {dtype}"), folder / f"times-{dtype}")
                written += _save(_shares(chosen, f"{mode}, {dtype}"), folder / f"copy-{dtype}")
                written += _save(_cascade(chosen, f"{mode}, {dtype}"), folder / f"cascade-{dtype}")
                for label, result in results.items():
                    written += _maps(chosen, result, label, f"{mode}, {dtype}", folder, dtype)
    except OSError as error:
        raise UsageError(f"cannot write plots to {folder}: {error.strerror}") from None
    return written


def _save(figure: Any, path: Path) -> list[Path]:
    """Write a figure in every format; nothing for no figure."""
    if figure is None:
        return []
    paths = [path.with_name(f"{path.name}.{form}") for form in FORMATS]
    for target in paths:
        options = {"metadata": {"Date": None}} if target.suffix == ".svg" else {"dpi": 150}
        figure.savefig(target, bbox_inches="tight", **options)
    return paths


def _panels(count: int) -> tuple[Any, list[Any]]:
    """A figure with so many small plots, four in a row; no window, no global state."""
    from matplotlib.figure import Figure

    rows = math.ceil(count / 4)
    figure = Figure(figsize=(3.2 * min(count, 4), 2.6 * rows + 0.6), layout="constrained")
    axes = [figure.add_subplot(rows, min(count, 4), i + 1) for i in range(count)]
    return figure, axes


def _series(chosen: Iterable[Line], values: str) -> dict[str, dict[tuple[str, str], list[tuple[int, float]]]]:
    """By layer, then by machine and implementation: entries and values, in the order of entries."""
    found: dict[str, dict[tuple[str, str], list[tuple[int, float]]]] = {}
    for line in chosen:
        if len(line.problem.size.shape) == 2:
            for label, value in getattr(line, values).items():
                points = found.setdefault(line.problem.layer, {}).setdefault((label, line.spec), [])
                points.append((line.problem.size.elements, value))
    for by_series in found.values():
        for points in by_series.values():
            points.sort()
    return {layer: found[layer] for layer in timed_losses() if layer in found}


def _draw(found: Mapping[str, Mapping[tuple[str, str], Sequence[tuple[int, float]]]]) -> tuple[Any, list[Any]]:
    """One small plot per layer; a colour for each machine and implementation, the same in all of them."""
    figure, axes = _panels(len(found))
    keys = list(dict.fromkeys(key for by_series in found.values() for key in by_series))
    machines = {label for label, _ in keys}
    for axis, (layer, by_series) in zip(axes, found.items(), strict=True):
        axis.set_title(KNOWN[layer].title, fontsize=9)
        axis.set_xscale("log", base=2)
        axis.grid(True, which="major", color="0.9", linewidth=0.6)
        for number, key in enumerate(keys):
            points = by_series.get(key, ())
            if points:
                name = " ".join(key) if len(machines) > 1 else key[1]
                style = {"marker": MARKS[number % len(MARKS)], "color": f"C{number % 10}", "markersize": 4}
                axis.plot(*zip(*points, strict=True), label=name, linewidth=1.3, **style)
    handles: dict[str, Any] = {}
    for axis in axes:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=min(4, len(handles)), frameon=False
    )
    return figure, axes


def _times(chosen: Sequence[Line], title: str) -> Any:
    found = _series(chosen, "seconds")
    if not found:
        return None
    figure, axes = _draw(found)
    figure.suptitle(f"Seconds per call against entries ({title})")
    for axis in axes:
        axis.set_yscale("log")
    return figure


def _shares(chosen: Sequence[Line], title: str) -> Any:
    """Shares of the copy's bandwidth: where the roof is, and how far below it each is."""
    found = _series(chosen, "of_copy")
    if not found:
        return None
    figure, axes = _draw(found)
    figure.suptitle(f"Share of the machine's own copy bandwidth against entries ({title})")
    for axis in axes:
        axis.axhline(1.0, color="0.4", linewidth=0.8, linestyle="--")
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return figure


def _cascade(chosen: Sequence[Line], title: str) -> Any:
    """Each implementation's efficiency on its best machine, its second best, and so on: it falls where it is not
    portable. A machine has a number of its own. Nothing for a single machine."""
    from matplotlib.figure import Figure

    found = list(portabilities(chosen))
    machines = list(dict.fromkeys(label for each in found for label in each.efficiency))
    if len(machines) < 2:
        return None
    figure = Figure(figsize=(1.6 + 1.1 * len(machines), 3.4), layout="constrained")
    axis = figure.add_subplot()
    for number, each in enumerate(found):
        falling = sorted(each.efficiency.items(), key=lambda pair: -pair[1])
        places, heights = range(1, len(falling) + 1), [efficiency for _, efficiency in falling]
        name = f"{each.spec} ({each.over_all:.0%} over all)"
        axis.plot(places, heights, label=name, marker=MARKS[number % len(MARKS)], color=f"C{number % 10}", markersize=4)
        for place, (label, efficiency) in zip(places, falling, strict=True):
            axis.annotate(str(machines.index(label) + 1), (place, efficiency), (0, 5), textcoords="offset points")
    axis.set_xticks(range(1, len(machines) + 1))
    axis.set_xlabel(", ".join(f"{number}: {label}" for number, label in enumerate(machines, 1)), fontsize=8)
    axis.set_ylim(0, 1.08)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.grid(True, color="0.9", linewidth=0.6)
    figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    figure.suptitle(f"Share of the best, from machine to machine ({title})", fontsize=9)
    return figure


def _maps(chosen: Sequence[Line], result: Result, label: str, title: str, folder: Path, dtype: str) -> list[Path]:
    """For one machine and each peer: how many times as long as the first implementation it takes, layer by size."""
    written: list[Path] = []
    base, *others = result.specs
    for spec in others:
        figure = _map(chosen, label, base, spec, title)
        written += _save(figure, folder / _file_name(f"map-{label}-{spec}-{dtype}"))
    return written


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_").replace(".", "_")


def _map(chosen: Sequence[Line], label: str, base: str, spec: str, title: str) -> Any:
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure

    times = {
        (line.problem.layer, line.problem.size, line.spec): line.seconds[label]
        for line in chosen
        if label in line.seconds
    }
    ratios = {
        (layer, size): times[layer, size, spec] / seconds
        for (layer, size, who), seconds in times.items()
        if who == base and (layer, size, spec) in times
    }
    if not ratios:
        return None
    layers = [layer for layer in timed_losses() if any(layer == found for found, _ in ratios)]
    sizes = sorted({size for _, size in ratios}, key=lambda size: size.elements)
    grid = [
        [math.log2(ratios[layer, size]) if (layer, size) in ratios else math.nan for size in sizes] for layer in layers
    ]
    figure = Figure(figsize=(1.6 + 1.1 * len(sizes), 1.2 + 0.42 * len(layers)), layout="constrained")
    axis = figure.add_subplot()
    reach = max(1.0, *(abs(value) for row in grid for value in row if not math.isnan(value)))
    axis.imshow(grid, cmap="RdBu", norm=TwoSlopeNorm(0.0, -reach, reach), aspect="auto")
    axis.set_xticks(range(len(sizes)), [size.name for size in sizes])
    axis.set_yticks(range(len(layers)), [KNOWN[layer].title for layer in layers])
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    for y, layer in enumerate(layers):
        for x, size in enumerate(sizes):
            if (layer, size) in ratios:
                value = ratios[layer, size]
                dark = abs(math.log2(value)) > 0.6 * reach
                shown = f"{value:.0f}x" if value >= 10 else f"{value:.1f}x"
                axis.text(x, y, shown, ha="center", va="center", color="white" if dark else "black", fontsize=8)
    figure.suptitle(f"{spec}: times as long as {base} on {label} ({title})", fontsize=9)
    return figure
