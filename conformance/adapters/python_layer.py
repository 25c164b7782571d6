"""``python-layer:FILE:CLASS``: a pycaffe Python layer, run without Caffe; docs/adapters/python-layer.md says how.

The reference's net runs around the layer. With ``--as TYPE`` the layer takes that type's place in the suite's nets;
without it the layer is of type Python, as in Caffe, and gets the checks that need no formula.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from conformance.adapters.pycaffe_standin import TEST, TRAIN, BlobVec, Layer, RawBlobVec, standing_in
from conformance.adapters.single_layers import SingleLayers
from conformance.contract.dtypes import DOUBLE, FLOAT
from conformance.contract.errors import unknown
from conformance.contract.implementation import Crash, Description, DoesNotStart, ImplementationError, Unsupported
from conformance.losses import loss_of_type
from conformance.protocol import layer_message
from refimpl.blob import Blob as ReferenceBlob
from refimpl.errors import LayerError
from refimpl.layer import Layer as ReferenceLayer
from refimpl.layer import LossLayer
from refimpl.layers import REGISTRY, forms_of
from refimpl.messages import LayerParameter

__all__ = ["PythonLayer", "open_python_layer"]

_METHODS = ("setup", "reshape", "forward", "backward")
_TYPE = "Python"


@dataclass(frozen=True)
class PythonLayer:
    """A layer class in a file, and how it is to be used.

    ``kind`` is the layer type it computes, None where the suite knows none; ``param_str`` what it is told. With
    ``options_as_param_str`` it is told the option blocks of each case's layer instead, as JSON.
    """

    path: Path
    name: str
    kind: str | None = None
    param_str: str = ""
    options_as_param_str: bool = False

    @classmethod
    def from_text(cls, text: str) -> PythonLayer:
        """Read ``FILE:CLASS [--as TYPE] [--param-str TEXT] [--options-as-param-str]``.

        Raises `ValueError` for anything else, a file that does not exist, and a type that the reference lacks.
        """
        place, dashes, rest = text.partition(" --")
        file, _, name = place.strip().rpartition(":")
        if not file or not name.isidentifier():
            raise ValueError("a file and a class are needed, as in layers.py:MyLoss")
        if not Path(file).is_file():
            raise ValueError(f"there is no file {file}")
        options = _options(shlex.split(dashes.strip() + rest))
        if options.get("kind", "Input") not in REGISTRY:
            raise unknown("layer type", options["kind"], REGISTRY)
        if "param_str" in options and "options_as_param_str" in options:
            raise ValueError("--param-str and --options-as-param-str exclude each other")
        return cls(Path(file).resolve(), name, **options)

    @property
    def type(self) -> str:
        """The type of the layer in the suite's nets."""
        return self.kind or _TYPE

    @property
    def untold(self) -> tuple[str, ...]:
        """The limits of a layer whose options never reach it: a Python layer is told param_str and no more."""
        loss = None if self.kind is None else loss_of_type(self.kind)
        if loss is None or self.options_as_param_str:
            return ()
        blocks = dict.fromkeys(["loss_param", *(name.partition(".")[0] for name in loss.options)])
        return tuple(f"{block} (--options-as-param-str passes it on)" for block in blocks)

    def param_str_of(self, param: LayerParameter) -> str:
        """``self.param_str`` in the place of a layer of the suite's. Raises `Unsupported` for options left untold."""
        own = [name for name in param.schema if name.endswith("_param") and name != "python_param" and param.has(name)]
        options = {name: said for name in own if (said := layer_message(getattr(param, name)))}
        options |= {name: said for (name, _), message in param.own.items() if (said := layer_message(message))}
        foreign = [name for name in param.extra if name not in options]
        untold = [*foreign, *([] if self.options_as_param_str else options)]
        if untold:
            hint = "" if foreign else "; --options-as-param-str passes options as JSON in param_str"
            raise Unsupported(f"a Python layer cannot be told {' and '.join(untold)}{hint}")
        if self.options_as_param_str:
            return json.dumps(options)
        return param.python_param.param_str or self.param_str


def open_python_layer(argument: str, timeout: float | None = None) -> SingleLayers:
    """The implementation that ``FILE:CLASS`` and its options name.

    Raises `ValueError` for an argument that makes no sense or a class that is no layer, `DoesNotStart` where the file
    cannot be imported.
    """
    layer = PythonLayer.from_text(argument)
    wrapped = _wrapped(layer, _loaded(layer))
    description = Description(
        name=layer.name,
        language="Python",
        capability="layer",
        layers=(layer.type,),
        dtypes=(FLOAT.name,),
        differences=(DOUBLE.name,),
        snippets=() if layer.kind else (_snippet(layer),),
        declines=layer.untold,
        environment={"file": str(layer.path), "numpy": np.__version__, "python": sys.version.split()[0]},
    )
    return SingleLayers({layer.type: wrapped}, description, timeout)


