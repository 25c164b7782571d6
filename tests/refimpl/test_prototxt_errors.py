"""A broken prototxt gets one line: where, what, and what to do."""

from __future__ import annotations

import pickle

import pytest

from refimpl.errors import LayerError, NetError, PrototxtError
from refimpl.prototxt import parse_net


def refusal(text: str) -> PrototxtError:
    with pytest.raises(PrototxtError) as caught:
        parse_net(text)
    return caught.value


BROKEN = [
    ('layer { nam: "x" }', 1, 9, 'layer has no field "nam"; did you mean name?'),
    ("layer {\n  loss_parm { }\n}", 2, 3, "did you mean loss_param?"),
    ("layer { Loss_param { } }", 1, 9, "did you mean loss_param?"),
    (
        "layer { loss_param { ignore_labels: 1 } }",
        1,
        22,
        "did you mean ignore_label?",
    ),
    ("layer { normalization: FULL }", 1, 9, "it belongs in loss_param { }"),
    ("layer { axis: 1 }", 1, 9, "it belongs in a block such as accuracy_param { }"),
    ("layer { zzz: 1 }", 1, 9, "it has name, type, bottom, top"),
    ("layer { blobs_lr: 1 }", 1, 9, "write param { lr_mult: VALUE }"),
    ('bottom: "x"', 1, 1, "it belongs in layer { }"),
    ("layer { loss_param { normalization: SOME } }", 1, 37, "it is one of FULL, VALID, BATCH_SIZE, NONE"),
    ("layer { loss_param { normalization: valid } }", 1, 37, "did you mean VALID?"),
    ('layer { loss_param { normalization: "FULL" } }', 1, 37, "write FULL without quotes"),
    ("layer { loss_param { normalization: 4 } }", 1, 37, "4 is not a value of normalization"),
    ("layer { type: SOFTMAX_LOSS }", 1, 15, "type takes a string, not SOFTMAX_LOSS"),
    ("layer { name: loss }", 1, 15, 'write "loss"'),
    ('layers { type: "SoftmaxWithLoss" }', 1, 16, "layers { } is the old format"),
    ("layers { type: SOFTMAXLOSS }", 1, 16, "did you mean SOFTMAX_LOSS?"),
    ('layer { name "x" }', 1, 14, "a name is followed by ':' and its value, or by '{'"),
    ('layer { name = "x" }', 1, 14, "a name and its value are separated by ':'"),
    ('layer {\n  name: "x"\n', 1, 7, "the text ends inside the '{' opened here"),
    ("layer { loss_weight: [1, 2", 1, 22, "the text ends inside the '[' opened here"),
    ("layer", 1, 6, "the text ends in the middle of a field"),
    ('layer { name: "x" }\n}', 2, 1, "it closes nothing"),
    ('layer { name: "x" >', 1, 19, "unexpected >; expected '}' or a name"),
    ("layer { loss_weight: [1, ] }", 1, 26, "unexpected ]"),
    ('layer { name: "x\n" }', 1, 15, "the string is not closed on its line"),
    (r'layer { name: "a\q" }', 1, 17, r"\q is not an escape sequence; write a backslash as \\"),
    ("layer { // loss\n}", 1, 9, "a comment starts with #"),
    ("\ufefflayer { }", 1, 1, "byte order mark"),
    ("layer { loss_weight: +1 }", 1, 22, "a number has no plus sign"),
    ("layer { loss_weight: 1.5.2 }", 1, 22, "1.5.2 is not a number"),
    ("layer { loss_weight: 1top: 'x' }", 1, 22, "a space separates it from what follows"),
    ("layer { loss_weight: 0x10 }", 1, 22, "loss_weight takes a decimal number, not 0x10"),
    ('layer { loss_weight: "1" }', 1, 22, 'loss_weight takes a number, not "1"'),
    ("layer { loss_weight: high }", 1, 22, "loss_weight takes a number, not high"),
    ("layer { accuracy_param { top_k: 08 } }", 1, 33, "a leading zero means octal"),
    ("layer { accuracy_param { top_k: 1.5 } }", 1, 33, "top_k takes an integer, not 1.5"),
    ("layer { accuracy_param { top_k: -1 } }", 1, 33, "uint32 holds 0 to 4294967295"),
    ("layer { accuracy_param { top_k: 4294967296 } }", 1, 33, "4294967296 is out of range for top_k"),
    ("layer { loss_param { ignore_label: 2147483648 } }", 1, 36, "int32 holds -2147483648 to 2147483647"),
    ("layer { propagate_down: yes }", 1, 25, "propagate_down takes true or false, not yes"),
    ("layer { loss_param { ignore_label: 1\nignore_label: 1 } }", 2, 1, "ignore_label is specified multiple times"),
    ("layer { loss_param { ignore_label: 1 } loss_param { ignore_label: 1 } }", 1, 53, "is specified multiple times"),
    ("layer { loss_param { ignore_label: [1] } }", 1, 22, "ignore_label holds one value, not a list"),
    ("layer: 5", 1, 8, "layer takes a block, not 5"),
    ("layer { loss_weight { } }", 1, 21, "loss_weight takes a float, not a block"),
    ("layer { my_param: 3 }", 1, 19, "my_param takes a block, not 3"),
    ("layer { my_block { } }", 1, 9, 'layer has no field "my_block"'),
    ('layer { name: "a" }\nlayers { name: "b" }', 2, 1, 'write them all as layer { type: "..." }'),
    ('layers { layer { name: "a" type: "conv" } }', 1, 10, "V0 format"),
    ('net: "train.prototxt"\nbase_lr: 0.1', 1, 1, "this is a solver definition"),
    ("\n\x05LeNet\x12", 2, 1, "not a binary .caffemodel"),
    ('{"layer": 1}', 1, 1, "unexpected {; expected a name"),
    ("input: 'a' input: 'b' input_dim: [1, 2, 3, 4]", 1, 1, "there are 2 inputs, but shapes for 1 of them"),
]


@pytest.mark.parametrize(("text", "line", "column", "says"), BROKEN, ids=[text for text, *_ in BROKEN])
def test_a_broken_text_gets_one_line_that_says_where_and_what(text: str, line: int, column: int, says: str) -> None:
    error = refusal(text)
    assert (error.line, error.column) == (line, column)
    assert says in str(error)
    assert "\n" not in str(error)
    assert error.stage == "parse"


def test_an_error_names_its_layer() -> None:
    error = refusal('layer { loss_param { bad: 1 } name: "loss" }')
    assert error.layer == "loss"
    assert str(error).startswith('parse, line 1, column 22, layer "loss": loss_param has no field "bad"')


@pytest.mark.parametrize(
    "error",
    [
        NetError("it fails", "setup", "loss", "mend it"),
        PrototxtError("it fails", 3, 4, "mend it", "loss"),
        LayerError("it fails", "mend it"),
    ],
)
def test_an_error_reads_the_same_after_pickling(error: Exception) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(error).endswith("it fails; mend it")


def test_an_error_of_several_lines_is_shown_on_one() -> None:
    assert str(NetError("one\ntwo", "forward", hint="do\n this")) == "forward: one two; do this"
