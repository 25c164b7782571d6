"""Nets as text: what the grammar takes, what the messages default to, how old nets are upgraded, what errors say."""

from __future__ import annotations

import ctypes
import math
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refimpl.messages as messages
from refimpl.errors import LayerError, NetError, PrototxtError
from refimpl.messages import (
    BlobShape,
    InnerProductParameter,
    LayerParameter,
    LossParameter,
    NetParameter,
    NetState,
    ParamSpec,
    SoftmaxParameter,
    V1LayerParameter,
)
from refimpl.prototxt import dump_layer, dump_net, parse_net
from refimpl.schema import Extra, FieldType, Message
from refimpl.textformat import Block, Field, Scalar


def layer(body: str) -> LayerParameter:
    """The one layer of the net `layer { body }`."""
    (only,) = parse_net(f"layer {{ {body} }}").layer
    return only


def refusal(text: str) -> PrototxtError:
    with pytest.raises(PrototxtError) as caught:
        parse_net(text)
    return caught.value


# Grammar


@pytest.mark.parametrize(
    "spelling",
    [
        "include { phase: TEST }",
        "include: { phase: TEST }",
        "include < phase: TEST >",
        "include: < phase: TEST >",
        "include [ { phase: TEST } ]",
        "include: [ < phase: TEST > ]",
        "include { phase: TEST },",
        "include { phase: TEST; };",
        "include{phase:TEST}",
        "include\n{\r\n\tphase\n:\vTEST\f}",
        "include # one\n{ # two\n phase # three\n : # }\n TEST # four\n }",
    ],
)
def test_a_block_may_be_written_in_every_form_of_the_text_format(spelling: str) -> None:
    (rule,) = layer(spelling).include
    assert rule.phase == "TEST"


@pytest.mark.parametrize(
    "spelling",
    ["dim: 2 dim: 3", "dim: 2, dim: 3,", "dim: 2; dim: 3;", "dim: [2, 3]", "dim: [2] dim: 3", "dim: [2,\n3] dim: []"],
)
def test_repeated_fields_and_lists_append_in_order(spelling: str) -> None:
    assert layer(f"input_param {{ shape {{ {spelling} }} }}").input_param.shape[0].dim == (2, 3)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("-7", -7), ("- 7", -7), ("-#\n7", -7), ("010", 8), ("-010", -8), ("0x1F", 31), ("0XfF", 255)],
)
def test_integers_are_decimal_octal_or_hexadecimal(text: str, value: int) -> None:
    assert layer(f"loss_param {{ ignore_label: {text} }}").loss_param.ignore_label == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2.0),
        ("-.5", -0.5),
        ("3.", 3.0),
        ("1e2", 100.0),
        ("2.5E-1", 0.25),
        ("1f", 1.0),
        ("1.5F", 1.5),
        ("1e1f", 10.0),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("Infinity", math.inf),
        ("18446744073709551616", 2.0**64),
    ],
)
def test_floats_take_every_form_of_the_text_format(text: str, value: float) -> None:
    assert layer(f"loss_weight: {text}").loss_weight == (value,)


def test_nan_and_the_negative_zero_survive() -> None:
    nan, zero = layer("loss_weight: [nan, -0]").loss_weight
    assert math.isnan(nan)
    assert math.copysign(1, zero) == -1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.10000000149011612),
        ("16777217", 16777216.0),
        ("3.4028235e38", 3.4028234663852886e38),
        ("1e39", math.inf),
        ("-1e39", -math.inf),
        ("1e400", math.inf),
        ("1e-50", 0.0),
        ("1.4e-45", 1.401298464324817e-45),
        # Above the midpoint of two floats by less than a double shows: protobuf rounds to double first, then to even.
        ("1.000000059604644775390626", 1.0),
    ],
)
def test_floats_are_rounded_to_float32_as_the_proto_field_is(text: str, value: float) -> None:
    assert layer(f"loss_weight: {text}").loss_weight == (value,)


