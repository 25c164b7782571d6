"""Reading: the layers of a file's net that are to be computed, of all of it or of its heads."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.audit.document import Document, read_document
from conformance.contract.errors import UsageError, one_line
from conformance.contract.paths import text_of
from conformance.evaluation.cut import Cut, cut_at, suggested
from refimpl.errors import NetError
from refimpl.foreign import Foreign
from refimpl.layers import REGISTRY
from refimpl.messages import LayerParameter, NetParameter, NetState
from refimpl.prototxt import parse_net
from refimpl.splits import included

__all__ = ["NotComputed", "Reading", "read"]


class NotComputed(UsageError):
    """Layers that the reference lacks are in the way; ``blobs`` are where a cut leaves them out, if one does."""

    def __init__(self, message: str, blobs: Sequence[str]) -> None:
        super().__init__(message)
        self.blobs = tuple(blobs)

    def __str__(self) -> str:
        """On one line, whole: a command is of no use without its middle."""
        return one_line(self.args[0], len(self.args[0]))


@dataclass(frozen=True)
class Reading:
    """``net`` is what is computed; a ``cut`` one lacks its inputs yet. ``left_out`` counts the layers of the phase that
    are not computed; ``folder`` is where the files lie that layers name; ``stages`` are those in force.
    """

    net: NetParameter
    folder: Path
    stages: tuple[str, ...]
    cut: Cut | None = None
    left_out: int = 0


def read(path: Path, state: NetState, blobs: Sequence[str]) -> Reading:
    """The net of a file or of the solver that it is, cut at ``blobs`` if there are any; in a ``state`` that the net's
    or solver's own stages are added to.

    A net is read strictly; of one that is cut, its heads. Raises `UsageError`, and `NotComputed` where the reference
    lacks a layer that would be computed.
    """
    document = read_document(path, state.phase)
    stages = (*document.state.stage, *state.stage)
    state = replace(state, level=state.level or document.state.level, stage=stages)
    folder = Path(document.path).parent
    try:
        layers = [layer for layer in document.net.layer if included(layer, state)]
        cut = cut_at(layers, blobs) if blobs else None
        lacking = [layer for layer in (cut.heads if cut else layers) if layer.type not in REGISTRY]
        if lacking:
            raise NotComputed(_lacking(lacking), _suggested(document, layers))
        if cut is None:
            return Reading(_strict(document), folder, stages)
        _refuse_foreign(document, cut)
    except NetError as error:
        raise UsageError(f"{document.path}: {error}") from None
    return Reading(document.net, folder, stages, cut, len(layers) - len(cut.heads))


def _lacking(layers: Sequence[LayerParameter]) -> str:
    kinds = list(dict.fromkeys(layer.type for layer in layers))
    more = f" and {len(kinds) - 1} more type(s)" if len(kinds) > 1 else ""
    return f"unknown layer type {kinds[0]!r} (layer {layers[0].name!r}){more}: the reference has no such layer"


def _suggested(document: Document, layers: Sequence[LayerParameter]) -> list[str]:
    """Where to cut; nowhere if what a fork added to the format would be left."""
    blobs = suggested(layers)
    try:
        _refuse_foreign(document, cut_at(layers, blobs))
    except UsageError:
        return []
    return blobs


def _strict(document: Document) -> NetParameter:
    refused = next(filter(_matters, document.foreign), None)
    if refused and document.solver == document.path:
        _refuse(document, refused)
    return parse_net(text_of(Path(document.path))) if refused else document.net


def _refuse_foreign(document: Document, cut: Cut) -> None:
    """Refuse what a fork added to the format within a head."""
    heads = set(map(id, cut.heads))
    starts = sorted(zip(document.lines, document.net.layer, strict=True), key=lambda pair: pair[0])
    for each in filter(_matters, document.foreign):
        if each.name.endswith((" of net", " of include.phase", " of exclude.phase")):
            continue  # what lies beside the layers, and rules that have chosen them already
        place = bisect_right(starts, each.line, key=lambda pair: pair[0]) - 1
        if place >= 0 and id(starts[place][1]) in heads:
            _refuse(document, each)


def _matters(foreign: Foreign) -> bool:
    """Whether a strict reading refuses it: it keeps a layer's own `*_param` blocks alone."""
    name, _, where = foreign.name.partition(" of ")
    return foreign.kind != "message" or not name.endswith("_param") or where not in ("layer", "layers")


def _refuse(document: Document, foreign: Foreign) -> None:
    raise UsageError(
        f"{document.path}, line {foreign.line}: {foreign.kind} {foreign.name} is a fork's, and what is computed is "
        "what Caffe computes: take it out, or cut above it"
    )
