"""Reading nets: every form of the text format, the defaults of caffe.proto, presence, and blocks not known."""

from __future__ import annotations

import math
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

import refimpl.messages as messages
from refimpl import textformat
from refimpl.messages import (
    BlobShape,
    LayerParameter,
    LossParameter,
    NetParameter,
    SoftmaxParameter,
)
from refimpl.prototxt import parse_net
from refimpl.textformat import Block, Field, Scalar


def layer(body: str) -> LayerParameter:
    """The one layer of the net `layer { body }`."""
    (only,) = parse_net(f"layer {{ {body} }}").layer
    return only


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


# Two readers


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1 b: -2.5e-3f c: 0x1F; d: -inf, e: true",
        "a { b { c: 'x' \"y\\n\" } } d < e: 1 > f: { g: 2 } h: < i: 3 >",
        "a: [1, -2, x] b [{ c: 1 }, < d: 2 >] e: [] f [] # end\n\t g\n:\n1",
        "a: 'not # a comment' # 'a comment\nb: 1",
    ],
)
def test_what_is_read_by_hand_is_what_the_grammar_says(text: str) -> None:
    by_hand, by_grammar = textformat._ByHand(text).document(), textformat._parser().parse(text)
    assert placed(by_hand) == placed(by_grammar)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a:",
        "a 1",
        "a {",
        "a }",
        "a { >",
        "a: - 'x'",
        "a [1]",
        "a: [1,]",
        "a: [1, {}]",
        "a: 1,, b: 2",
        "a: 09",
        "= 1",
    ],
)
def test_what_is_no_text_format_is_left_to_the_grammar(text: str) -> None:
    with pytest.raises(textformat._Unread):
        textformat._ByHand(text).document()


def placed(value: Any) -> Any:
    """A tree with the places that its equality leaves out."""
    if isinstance(value, Scalar):
        return (value.kind, value.text, value.line, value.column)
    if isinstance(value, Field):
        return (value.name, value.bracketed, value.line, value.column, [placed(each) for each in value.values])
    return (value.line, value.column, [placed(each) for each in value.fields])