@pytest.mark.parametrize("text", ["true", "True", "t", "1", "0x1", "01"])
def test_true_has_six_spellings(text: str) -> None:
    assert layer(f"propagate_down: {text}").propagate_down == (True,)


@pytest.mark.parametrize("text", ["false", "False", "f", "0", "0x0", "00"])
def test_false_has_six_spellings(text: str) -> None:
    assert layer(f"propagate_down: {text}").propagate_down == (False,)


@pytest.mark.parametrize("text", ["L2", "2", "0x2"])
def test_an_enum_is_given_by_name_or_number(text: str) -> None:
    assert layer(f"hinge_loss_param {{ norm: {text} }}").hinge_loss_param.norm == "L2"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a"', "a"),
        ("'a'", "a"),
        ("'say \"a\"'", 'say "a"'),
        ('"a" \'b\'"c"', "abc"),
        ('"a" # and\n "b"', "ab"),
        (r'"\a\b\f\n\r\t\v\\\?\'\""', "\a\b\f\n\r\t\v\\?'\""),
        (r'"\101\60\x41\x4z"', "A0A\x04z"),
        (r'"\u00e9\U0001F600\ud83d\ude00"', "é😀😀"),
        (r'"\303" "\251"', "é"),
        ('"é # not a comment"', "é # not a comment"),
        (r'"\377"', "\udcff"),
    ],
)
def test_strings_take_both_quotes_every_escape_and_concatenation(text: str, value: str) -> None:
    assert layer(f"python_param {{ param_str: {text} }}").python_param.param_str == value


def test_a_block_given_twice_is_merged() -> None:
    merged = layer("loss_param { ignore_label: 3 } name: 'l' loss_param { normalization: FULL }").loss_param
    assert merged == LossParameter(ignore_label=3, normalization="FULL")


def test_an_empty_text_is_an_empty_net() -> None:
    assert parse_net(" # nothing\n") == NetParameter()


# Values and presence

DEFAULTS: list[tuple[str, dict[str, Any]]] = [
    ("NetParameter", {"name": "", "force_backward": False, "debug_info": False, "layer": (), "input": ()}),
    ("NetState", {"phase": "TEST", "level": 0, "stage": ()}),
    ("NetStateRule", {"phase": "TRAIN", "min_level": 0, "max_level": 0, "stage": (), "not_stage": ()}),
    ("ParamSpec", {"name": "", "share_mode": "STRICT", "lr_mult": 1.0, "decay_mult": 1.0}),
    ("BlobShape", {"dim": ()}),
    ("LossParameter", {"ignore_label": 0, "normalization": "VALID", "normalize": False}),
    ("SoftmaxParameter", {"engine": "DEFAULT", "axis": 1}),
    ("InfogainLossParameter", {"source": "", "axis": 1}),
    ("HingeLossParameter", {"norm": "L1"}),
    ("ContrastiveLossParameter", {"margin": 1.0, "legacy_version": False}),
    ("AccuracyParameter", {"top_k": 1, "axis": 1, "ignore_label": 0}),
    ("ArgMaxParameter", {"out_max_val": False, "top_k": 1, "axis": 0}),
    ("InnerProductParameter", {"num_output": 0, "bias_term": True, "axis": 1, "transpose": False}),
    ("ReLUParameter", {"negative_slope": 0.0, "engine": "DEFAULT"}),
    ("ELUParameter", {"alpha": 1.0}),
    ("PowerParameter", {"power": 1.0, "scale": 1.0, "shift": 0.0}),
    ("ExpParameter", {"base": -1.0, "scale": 1.0, "shift": 0.0}),
    ("LogParameter", {"base": -1.0, "scale": 1.0, "shift": 0.0}),
    ("EltwiseParameter", {"operation": "SUM", "coeff": (), "stable_prod_grad": True}),
    ("ReductionParameter", {"operation": "SUM", "axis": 0, "coeff": 1.0}),
    ("SliceParameter", {"axis": 1, "slice_point": (), "slice_dim": 1}),
    ("ConcatParameter", {"axis": 1, "concat_dim": 1}),
    ("FlattenParameter", {"axis": 1, "end_axis": -1}),
    ("ReshapeParameter", {"axis": 0, "num_axes": -1, "shape": BlobShape()}),
    ("ScaleParameter", {"axis": 1, "num_axes": 1, "bias_term": False}),
    ("BiasParameter", {"axis": 1, "num_axes": 1}),
    ("DummyDataParameter", {"shape": (), "num": (), "channels": (), "height": (), "width": (), "data_filler": ()}),
    ("DropoutParameter", {"dropout_ratio": 0.5}),
    ("PythonParameter", {"module": "", "layer": "", "param_str": "", "share_in_parallel": False}),
    (
        "FillerParameter",
        {
            "type": "constant",
            "value": 0.0,
            "min": 0.0,
            "max": 1.0,
            "mean": 0.0,
            "std": 1.0,
            "sparse": -1,
            "variance_norm": "FAN_IN",
        },
    ),
]


