"""``lossconf eval``: losses and gradients of a net, by the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.contract.dtypes import DOUBLE, NAMES

if TYPE_CHECKING:
    from conformance.contract.case import Array
    from refimpl.messages import NetParameter
    from refimpl.net import Net

__all__ = ["command"]


@click.command("eval")
@click.argument("net", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--inputs",
    type=click.Path(dir_okay=False, path_type=Path),
    help="An .npz: an array per input blob, and LAYER[I] per learnable array.",
)
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write everything to this .npz.")
@click.option("--phase", type=click.Choice(["TRAIN", "TEST"]), default="TRAIN", show_default=True)
@click.option("--dialect", type=click.Choice(["documented", "bvlc"]), default="documented", show_default=True)
@click.option("--dtype", type=click.Choice(NAMES), default=DOUBLE.name, show_default=True)
@click.option("--force-backward", is_flag=True, help="Compute every gradient, as force_backward: true in the net does.")
def command(
    net: Path, inputs: Path | None, save: Path | None, phase: str, dialect: str, dtype: str, force_backward: bool
) -> int:
    """Compute NET, a prototxt, forward and backward: the losses per top, the total, the gradients.

    \b
    The saved file holds `loss`, `data/BLOB`, `diff/BLOB` and `param_diff/LAYER[I]`.

    \b
    Examples:
      lossconf eval net.prototxt --inputs x.npz
      lossconf eval net.prototxt --inputs x.npz --force-backward --save out.npz
    """
    from conformance.contract.errors import UsageError
    from refimpl.errors import NetError

    given = _read_arrays(inputs) if inputs else {}
    try:
        built = _built(net, given, inputs, {"phase": phase, "dialect": dialect, "dtype": dtype}, force_backward)
        loss = built.forward()
        built.backward()
    except NetError as error:
        raise UsageError(f"{net}: {error}") from None
    for line in _lines(built, float(loss)):
        click.echo(line)
    if save:
        _save(save, built, float(loss))
        click.echo(f"\nsaved {save}")
    return 0


def _built(path: Path, given: dict[str, Array], inputs: Path | None, options: dict[str, Any], force: bool) -> Net:
    from dataclasses import replace

    from conformance.contract.errors import UsageError
    from refimpl.net import Net
    from refimpl.prototxt import parse_net

    param = parse_net(_read_text(path))
    if force:
        param = replace(param, force_backward=True)
    built = Net(param, files=_files(param, path.parent), **options)
    if not built.layers:
        raise UsageError(f"{path}: a net without layers has nothing to compute in phase {built.phase}")
    _fill(built, given, inputs)
    return built


def _fill(net: Net, given: dict[str, Array], path: Path | None) -> None:
    """Put the arrays into inputs and learnable blobs. Raises `UsageError` for one too many, or an input too few."""
    from conformance.contract.errors import UsageError, unknown

    wanted = [top for node in net.layers if node.type == "Input" for top in node.tops]
    parameters = {f"{layer}[{i}]": blob for layer, blobs in net.params.items() for i, blob in enumerate(blobs)}
    for name in wanted:
        if name not in given:
            raise UsageError(
                f"the input {name!r} of shape {net.blobs[name].shape} is not in {path or 'the inputs: give --inputs'}"
            )
    for name, array in given.items():
        if name in wanted:
            if net.blobs[name].shape != array.shape:
                net.blobs[name].reshape(*array.shape)
            net.blobs[name].data[...] = array
        elif name in parameters:
            if parameters[name].shape != array.shape:
                raise UsageError(f"{path}: {name} has shape {array.shape} where {parameters[name].shape} belongs")
            parameters[name].data[...] = array
        else:
            raise UsageError(f"{path}: {unknown('input or learnable array', name, [*wanted, *parameters])}")


def _files(param: NetParameter, folder: Path) -> dict[str, bytes]:
    """The files that layers read, as they are named in the net: looked for beside it."""
    from conformance.losses import files_named

    names = files_named(param)
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def _read_text(path: Path) -> str:
    from conformance.contract.errors import UsageError

    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: not UTF-8 at byte {error.start}; is it a binary proto? only the text format is read"
        ) from None


def _read_arrays(path: Path) -> dict[str, Array]:
    import io
    import zipfile

    import numpy as np

    from conformance.contract.errors import UsageError, one_line

    try:
        loaded = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise UsageError(f"{path} holds one array without a name: save it with numpy.savez(path, x=...)")
        with loaded as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, KeyError) as error:
        raise UsageError(f"{path} is no .npz of plain arrays: {one_line(str(error), 120)}") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise UsageError(f"{path}: {name} holds {array.dtype} where numbers belong")
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def _lines(net: Net, loss: float) -> Iterator[str]:
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
    made = {top for node in net.layers for top in node.tops if node.bottoms}
    for node in net.layers:
        for name, needed in zip(node.bottoms, node.bottom_need_backward, strict=True):
            if node.need_backward and needed and name not in made:
                yield name, net.blobs[name].diff
    for layer, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            yield f"{layer}[{i}]", blob.diff


def _array(name: str, array: Array) -> Iterator[str]:
    import numpy as np

    rows = np.array2string(array, threshold=200, max_line_width=110, precision=9).splitlines()
    yield f"  {name} {array.shape}" + (f" {rows[0]}" if len(rows) == 1 else "")
    yield from (f"    {row}" for row in rows if len(rows) > 1)


def _save(path: Path, net: Net, loss: float) -> None:
    import numpy as np

    from conformance.contract.errors import UsageError

    arrays: Mapping[str, Any] = {
        "loss": np.array(loss),
        **{f"data/{name}": blob.data for name, blob in net.blobs.items()},
        **{f"diff/{name}": blob.diff for name, blob in net.blobs.items()},
        **{
            f"param_diff/{layer}[{i}]": blob.diff for layer, blobs in net.params.items() for i, blob in enumerate(blobs)
        },
    }
    try:
        with path.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
