"""A net written as text reads back as the same net."""

from __future__ import annotations

import ctypes
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.errors import PrototxtError
from refimpl.messages import (
    LayerParameter,
    NetParameter,
    NetState,
)
from refimpl.prototxt import dump_layer, dump_net, parse_net
from refimpl.schema import Extra, FieldType, Message
from refimpl.textformat import Block, Field, Scalar


def layer(body: str) -> LayerParameter:
    """The one layer of the net `layer { body }`."""
    (only,) = parse_net(f"layer {{ {body} }}").layer
    return only


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

    return st.lists(
        st.sampled_from(sorted(n for n, f in cls.schema.items() if f.kind != "own")), unique=True, max_size=5
    ).flatmap(some)


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
