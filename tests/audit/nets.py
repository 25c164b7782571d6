"""For every finding a net that shows it and one, as like it as possible, that does not."""

from __future__ import annotations

__all__ = ["EUCLID", "HINGE", "IN", "LOGITS", "LOSS", "PAIRS", "PLAIN", "SILENCE"]

IN = """
layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
"""
LOGITS = (
    IN
    + """
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z" inner_product_param { num_output: 3 } }
"""
)
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "y" top: "l" %s }\n'
EUCLID = 'layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "x" top: "l" %s }\n'
SILENCE = 'layer { name: "quiet" type: "Silence" bottom: "l" }\n'
PLAIN = LOGITS + LOSS % ""
HINGE = 'layer { name: "hinge" type: "HingeLoss" bottom: "z" bottom: "y" top: "h" %s }\n'
SLICE = 'layer { name: "cut" type: "Slice" bottom: "z" top: "a" top: "b" %s slice_param { slice_point: 1 } }\n'
DATA = """
layer { name: "data" type: "Data" top: "x" top: "y" include { phase: %s } data_param { batch_size: 8 } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z" inner_product_param { num_output: 3 } }
"""
PYTHON = 'layer { name: "%s" type: "Python" bottom: "z" bottom: "y" top: "l" %s }\n'
CUT = (
    LOGITS
    + """
layer { name: "gate" type: "InnerProduct" bottom: "z" top: "g" propagate_down: %s
  inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "g" bottom: "y" top: "l" }
"""
)
LABELS = (
    LOGITS
    + """
layer { name: "soft" type: "InnerProduct" bottom: "x" top: "t" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "z" bottom: "t" top: "l" %s }
"""
)

PAIRS: dict[str, tuple[str, str]] = {
    "not-fed": (DATA % "TEST" + LOSS % "", DATA % "TRAIN" + LOSS % ""),
    "not-built": (LOGITS + LOSS % "loss_weight: 1 loss_weight: 2", LOGITS + LOSS % "loss_weight: 1"),
    "loss-silenced": (PLAIN + SILENCE, PLAIN),
    "loss-counted-twice": (LOGITS + LOSS % "loss_weight: 2" + SILENCE, LOGITS + LOSS % "loss_weight: 2"),
    "weights-lost": (
        LOGITS + SLICE % "loss_weight: 2 loss_weight: 5" + 'layer { name: "quiet" type: "Silence" bottom: "a" }\n',
        LOGITS + SLICE % "loss_weight: 2 loss_weight: 0" + 'layer { name: "quiet" type: "Silence" bottom: "a" }\n',
    ),
    "scratch-as-gradient": (PLAIN + HINGE % "loss_weight: 0", PLAIN + HINGE % "loss_weight: 2"),
    "backward-fatal": (
        PLAIN + 'layer { name: "acc" type: "Accuracy" bottom: "z" bottom: "y" top: "a" loss_weight: 1 }\n',
        PLAIN + 'layer { name: "acc" type: "Accuracy" bottom: "z" bottom: "y" top: "a" }\n',
    ),
    "label-path": (LABELS % "", LABELS % "propagate_down: true propagate_down: false"),
    "no-loss": (LOGITS, PLAIN),
    "not-trained": (CUT % "false", CUT % "true"),
    "negative-weight": (LOGITS + LOSS % "loss_weight: -1", PLAIN),
    "weight-not-finite": (LOGITS + LOSS % "loss_weight: nan", LOGITS + LOSS % "loss_weight: 1e30"),
    "option-without-use": (
        LOGITS + EUCLID % "loss_param { normalization: FULL }",
        LOGITS + LOSS % "loss_param { normalization: FULL }",
    ),
    "python-without-weight": (LOGITS + PYTHON % ("loss", ""), LOGITS + PYTHON % ("loss", "loss_weight: 1")),
    "weight-by-fork": (
        LOGITS + (LOSS % "").replace("SoftmaxWithLoss", "SmoothL1Loss").replace('"y"', '"x"'),
        LOGITS + (LOSS % "loss_weight: 1").replace("SoftmaxWithLoss", "SmoothL1Loss").replace('"y"', '"x"'),
    ),
    "zero-weight": (PLAIN.replace('"l"', '"l" loss_weight: 0'), PLAIN),
    "plain-layer-weighted": (LOGITS + SLICE % "loss_weight: 2 loss_weight: 0", LOGITS + SLICE % ""),
    "unknown-loss": (LOGITS + (LOSS % "").replace("SoftmaxWithLoss", "MyOwnLoss"), PLAIN),
    "unknown-type": (
        PLAIN.replace('"InnerProduct"', '"InnerProductOfMine"'),
        PLAIN,
    ),
    "foreign": (LOGITS + LOSS % "loss_param { normalization: BALANCED }", PLAIN),
}