def _options(words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if word == "--options-as-param-str":
            found["options_as_param_str"] = True
        elif word in ("--as", "--param-str"):
            value = next(rest, None)
            if value is None:
                raise ValueError(f"{word} needs a value")
            found["kind" if word == "--as" else "param_str"] = value
        else:
            raise ValueError(f"{word!r} is not among --as, --param-str and --options-as-param-str")
    return found


def _loaded(layer: PythonLayer) -> type[Layer]:
    """The class, from its file. Raises `DoesNotStart` where importing fails, `ValueError` for what is no layer."""
    name = f"python_layer_{layer.path.stem}"
    spec = importlib.util.spec_from_file_location(name, layer.path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{layer.path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with standing_in(layer.path.parent):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        lacks = str(getattr(error, "name", "")).startswith("caffe.")
        hint = "; without Caffe there is caffe.Layer and no more, try pycaffe:PYTHON" if lacks else ""
        raise DoesNotStart(f"cannot import {layer.path}: {_reason(error)}{hint}", traceback.format_exc()) from None
    found = getattr(module, layer.name, None)
    if not (inspect.isclass(found) and issubclass(found, Layer)):
        held = [n for n, v in vars(module).items() if inspect.isclass(v) and issubclass(v, Layer) and n != "Layer"]
        what = f"{layer.name} is no caffe.Layer" if hasattr(module, layer.name) else f"there is no {layer.name}"
        raise ValueError(f"{what} in {layer.path.name}; its layers: {', '.join(held) or 'none'}")
    missing = [method for method in _METHODS if not callable(getattr(found, method, None))]
    if missing:
        raise ValueError(f"{layer.name} in {layer.path} lacks {', '.join(missing)}")
    return found


def _wrapped(layer: PythonLayer, make: type[Layer]) -> type[ReferenceLayer]:
    """The class as the reference's net takes it; counts of bottoms and tops and the implicit weight are its type's."""
    bases = (_Wrapped, REGISTRY[layer.kind]) if layer.kind else (_Wrapped,)
    return type(f"Python{layer.name}", bases, {"type": layer.type, "layer": layer, "make": make})


class _Wrapped(ReferenceLayer):
    layer: ClassVar[PythonLayer]
    make: ClassVar[Any]

    def check_counts(self, bottoms: int, tops: int) -> None:
        """Forks that mean several things by a type differ in its bottoms: the layer says itself which it takes."""
        if len(forms_of(self.type)) < 2:
            super().check_counts(bottoms, tops)

    def check_fields(self, tops: int) -> None:
        """And what it refuses."""

    @classmethod
    def refuse_fields_of_other_forms(cls, param: LayerParameter) -> None:
        """And which options it reads."""

    def setup(self, bottom: Sequence[ReferenceBlob], top: Sequence[ReferenceBlob]) -> None:
        if isinstance(self, LossLayer):
            LossLayer.setup(self, bottom, top)
        asked = self.param.python_param.layer
        if asked not in ("", self.layer.name):
            raise LayerError(f"the net asks for a Python layer {asked}, and {self.layer.name} is what was given")
        text = self.layer.param_str_of(self.param)
        with self._foreign():
            self._inner = self.make(self.param)
            self._inner.param_str = text
            self._inner.phase = TRAIN if self.context.phase == "TRAIN" else TEST
            self._inner.blobs = BlobVec(self._new_blob)
            self._inner.setup(RawBlobVec(bottom), RawBlobVec(top))

    def reshape(self, bottom: Sequence[ReferenceBlob], top: Sequence[ReferenceBlob]) -> None:
        with self._foreign():
            self._inner.reshape(RawBlobVec(bottom), RawBlobVec(top))

    def forward(self, bottom: Sequence[ReferenceBlob], top: Sequence[ReferenceBlob]) -> None:
        with self._foreign():
            self._inner.forward(RawBlobVec(bottom), RawBlobVec(top))

    def backward(
        self, top: Sequence[ReferenceBlob], propagate_down: Sequence[bool], bottom: Sequence[ReferenceBlob]
    ) -> None:
        with self._foreign():
            self._inner.backward(RawBlobVec(top), list(propagate_down), RawBlobVec(bottom))

    @property
    def unsettled(self) -> frozenset[str]:
        return frozenset()

    def _new_blob(self, shape: tuple[int, ...]) -> ReferenceBlob:
        blob = self.context.blob(*shape)
        self.blobs.append(blob)
        return blob

    @contextmanager
    def _foreign(self) -> Iterator[None]:
        """Whatever the layer raises is a refusal with its text, as it ends the pass in pycaffe."""
        try:
            with standing_in(self.layer.path.parent):
                yield
        except (ImplementationError, LayerError):
            raise
        except Exception as error:
            raise LayerError(_reason(error)) from error
        except SystemExit as error:
            raise Crash(f"{self.layer.name} ended the process: {_reason(error)}", traceback.format_exc()) from error


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _snippet(layer: PythonLayer) -> str:
    """The layer as a net has it, its bottoms left open."""
    named = f'module: "{layer.path.stem}" layer: "{layer.name}"'
    return f'layer {{ name: "layer" type: "{_TYPE}" top: "top" python_param {{ {named} }} }}\n'