@pytest.mark.parametrize(("name", "defaults"), DEFAULTS, ids=[name for name, _ in DEFAULTS])
def test_an_unset_field_reads_as_the_default_of_caffe_proto(name: str, defaults: dict[str, Any]) -> None:
    unset = getattr(messages, name)()
    assert {field: getattr(unset, field) for field in defaults} == defaults
    assert not any(unset.has(field) for field in defaults)


def test_being_set_is_kept_apart_from_the_default() -> None:
    param = layer("loss_param { normalization: VALID ignore_label: 0 }").loss_param
    assert param.has("normalization") and param.has("ignore_label") and not param.has("normalize")
    assert param != LossParameter()


def test_an_empty_block_is_set_and_reads_as_defaults() -> None:
    given = layer("softmax_param { }")
    assert given.has("softmax_param") and not given.has("loss_param")
    assert given.softmax_param == SoftmaxParameter()


def test_a_repeated_field_is_set_if_it_has_a_value() -> None:
    assert layer("loss_weight: 0").has("loss_weight")
    assert not layer("loss_weight: []").has("loss_weight")


def test_replace_leaves_unset_what_was_unset() -> None:
    before = layer("name: 'l' loss_param { ignore_label: 1 }")
    after = replace(before, loss_weight=(2.0,), loss_param=replace(before.loss_param, normalization="NONE"))
    assert (after.name, after.loss_weight) == ("l", (2.0,))
    assert after.loss_param == LossParameter(ignore_label=1, normalization="NONE")
    assert not after.has("softmax_param") and not after.loss_param.has("normalize")


def test_a_message_refuses_fields_that_it_does_not_have() -> None:
    fields: dict[str, Any] = {"ignore": 1}
    with pytest.raises(TypeError, match="LossParameter has no field 'ignore'"):
        LossParameter(**fields)
    with pytest.raises(AttributeError, match="LossParameter has no field 'ignore'"):
        LossParameter().has("ignore")


def test_messages_are_immutable_hashable_and_picklable() -> None:
    net = parse_net("layer { name: 'l' loss_param { ignore_label: 1 } my_param { a: 1 } }")
    with pytest.raises(FrozenInstanceError):
        net.layer[0].loss_param.ignore_label = 2  # type: ignore[misc]
    copy = pickle.loads(pickle.dumps(net))
    assert copy == net and hash(copy) == hash(net)


def test_the_repr_of_a_message_shows_what_is_set() -> None:
    assert repr(LossParameter(ignore_label=1)) == "LossParameter(ignore_label=1)"


def test_a_text_read_before_gives_the_same_net() -> None:
    text = "name: 'cached'"
    assert parse_net(text) is parse_net(text)


# Blocks that the schema does not know


