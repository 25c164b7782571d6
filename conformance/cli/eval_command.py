"""``lossconf eval``: losses and gradients of a net, by the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.saying import say
from conformance.contract.dtypes import DOUBLE, NAMES

if TYPE_CHECKING:
    from conformance.contract.case import Array
    from conformance.evaluation.filling import Source
    from conformance.evaluation.reading import Reading
    from refimpl.messages import NetParameter
    from refimpl.net import Net

__all__ = ["command"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("eval")
@click.argument("net", type=_FILE)
@click.option("--inputs", type=_FILE, help="An .npz: an array per input blob, and LAYER[I] per learnable array.")
@click.option(
    "--from", "cut", metavar="BLOB", multiple=True, help="Leave out what computes this blob: an input. Repeatable."
)
@click.option("--weights", type=_FILE, help="A .caffemodel, or an .npz of LAYER[I]: copied by name, as Caffe does.")
@click.option("--seed", type=click.IntRange(0), help="Draw what random fillers are to fill, and nothing else does.")
@click.option("--save", type=_FILE, help="Write everything to this .npz.")
@click.option("--phase", type=click.Choice(["TRAIN", "TEST"]), default="TRAIN", show_default=True)
@click.option("--stage", "stages", multiple=True, help="A stage, beside the net's or solver's own. Repeatable.")
@click.option("--level", type=int, default=0, help="The level.", show_default=True)
@click.option("--dialect", type=click.Choice(["documented", "bvlc"]), default="documented", show_default=True)
@click.option("--dtype", type=click.Choice(NAMES), default=DOUBLE.name, show_default=True)
@click.option("--force-backward", is_flag=True, help="Compute every gradient, as force_backward: true in the net does.")
@click.pass_context
def command(
    context: click.Context,
    net: Path,
    inputs: Path | None,
    cut: tuple[str, ...],
    weights: Path | None,
    seed: int | None,
    save: Path | None,
    phase: str,
    stages: tuple[str, ...],
    level: int,
    dialect: str,
    dtype: str,
    force_backward: bool,
) -> int:
    """Compute NET, the prototxt of a net or solver, forward and backward: the losses per top, the total, the gradients.

    \b
    Of a net with layers that the reference lacks, --from leaves out what is under its blobs, and data layers; without
    it, the command says which cut to make. A blob's gradient is the whole net's, but for what came through another
    given blob. Every random filler needs --weights, an array, or --seed. The saved file holds `loss`, `data/BLOB`,
    `diff/BLOB` and `param_diff/LAYER[I]`.

    \b
    Examples:
      lossconf eval net.prototxt --inputs x.npz
      lossconf eval net.prototxt --inputs x.npz --force-backward --save out.npz
      lossconf eval train_val.prototxt --from fc8 --inputs scores-and-labels.npz
      lossconf eval train_val.prototxt --from fc7 --inputs x.npz --weights net.caffemodel
    """
    from conformance.contract.errors import UsageError
    from conformance.evaluation.arrays import read_arrays
    from conformance.evaluation.filling import Source
    from conformance.evaluation.reading import NotComputed, read
    from refimpl.errors import NetError
    from refimpl.messages import NetState

    given = Source(inputs, read_arrays(inputs) if inputs else {})
    try:
        reading = read(net, NetState(phase=phase, level=level, stage=stages), cut)
        built = _built(net, reading, given, force_backward, phase=phase, dialect=dialect, dtype=dtype, level=level)
        held = _filled(built, given, weights, seed)
        loss = built.forward()
        built.backward()
    except NotComputed as error:
        raise NotComputed(f"{net}: {error}{_instead(context, error.blobs)}", error.blobs) from None
    except NetError as error:
        raise UsageError(f"{net}: {error}") from None
    for line in _lines(built, float(loss), reading, held):
        say(line)
    if save:
        _save(save, built, float(loss))
        say(f"\nsaved {save}")
    return 0


def _instead(context: click.Context, blobs: tuple[str, ...]) -> str:
    """The command that was given, with a cut that leaves out what the reference lacks."""
    import shlex

    from click.core import ParameterSource

    if not blobs:
        return ", and no cut leaves it out: a loss needs it, or is one"
    words: list[str] = []
    for param in context.command.params:
        value = context.params.get(param.name or "")
        if param.name == "cut" or context.get_parameter_source(param.name or "") is not ParameterSource.COMMANDLINE:
            continue
        for each in value if isinstance(value, tuple) else [value]:
            words += [str(each)] if isinstance(param, click.Argument) else [param.opts[0]]
            words += [] if each is True or isinstance(param, click.Argument) else [str(each)]
    words += [word for blob in blobs for word in ("--from", blob)]
    return ", but its heads can be computed: " + shlex.join(["lossconf", "eval", *words])


def _built(path: Path, reading: Reading, given: Source, force: bool, **options: Any) -> Net:
    from dataclasses import replace

    from conformance.contract.errors import UsageError
    from conformance.evaluation.filling import refuse_missing
    from refimpl.net import Net

    param, cut = reading.net, reading.cut
    if cut:
        refuse_missing(dict.fromkeys(cut.inputs), given)
        param = replace(param, layer=cut.layers({name: given.arrays[name].shape for name in cut.inputs}))
        options["layers"] = cut.classes()
    if force:
        param = replace(param, force_backward=True)
    built = Net(param, files=_files(param, reading.folder), stages=reading.stages, **options)
    if not built.layers:
        raise UsageError(f"{path}: a net without layers has nothing to compute in phase {built.phase}")
    return built


def _filled(net: Net, given: Source, weights: Path | None, seed: int | None) -> dict[str, str]:
    """What each learnable array of the net holds, once all are filled."""
    from conformance.evaluation.arrays import read_arrays
    from conformance.evaluation.caffemodel import read_caffemodel
    from conformance.evaluation.filling import Source, fill, fill_learnable

    fill(net, given)
    if weights is None:
        return fill_learnable(net, given, None, seed)
    arrays = read_arrays(weights) if weights.suffix == ".npz" else read_caffemodel(weights)
    return fill_learnable(net, given, Source(weights, arrays), seed)


def _files(param: NetParameter, folder: Path) -> dict[str, bytes]:
    """The files that layers read, as they are named in the net: looked for beside it."""
    from conformance.contract.paths import content_of
    from conformance.losses import files_named

    names = files_named(param)
    return {name: content_of(folder / name) for name in names if (folder / name).is_file()}


def _lines(net: Net, loss: float, reading: Reading, held: Mapping[str, str]) -> Iterator[str]:
    if reading.cut:
        yield "heads"
        yield f"  {len(reading.cut.heads)} layers are computed, {reading.left_out} are left out"
        yield f"  given: {', '.join(sorted(reading.cut.inputs))}"
        if reading.cut.partial:
            yield f"  under given blobs, too, so that its gradients lack their part: {', '.join(reading.cut.partial)}"
    if held:
        yield "weights"
        yield from (f"  {name}: {where}" for name, where in held.items())
    rows = [
        (node.name, node.type, top, f"{weight:g}", float(net.blobs[top].wide.sum()))
        for node in net.layers
        for top, weight in zip(node.tops, node.loss_weights, strict=True)
        if weight != 0
    ]
    yield "losses"
    for name, kind, top, weight, total in rows:
        yield f"  {name} ({kind})  {top} = {total!r}  weight {weight}"
    if not rows:
        yield "  none: no top has a weight"
    yield "total"
    yield f"  {loss!r}"
    yield "gradients"
    gradients = dict(_gradients(net))
    for name, array in gradients.items():
        yield from _array(name, array)
    if not gradients:
        yield "  none: nothing in the net asks for one (--force-backward does)"


def _gradients(net: Net) -> Iterator[tuple[str, Array]]:
    """The gradients that backward computed: of the blobs that no layer makes out of others, then of the parameters."""
    from conformance.evaluation.filling import learnable

    made = {top for node in net.layers for top in node.tops if node.bottoms}
    for node in net.layers:
        for name, needed in zip(node.bottoms, node.bottom_need_backward, strict=True):
            if node.need_backward and needed and name not in made:
                yield name, net.blobs[name].diff
    for name, blob in learnable(net).items():
        yield name, blob.diff


def _array(name: str, array: Array) -> Iterator[str]:
    import numpy as np

    rows = np.array2string(array, threshold=200, max_line_width=110, precision=9).splitlines()
    yield f"  {name} {array.shape}" + (f" {rows[0]}" if len(rows) == 1 else "")
    yield from (f"    {row}" for row in rows if len(rows) > 1)


def _save(path: Path, net: Net, loss: float) -> None:
    import io

    import numpy as np

    from conformance.contract.paths import put
    from conformance.evaluation.filling import learnable

    arrays: Mapping[str, Any] = {
        "loss": np.array(loss),
        **{f"data/{name}": blob.data for name, blob in net.blobs.items()},
        **{f"diff/{name}": blob.diff for name, blob in net.blobs.items()},
        **{f"param_diff/{name}": blob.diff for name, blob in learnable(net).items()},
    }
    whole = io.BytesIO()
    np.savez(whole, **arrays)
    put(path, whole.getvalue())
