"""``direct:ptcaffe_net:Ptcaffe``: ptcaffe 1.1 as an implementation of whole nets (docs/adapters/ptcaffe.md).

ptcaffe parses the prototxt, builds the layers, weighs and adds up the losses; autograd runs backward. This file hands
it the inputs and reads off what it computed, and repairs nothing but what keeps ptcaffe from being imported today.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import logging
import queue
import sys
import tempfile
import types
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from conformance import Case, Description, Outcome, Pass, Refusal, Unsupported

__all__ = ["Ptcaffe"]

IMAGES = ("PIL", "cv2", "six", "torchvision", "tqdm")
"""What ptcaffe imports to read images, and no loss layer calls; stubbed where it is not installed."""


class Stub(types.ModuleType):
    """A module whose every name is an empty class: it can be imported and inherited from."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Last on ``sys.meta_path``, so that what is installed wins."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        found = fullname.partition(".")[0] in IMAGES
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if found else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Stub:
        return Stub(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to execute."""


def imported() -> Any:
    """ptcaffe's module of layers and its net, in a Python and with a torch younger than it is."""
    sys.meta_path.append(StubFinder())
    sys.modules.setdefault("Queue", queue)  # the name that Python 2 had for it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its syntax
        from ptcaffe import caffenet, layer_dict
    return caffenet, layer_dict


def parsed(caffenet: Any, case: Case) -> Any:
    """The net as ptcaffe reads it; a data layer that names no phase, which ptcaffe wants, is given the case's."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(case.net)
        info = caffenet.parse_prototxt(str(path))
    if "layers" not in info or "props" not in info:
        raise ValueError("ptcaffe finds no layer in this net; it reads none in the old format")
    for layer in info["layers"]:
        if layer["type"] == "Input":
            layer.setdefault("include", {"phase": case.phase})
    return info


class Given(torch.nn.Module):
    """An Input layer that gives the case's arrays; ptcaffe's own draws random numbers."""

    def __init__(self, blobs: Mapping[str, torch.Tensor], layer: Mapping[str, Any]) -> None:
        super().__init__()
        self.tops = layer["top"] if isinstance(layer["top"], list) else [layer["top"]]
        self.blobs = blobs  # each pass's own

    def forward(self) -> tuple[torch.Tensor, ...]:
        return tuple(self.blobs[top] for top in self.tops)

    def forward_shape(self) -> list[list[int]]:
        return [list(blob.shape) for blob in self.forward()]


class Ptcaffe:
    """ptcaffe in its training phase, on the CPU."""

    def __init__(self) -> None:
        self.caffenet, self.layer_dict = imported()
        logging.disable(logging.INFO)  # a line per layer of every net

    def describe(self) -> Description:
        return Description(
            name="ptcaffe",
            version="1.1",
            language="Python",
            layers=tuple(self.layer_dict.LAYER_DICT),
            dtypes=("float32", "float64"),
            environment={"torch": torch.__version__, "python": sys.version.split()[0]},
        )

    def run(self, case: Case, dtype: str) -> Outcome | Refusal:
        """Build the net and take it through its passes; any exception of ptcaffe's is a refusal with its text."""
        stage = "construct"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of ptcaffe: arguments that PyTorch no longer likes, a file left open
                run = Run(self.caffenet, self.layer_dict, case, dtype)
                states = []
                for one in case.sequence:
                    run.enter(one)
                    for stage in one.steps:
                        run.forward() if stage == "forward" else run.backward()
                        run.trace.append(run.loss)
                    states.append(run.state())
        except Unsupported:
            raise
        except (Exception, SystemExit) as error:
            return Refusal(stage, f"{type(error).__name__}: {error}")
        return replace(states[-1], loss_trace=tuple(run.trace), passes=tuple(states) if case.each_pass else ())


class Run:
    """One case's net."""

    def __init__(self, caffenet: Any, layer_dict: Any, case: Case, dtype: str) -> None:
        self.caffenet, self.case, self.dtype = caffenet, case, dtype
        self.info = parsed(caffenet, case)
        self.refuse_beyond(layer_dict.LAYER_DICT)
        forced = self.info["props"].get("force_backward") == "true"
        self.forced = forced
        self.inputs = self.fed(case.inputs)
        layer_dict.LAYER_DICT["Input"] = partial(Given, self.inputs)
        with patch.object(caffenet, "parse_prototxt", lambda path: self.info):
            self.net = caffenet.CaffeNet("net.prototxt", case.phase)
        self.net.to(getattr(torch, dtype))
        self.total: torch.Tensor | None = None
        self.trace: list[float] = []
        self.tops: dict[str, torch.Tensor] = {}
        self.writers: dict[str, int] = {}
        for layer in self.info["layers"]:
            if layer["type"] != "Input":
                self.net.models[caffenet.get_lname(layer)].register_forward_hook(partial(self.keep, layer))

    def fed(self, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        return {name: self.tensor(array).requires_grad_(self.forced) for name, array in inputs.items()}

    def tensor(self, array: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(array, self.dtype))

    def refuse_beyond(self, known: Mapping[str, Any]) -> None:
        """Raises `Unsupported` for what ptcaffe has no place for: its net would call exit(), or not be told."""
        absent = sorted({layer["type"] for layer in self.info["layers"]} - set(known))
        if absent:
            raise Unsupported(f"ptcaffe has no layer {', '.join(absent)}")
        if self.case.phase != "TRAIN":
            raise Unsupported("ptcaffe computes no total in phase TEST")
        if any(one.top_diff or one.prefill_diff for one in self.case.sequence):
            raise Unsupported("autograd keeps no diff that could be filled")
        if self.case.level or self.case.stages:
            raise Unsupported("ptcaffe has no level and no stages")

    def enter(self, one: Pass) -> None:
        """What a pass brings; a net that has run backward already has its parameters' gradients cleared."""
        if one.clear:
            self.net.zero_grad()
        self.inputs.update(self.fed(one.inputs))
        for name, arrays in one.params.items():
            for parameter, array in zip(self.net.models[name].parameters(), arrays, strict=True):
                parameter.data.copy_(self.tensor(array).reshape(parameter.shape))

    def keep(self, layer: Mapping[str, Any], module: Any, bottoms: Any, tops: Any) -> None:
        """What a layer made, and the gradient that will reach it."""
        names = layer.get("top", [])
        made = tops if isinstance(tops, tuple) else (tops,)
        for name, top in zip(names if isinstance(names, list) else [names], made, strict=False):
            if top.requires_grad:
                top.retain_grad()
            self.tops[name] = top
            self.writers[name] = self.writers.get(name, 0) + 1

    def forward(self) -> None:
        self.writers.clear()
        inputs = self.info["props"].get("input", [])
        given = [self.inputs[name] for name in (inputs if isinstance(inputs, list) else [inputs])]
        answer = self.net(*given)
        self.total = answer[0] if isinstance(answer, tuple) else answer

    def backward(self) -> None:
        """Autograd adds to what is there; a blob's diff is overwritten, a parameter's is not."""
        for blob in (*self.inputs.values(), *self.tops.values()):
            blob.grad = None
        if self.total is not None and self.total.requires_grad:
            self.total.backward(retain_graph=True)

    @property
    def learning(self) -> list[str]:
        """The layers that have parameters."""
        names = [self.caffenet.get_lname(layer) for layer in self.info["layers"] if layer["type"] != "Input"]
        return [name for name in names if any(True for _ in self.net.models[name].parameters())]

    @property
    def loss(self) -> float:
        return 0.0 if self.total is None else float(self.total.detach())

    def state(self) -> Outcome:
        blobs = {**self.inputs, **self.tops}
        diff = {name: blob.grad for name, blob in blobs.items() if self.writers.get(name, 1) == 1}
        return Outcome(
            dtype=self.dtype,
            loss=self.loss,
            data={name: numpy(blob) for name, blob in blobs.items()},
            diff={
                name: np.zeros(tuple(blobs[name].shape), self.dtype) if grad is None else numpy(grad)
                for name, grad in diff.items()
                if name in self.inputs or grad is not None
            },
            param_diff={name: self.gradients(name) for name in self.learning},
        )

    def gradients(self, layer: str) -> tuple[Any, ...]:
        parameters: Sequence[torch.Tensor] = list(self.net.models[layer].parameters())
        return tuple(numpy(torch.zeros_like(p) if p.grad is None else p.grad) for p in parameters)


def numpy(tensor: torch.Tensor) -> Any:
    return tensor.detach().numpy().copy()