def test_a_third_partys_block_passes_through_whole() -> None:
    found = layer("focal_param { gamma: 2.0 mode: FAST nested < a: 'x' > } focal_param { b: [1, 2] }")
    first, second = found.extra["focal_param"]
    assert first.all("gamma") == (Scalar("number", "2.0"),)
    assert first.all("mode") == (Scalar("word", "FAST"),)
    assert first.all("nested") == (Block((Field("a", (Scalar("string", "x"),)),)),)
    assert second.all("b") == (Scalar("number", "1"), Scalar("number", "2"))


@pytest.mark.parametrize("name", ["transform_param", "data_param", "convolution_param", "batch_norm_param"])
def test_caffes_blocks_that_no_loss_reads_pass_through(name: str) -> None:
    assert list(layer(f"{name} {{ anything: 1 }}").extra) == [name]


def test_stored_blobs_pass_through() -> None:
    (blob,) = layer("blobs { data: [1, 2] shape { dim: 2 } }").blobs
    assert blob.all("data") == (Scalar("number", "1"), Scalar("number", "2"))


def test_unknown_layer_types_are_read() -> None:
    assert layer("type: 'NoSuchLoss'").type == "NoSuchLoss"


# Upgrades

V1_TYPES = {
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "HINGE_LOSS": "HingeLoss",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "INFOGAIN_LOSS": "InfogainLoss",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}


def test_every_v1_type_is_covered() -> None:
    assert V1_TYPES.keys() == V1LayerParameter.schema["type"].numbers.keys()


@pytest.mark.parametrize("old", V1_TYPES)
def test_a_v1_type_is_renamed(old: str) -> None:
    (upgraded,) = parse_net(f"layers {{ type: {old} }}").layer
    assert upgraded == LayerParameter(type=V1_TYPES[old])


def test_a_v1_layer_keeps_what_it_says() -> None:
    net = parse_net(
        """
        layers {
          name: "ip" type: INNER_PRODUCT bottom: "x" top: "z" loss_weight: 2 include { phase: TRAIN }
          blobs_lr: 1 blobs_lr: 0 weight_decay: 3 param: "w" blob_share_mode: PERMISSIVE
          inner_product_param { num_output: 4 } convolution_param { pad: 1 }
        }
        """
    )
    (upgraded,) = net.layer
    assert net.layers == ()
    assert (upgraded.name, upgraded.bottom, upgraded.top, upgraded.loss_weight) == ("ip", ("x",), ("z",), (2.0,))
    assert upgraded.inner_product_param == InnerProductParameter(num_output=4)
    assert upgraded.include[0].phase == "TRAIN"
    assert upgraded.param == (
        ParamSpec(name="w", share_mode="PERMISSIVE", lr_mult=1.0, decay_mult=3.0),
        ParamSpec(lr_mult=0.0),
    )
    assert list(upgraded.extra) == ["convolution_param"]


def test_inputs_with_four_dimensions_each_become_one_input_layer_in_front() -> None:
    net = parse_net(
        """
        input: "x" input_dim: 4 input_dim: 3 input_dim: 1 input_dim: 1
        input: "y" input_dim: 4 input_dim: 1 input_dim: 1 input_dim: 1
        layers { name: "loss" type: SOFTMAX_LOSS bottom: "x" bottom: "y" }
        """
    )
    first, second = net.layer
    assert (first.name, first.type, first.top) == ("input", "Input", ("x", "y"))
    assert [shape.dim for shape in first.input_param.shape] == [(4, 3, 1, 1), (4, 1, 1, 1)]
    assert second.name == "loss"
    assert not (net.input or net.input_shape or net.input_dim)


def test_input_shapes_win_over_input_dims() -> None:
    net = parse_net("input: 'x' input_shape { dim: 2 dim: 3 } input_dim: [1, 1, 1, 1] layer { name: 'l' }")
    assert net.layer[0].input_param.shape == (BlobShape(dim=(2, 3)),)


def test_inputs_without_any_shape_are_dropped_as_caffe_drops_them() -> None:
    assert parse_net("input: 'x' layer { name: 'l' }") == NetParameter(layer=(LayerParameter(name="l"),))


