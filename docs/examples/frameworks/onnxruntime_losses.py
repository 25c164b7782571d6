"""``direct:onnxruntime_losses``: ONNX's SoftmaxCrossEntropyLoss, run by ONNX Runtime.

ONNX has no operator for its gradient: that is written here as a graph of standard operators, (p - hot) times a scale,
which is what training builds of ONNX Runtime compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx.parser
import onnxruntime
from differentiated import Labelled

_HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n'
_LOSS = """
loss ({kind}[P, C] x, int64[P] y) => ({kind} loss, {kind}[P, C] p) {{
    loss, log_p = SoftmaxCrossEntropyLoss <{options}> (x, y)
    p = Exp (log_p)
}}"""
_GRADIENT = """
gradient ({kind}[P, C] p, int64[P, 1] y, int64[C] classes, {kind}[P, 1] scale, {kind}[P, C] second) => ({kind}[P, C] g)
{{
    is = Equal (y, classes)
    hot = CastLike (is, p)
    off = Sub (p, hot)
    first = Mul (off, scale)
    each = Mul (second, p)
    axis = Constant <value_ints = [1]> ()
    sum = ReduceSum (each, axis)
    left = Sub (second, sum)
    through = Mul (left, p)
    g = Add (first, through)
}}"""


def describe() -> dict[str, Any]:
    versions = {"onnx": onnx.__version__}
    return {
        "name": "onnxruntime",
        "version": onnxruntime.__version__,
        "dtypes": ["float32", "float64"],
        "environment": versions,
    }


@cache
def session(graph: str, **told: str) -> Any:
    """A graph in ONNX's own notation, ready to run."""
    model = onnx.parser.parse_model(_HEAD + graph.format(**told))
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


class SoftmaxWithLoss(Labelled):
    def __init__(self, param: Any) -> None:
        super().__init__(param)
        self.axis = param.softmax_param.axis

    def differentiated(self, bottom: Sequence[Any]) -> tuple[list[Any], Any]:
        scores, y = np.asarray(bottom[0]), bottom[1]
        moved = np.moveaxis(scores, self.axis, -1)
        x = np.ascontiguousarray(moved.reshape(len(y), -1))
        kind = {"float32": "float", "float64": "double"}[x.dtype.name]
        divisor = self.divisor(len(y))
        options = f'reduction = "{"mean" if divisor is None else "sum"}"'
        options += "" if self.mode.ignored is None else f", ignore_index = {self.mode.ignored}"
        loss, p = session(_LOSS, kind=kind, options=options).run(None, {"x": x, "y": y})
        divided = float(self.counted.sum()) if divisor is None else divisor

        def placed(rows: Any) -> Any:
            return np.moveaxis(rows.reshape(moved.shape), -1, self.axis)

        def pulled(diffs: Sequence[Any]) -> list[Any]:
            second = np.moveaxis(np.asarray(diffs[1]), self.axis, -1) if len(diffs) > 1 else np.zeros_like(x)
            with np.errstate(divide="ignore", invalid="ignore"):
                scale = np.where(self.counted, diffs[0] / x.dtype.type(divided), 0).astype(x.dtype)[:, None]
            fed = {"p": p, "y": y[:, None], "classes": np.arange(x.shape[1]), "scale": scale}
            graph = session(_GRADIENT, kind=kind)
            return [placed(graph.run(None, {**fed, "second": second.reshape(x.shape).astype(x.dtype)})[0])]

        return [loss if divisor is None else loss / x.dtype.type(divisor), placed(p)], pulled
