"""Random nets as text, with what they are fed: layers of every type in any order, odd uses of losses included."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from random import Random

import numpy as np

__all__ = ["Drawn", "draw"]

WEIGHTS = (1.0, 0.0, 2.5, -0.75, -3.0, 0.1, 1e-3)
ENTRIES = ("Sigmoid", "TanH", "ReLU", "ELU", "BNLL", "AbsVal", "Exp", "Log", "Power", "Softmax")
AROUND = (*ENTRIES, *ENTRIES, "InnerProduct", "Scale", "Bias", "Eltwise", "Concat", "Slice", "Flatten", "Reshape")
LOSSES = (
    "SoftmaxWithLoss",
    "SigmoidCrossEntropyLoss",
    "EuclideanLoss",
    "HingeLoss",
    "InfogainLoss",
    "ContrastiveLoss",
    "MultinomialLogisticLoss",
)


@dataclass
class Drawn:
    """``passes`` are (inputs, steps, whether parameters' diffs are cleared before); a net lives through all of them."""

    text: str
    params: dict[str, list[np.ndarray]] = field(default_factory=dict)
    passes: list[tuple[dict[str, np.ndarray], list[str], bool]] = field(default_factory=list)


class _Draw:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.text = "force_backward: true\n" if random.random() < 0.5 else ""
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.kinds: dict[str, tuple[str, int]] = {}
        self.losses: list[str] = []
        self.params: dict[str, list[np.ndarray]] = {}
        self.contrastive = False

    def some(self, p: float) -> bool:
        return self.random.random() < p

    def values(self, shape, kind="scores", classes=2) -> np.ndarray:
        draw = {
            "scores": lambda: self.random.choice([self.random.gauss(0, 1.5), self.random.gauss(0, 12)]),
            "labels": lambda: float(self.random.randrange(classes)),
            "targets": lambda: self.random.choice([0.0, 1.0, self.random.random(), self.random.uniform(-2, 3)]),
            "matrix": lambda: self.random.choice([0.0, 1.0, self.random.gauss(0, 1)]),
            "similar": lambda: float(self.random.randrange(2)),
        }[kind]
        return np.array([np.float32(draw()) for _ in range(prod(shape))], dtype=np.float64).reshape(shape)

    def source(self, name, shape, kind="scores", classes=2) -> str:
        dims = " ".join(f"dim: {n}" for n in shape)
        self.text += f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'
        self.shapes[name] = tuple(shape)
        self.kinds[name] = (kind, classes)
        return name

    def layer(self, name, kind, bottoms, tops, options="", weights=None, asked=None) -> None:
        words = [f'name: "{name}" type: "{kind}"', *(f'bottom: "{b}"' for b in bottoms), *(f'top: "{t}"' for t in tops)]
        if weights is None and self.some(0.25):
            weights = [self.random.choice(WEIGHTS) for _ in tops]
        words += [f"loss_weight: {w}" for w in weights or ()]
        if asked is None and self.some(0.05):
            asked = [self.some(0.5) for _ in bottoms]
        words += [f"propagate_down: {str(a).lower()}" for a in asked or ()]
        self.text += f"layer {{ {' '.join(words)} {options} }}\n"

    def pick(self) -> str:
        return self.random.choice([name for name in self.shapes if self.kinds.get(name, ("scores",))[0] == "scores"])

    def around(self, name: str) -> None:
        kind = self.random.choice(AROUND)
        below = self.pick()
        shape = self.shapes[below]
        if not shape:
            kind = self.random.choice([k for k in ENTRIES if k not in ("Softmax",)])
        tops, options, bottoms, shapes = [name], "", [below], [shape]
        spec = " param { lr_mult: 0 }" if self.some(0.15) else ""
        if kind in ("InnerProduct",) and len(shape) > 1:
            axis, out = self.random.randrange(1, len(shape)), self.random.randint(1, 3)
            transposed, bias = self.some(0.3), self.some(0.6)
            flags = f"transpose: {str(transposed).lower()} bias_term: {str(bias).lower()}"
            options = f"inner_product_param {{ num_output: {out} axis: {axis} {flags} }}{spec}"
            k = prod(shape[axis:])
            self.params[name] = [self.values((k, out) if transposed else (out, k), "matrix")]
            self.params[name] += [self.values((out,), "matrix")] if bias else []
            shapes = [(*shape[:axis], out)]
        elif kind in ("Scale", "Bias") and shape:
            axis = self.random.randrange(len(shape))
            axes = self.random.randint(0, len(shape) - axis)
            extra = "bias_term: true" if kind == "Scale" and self.some(0.4) else ""
            other = [
                b
                for b, s in self.shapes.items()
                if s == shape[axis : axis + len(s)]
                and len(s)
                and b != below
                and self.kinds.get(b, ("scores",))[0] == "scores"
            ]
            if other and self.some(0.5):
                bottoms.append(self.random.choice(other))
                axes = len(self.shapes[bottoms[1]])
                self.params[name] = [self.values(shape[axis : axis + axes], "matrix")] if extra else []
                options = f"{kind.lower()}_param {{ axis: {axis} {extra} }}"
            else:
                self.params[name] = [self.values(shape[axis : axis + axes], "matrix") for _ in range(2 if extra else 1)]
                options = f"{kind.lower()}_param {{ axis: {axis} num_axes: {axes} {extra} }}{spec}"
            if not self.params[name]:
                del self.params[name]
        elif kind == "Eltwise":
            same = [b for b, s in self.shapes.items() if s == shape and self.kinds.get(b, ("scores",))[0] == "scores"]
            bottoms += [self.random.choice(same) for _ in range(self.random.randint(1, 3))]
            how = self.random.choice(["SUM", "PROD", "MAX"])
            options = f"operation: {how}"
            if how == "SUM" and self.some(0.5):
                options += "".join(f" coeff: {self.random.choice([1, -2, 0.5])}" for _ in bottoms)
            if how == "PROD" and self.some(0.3):
                options += " stable_prod_grad: false"
            options = f"eltwise_param {{ {options} }}"
        elif kind == "Concat" and shape:
            axis = self.random.randrange(len(shape))
            for _ in range(self.random.randint(0, 2)):
                fitting = [
                    b
                    for b, s in self.shapes.items()
                    if len(s) == len(shape)
                    and s[:axis] + s[axis + 1 :] == shape[:axis] + shape[axis + 1 :]
                    and self.kinds.get(b, ("scores",))[0] == "scores"
                ]
                bottoms.append(self.random.choice(fitting))
            total = sum(self.shapes[b][axis] for b in bottoms)
            options = f"concat_param {{ axis: {axis} }}"
            shapes = [(*shape[:axis], total, *shape[axis + 1 :])]
        elif kind == "Slice" and shape:
            axis = self.random.randrange(len(shape))
            size = shape[axis]
            points = sorted(self.random.sample(range(1, size), self.random.randint(0, min(2, size - 1))))
            tops = [name, *(f"{name}{i}" for i in range(len(points)))]
            options = f"slice_param {{ axis: {axis} {' '.join(f'slice_point: {p}' for p in points)} }}"
            ends = [0, *points, size]
            shapes = [(*shape[:axis], b - a, *shape[axis + 1 :]) for a, b in pairwise(ends)]
        elif kind == "Flatten" and shape:
            axis = self.random.randrange(len(shape))
            options = f"flatten_param {{ axis: {axis} }}"
            shapes = [(*shape[:axis], prod(shape[axis:]))]
        elif kind == "Reshape" and shape:
            options = "reshape_param { shape { dim: 0 dim: -1 } }"
            shapes = [(shape[0], prod(shape[1:]))]
        else:
            kind = kind if kind in ENTRIES else "TanH"
            if kind == "Softmax":
                options = f"softmax_param {{ axis: {self.random.randrange(len(shape))} }}"
            elif kind in ("Log", "Power", "Exp"):
                options = self.positive(name, kind, bottoms)
            elif kind == "ReLU" and self.some(0.5):
                options = "relu_param { negative_slope: 0.25 }"
            elif kind == "ELU":
                options = f"elu_param {{ alpha: {self.random.choice([1, 0.5, -0.5])} }}"
            alone = f'bottom: "{below}"' not in self.text and kind != "AbsVal" and below not in self.losses
            if alone and bottoms == [below] and self.some(0.3) and self.kinds.get(below) is None:
                tops = [below]
        self.layer(name, kind, bottoms, tops, options)
        self.shapes.update(zip(tops, shapes, strict=True))

    def positive(self, name: str, kind: str, bottoms: list[str]) -> str:
        """Options for what needs positive or moderate arguments, and a Sigmoid below it."""
        self.layer(f"{name}_c", "Power", bottoms, [f"{name}_c"], "power_param { scale: 0.0625 }", weights=[])
        self.layer(f"{name}_s", "Sigmoid", [f"{name}_c"], [f"{name}_s"], weights=[])
        self.shapes[f"{name}_c"] = self.shapes[bottoms[0]]
        self.shapes[f"{name}_s"] = self.shapes[bottoms[0]]
        bottoms[:] = [f"{name}_s"]
        if kind == "Power":
            power, scale = self.random.choice([1, 2, 3, 0.5, -1, 0]), self.random.choice([1, 2, 0.5, 0])
            return f"power_param {{ power: {power} scale: {scale} shift: {self.random.choice([0, 1, 0.5])} }}"
        base, scale = self.random.choice([-1, 2, 10]), self.random.choice([1, 2])
        return f"{kind.lower()}_param {{ base: {base} scale: {scale} shift: {self.random.choice([0, 0.5])} }}"

    def loss(self, name: str) -> None:
        kind = self.random.choice(LOSSES)
        fitting = [b for b in self.shapes if self.kinds.get(b, ("scores",))[0] == "scores" and len(self.shapes[b]) > 1]
        below = self.random.choice(fitting)
        shape = self.shapes[below]
        weights = [] if self.some(0.5) else [self.random.choice(WEIGHTS)]
        bottoms, tops, words = [below], [name], ""
        axis = self.random.randrange(1, len(shape))
        rest = (*shape[:axis], *shape[axis + 1 :])
        if kind in ("SoftmaxWithLoss", "InfogainLoss"):
            message = {"SoftmaxWithLoss": "softmax_param", "InfogainLoss": "infogain_loss_param"}[kind]
            words = f"{message} {{ axis: {axis} }}"
            bottoms.append(self.source(f"y_{name}", rest, "labels", shape[axis]))
            if kind == "InfogainLoss":
                bottoms.append(self.source(f"h_{name}", (shape[axis],) * 2, "matrix"))
                if self.some(0.3):
                    tops.append(f"{name}_p")
                    weights = self.random.choice([[], [1.0, 0.0], [0.0, 1.0], [2.0, 0.5]])
                    self.shapes[tops[1]] = shape
        elif kind == "SigmoidCrossEntropyLoss":
            bottoms.append(self.source(f"y_{name}", shape, "targets"))
        elif kind == "EuclideanLoss":
            same = [b for b in fitting if self.shapes[b] == shape]
            bottoms.append(self.random.choice(same) if self.some(0.4) else self.source(f"y_{name}", shape))
        elif kind == "ContrastiveLoss":
            if any(n != 1 for n in shape[2:]):
                return
            self.contrastive = True
            same = [b for b in fitting if self.shapes[b] == shape]
            bottoms.append(self.random.choice(same) if self.some(0.4) else self.source(f"y_{name}", shape))
            bottoms.append(self.source(f"s_{name}", shape[:1], "similar"))
            margin, legacy = self.random.choice([1, 0.3, 6, 40]), self.random.choice(["true", "false"])
            words = f"contrastive_loss_param {{ margin: {margin} legacy_version: {legacy} }}"
        elif kind == "HingeLoss":
            bottoms.append(self.source(f"y_{name}", shape[:1], "labels", prod(shape[1:])))
            words = f"hinge_loss_param {{ norm: {self.random.choice(['L1', 'L2'])} }}"
        else:
            self.layer(f"{name}_q", "Softmax", [below], [f"{name}_q"], weights=[])
            self.shapes[f"{name}_q"] = shape
            bottoms = [f"{name}_q", self.source(f"y_{name}", shape[:1], "labels", prod(shape[1:]))]
        param = (
            [f"normalization: {self.random.choice(['FULL', 'VALID', 'BATCH_SIZE', 'NONE'])}"] if self.some(0.5) else []
        )
        param += [f"ignore_label: {self.random.choice([0, 1, -1, 255])}"] if self.some(0.4) else []
        param += ["normalize: true"] if self.some(0.1) and kind != "InfogainLoss" else []
        asked = [True, *[False] * (len(bottoms) - 1)] if self.some(0.6) else None
        self.layer(name, kind, bottoms, tops, f"{words} loss_param {{ {' '.join(param)} }}", weights, asked)
        self.shapes[name] = ()
        self.losses.append(name)

    def consumer(self, name: str) -> None:
        """Something above a loss."""
        below = self.random.choice(self.losses)
        if self.some(0.3):
            self.layer(name, "Silence", [below], [], weights=[])
        elif self.some(0.3) and len(self.losses) > 1:
            self.layer(name, "Eltwise", [below, self.random.choice(self.losses)], [name])
            self.shapes[name] = ()
        else:
            self.layer(name, "Power", [below], [name], "power_param { scale: 10 }")
            self.shapes[name] = ()

    def reduction(self, name: str) -> None:
        below = self.pick()
        shape = self.shapes[below]
        if not shape:
            return
        axis = self.random.randrange(len(shape))
        how = self.random.choice(["SUM", "ASUM", "SUMSQ", "MEAN"])
        self.layer(
            name,
            "Reduction",
            [below],
            [name],
            f"reduction_param {{ operation: {how} axis: {axis} coeff: {self.random.choice([1, -2, 0.5])} }}",
        )
        self.shapes[name] = shape[:axis]


def draw(seed: str) -> Drawn:
    """The net of a seed."""
    d = _Draw(Random(seed))
    random = d.random
    batch = random.randint(1, 4)
    for i in range(random.randint(1, 2)):
        d.source(f"x{i}", (batch, *(random.randint(1, 3) for _ in range(random.randint(1, 3)))))
    if d.some(0.7):
        first = random.choice(list(d.shapes))
        d.params["learnt"] = [d.values((3, prod(d.shapes[first][1:])), "matrix")]
        d.layer(
            "learnt", "InnerProduct", [first], ["learnt"], "inner_product_param { num_output: 3 bias_term: false }", []
        )
        d.shapes["learnt"] = (batch, 3)
    if d.some(0.1):
        d.params["given"] = [d.values((batch, 3))]
        d.layer("given", "Parameter", [], ["given"], f"parameter_param {{ shape {{ dim: {batch} dim: 3 }} }}", asked=[])
        d.shapes["given"] = (batch, 3)
    for i in range(random.randint(0, 4)):
        d.around(f"a{i}")
    for i in range(random.randint(1, 3)):
        d.loss(f"loss{i}")
    if d.losses and d.some(0.25):
        d.consumer("above")
    if d.some(0.25):
        d.reduction("reduced")
    if d.some(0.2):
        d.layer("silent", "Silence", [d.pick()], [], weights=[])
    passes = []
    for number in range(random.choice([1, 1, 2, 3])):
        size = batch
        if number and d.some(0.4):
            size = random.randint(1, batch if d.contrastive else batch + 2)
        fed = {}
        for name, (kind, classes) in d.kinds.items():
            shape = d.shapes[name]
            changed = (size, *shape[1:]) if shape[0] == batch and kind != "matrix" else shape
            fed[name] = d.values(changed, kind, classes)
        steps = random.choice([["forward", "backward"]] * 6 + [["forward"], ["forward", "backward", "backward"]])
        passes.append((fed, steps, d.some(0.5)))
    return Drawn(d.text, d.params, passes)
