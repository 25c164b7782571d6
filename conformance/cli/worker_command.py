"""``lossconf worker``: the program that drives a Caffe and speaks the protocol, to be compiled or run elsewhere."""

from __future__ import annotations

from importlib.resources import files

import click

__all__ = ["command"]


@click.command("worker")
@click.option("--cpp", "source", flag_value="caffe_worker.cpp", help="In C++11, for a libcaffe: float32 and float64.")
@click.option("--python", "source", flag_value="worker.py", help="In Python 3.6, for a pycaffe: float32.")
def command(source: str | None) -> int:
    """Print the worker's source: one file that drives a Caffe of yours.

    \b
    Examples:
      lossconf worker --cpp > caffe_worker.cpp
      g++ -std=c++11 -DCPU_ONLY -I$CAFFE/include caffe_worker.cpp -o caffe_worker -L$CAFFE/lib -lcaffe -lprotobuf -lglog
      lossconf run process:./caffe_worker
    """
    from conformance.contract.errors import UsageError

    if source is None:
        raise UsageError("say which worker: --cpp or --python")
    click.echo((files("conformance.adapters") / source).read_text("utf-8"), nl=False)
    return 0