# Errors

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


# Writing

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True)
words = st.text(max_size=6)
numbers = st.one_of(st.integers(-9, 99).map(str), st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr))
scalars = st.one_of(
    st.builds(Scalar, st.just("number"), numbers),
    st.builds(Scalar, st.just("string"), words),
    st.builds(Scalar, st.just("word"), names),
)


def fields(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Field]:
    single = st.builds(Field, names, st.tuples(inner))
    several = st.lists(scalars, max_size=3) | st.lists(st.builds(Block), min_size=1, max_size=2)
    return single | st.builds(Field, names, several.map(tuple), st.just(True))


blocks = st.recursive(
    st.just(Block()), lambda b: st.builds(Block, st.lists(fields(scalars | b), max_size=3).map(tuple)), max_leaves=4
)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "bool": st.booleans(),
    "string": words,
    "raw": blocks,
}


def values(field: FieldType) -> st.SearchStrategy[Any]:
    if field.kind == "extra":
        third_party = names.map(lambda name: f"zz_{name}_param")
        return st.dictionaries(third_party, st.lists(blocks, min_size=1, max_size=2).map(tuple), max_size=2).map(Extra)
    if field.message:
        each: st.SearchStrategy[Any] = instances(field.message)
    else:
        each = st.sampled_from(sorted(field.numbers)) if field.numbers else SCALARS[field.kind]
    return st.lists(each, max_size=2).map(tuple) if field.repeated else each


def instances(cls: type[Message]) -> st.SearchStrategy[Message]:
    """Messages with up to five of their fields set, to anything."""

    def some(chosen: list[str]) -> st.SearchStrategy[Message]:
        return st.fixed_dictionaries({name: values(cls.schema[name]) for name in chosen}).map(lambda f: cls(**f))

    return st.lists(st.sampled_from(sorted(cls.schema)), unique=True, max_size=5).flatmap(some)


@settings(max_examples=60, deadline=None)
@given(st.lists(instances(LayerParameter), max_size=3), instances(NetState), words)
def test_reading_what_was_written_gives_the_same_net(layers: list[Any], state: Any, name: str) -> None:
    net = NetParameter(name=name, layer=tuple(layers), state=state)
    assert parse_net(dump_net(net)) == net


@given(st.floats(width=32, allow_nan=False))
def test_a_float_is_written_so_that_it_reads_back(value: float) -> None:
    text = dump_layer(LayerParameter(loss_weight=(value,)))
    (back,) = parse_net(text).layer[0].loss_weight
    assert bytes(ctypes.c_float(back)) == bytes(ctypes.c_float(value))


def test_a_float_is_written_as_short_as_it_reads_back() -> None:
    assert "loss_weight: 0.1\n" in dump_layer(layer("loss_weight: 0.1"))


def test_short_blocks_are_written_on_one_line() -> None:
    text = 'layer {\n  name: "l"\n  type: "Input"\n  top: "x"\n  input_param { shape { dim: 2 dim: 3 } }\n}\n'
    assert dump_net(parse_net(text)) == text


NET = """
name: "n" # a comment
layer { name: "x" type: 'Input' top: "x" input_param { shape: < dim: [2, 0x3] > } }
layer { name: "l" type: "HingeLoss" bottom: "x" top: "l" loss_weight: -1.5e1 hinge_loss_param { norm: L2 } }
"""


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(NET)), st.integers(0, 12), st.text("{}<>[]:;,-+.\"'\\#ex0189fL \n\x00é", max_size=4))
def test_whatever_is_broken_the_error_is_ours(start: int, length: int, inserted: str) -> None:
    text = NET[:start] + inserted + NET[start + length :]
    try:
        net = parse_net(text)
    except PrototxtError as error:
        assert 1 <= error.line <= text.count("\n") + 1
        assert error.column >= 1
        assert "\n" not in str(error)
    else:
        assert parse_net(dump_net(net)) == net
