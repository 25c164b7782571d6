"""What forks have added to the format, read leniently: noted with its line, and left out."""

from __future__ import annotations

import pytest

from refimpl.errors import PrototxtError
from refimpl.foreign import Foreign
from refimpl.prototxt import parse_net, read_net

PLAIN = 'layer { name: "a" type: "ReLU" bottom: "x" top: "a" }\n'


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ('layer { name: "a" type: "ReLU" bottom: "x" top: "a" speed: 3 }', Foreign("field", "speed of layer", 1)),
        ("ssd_mode: 1\n", Foreign("field", "ssd_mode of net", 1)),
        (
            'layer { name: "a" type: "SoftmaxWithLoss"\n loss_param { normalization: BALANCED normalize: true } }',
            Foreign("value", "BALANCED of loss_param.normalization", 2),
        ),
        ('layers { name: "a" type: CENTER_LOSS }', Foreign("type", "CENTER_LOSS of layers.type", 1)),
        ('layer { name: "a" type: "New" new_param { k: 1 } }', Foreign("message", "new_param of layer", 1)),
        ("plan { a: 1 }", Foreign("message", "plan of net", 1)),
    ],
)
def test_what_a_fork_added_is_noted_with_its_line(text: str, foreign: Foreign) -> None:
    net, found = read_net(text)
    assert found == (foreign,)
    assert "New" in text or len(net.layer) <= 1


def test_what_is_foreign_leaves_the_rest_as_it_is() -> None:
    net, _ = read_net('layer { name: "a" speed: 3 type: "ReLU" bottom: "x" top: "a" }')
    assert net == parse_net(PLAIN)


def test_a_type_of_the_old_format_is_kept_in_todays_spelling() -> None:
    net, _ = read_net('layers { name: "a" type: CENTER_LOSS }')
    assert net.layer[0].type == "CenterLoss"


def test_a_block_that_only_a_fork_has_is_kept_as_written() -> None:
    net, _ = read_net('layer { name: "a" type: "New" new_param { k: 1 } }')
    assert list(net.layer[0].extra) == ["new_param"]


def test_strict_reading_refuses_all_that() -> None:
    for text in ("plan { a: 1 }", 'layer { name: "a" speed: 3 }', 'layers { name: "a" type: CENTER_LOSS }'):
        with pytest.raises(PrototxtError):
            parse_net(text)


@pytest.mark.parametrize(
    "text",
    ['layer { name: "a"', "layer { name: 3 }", 'layers { layer { name: "a" } }', 'layer { name: "a" name: "b" }'],
)
def test_what_is_broken_is_refused_here_too(text: str) -> None:
    with pytest.raises(PrototxtError):
        read_net(text)
