"""Limits: what lies outside of what is claimed, and how it is said."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.contract.case import Case, Pass
from conformance.contract.check import Check
from conformance.contract.errors import UsageError
from conformance.contract.implementation import Description
from conformance.contract.limits import Limits

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "l" type: "HingeLoss" bottom: "x" bottom: "x" top: "l"
        loss_param { normalize: false normalization: FULL ignore_label: 2 } hinge_loss_param { norm: L2 } }
"""
CASE = Case("a/b", NET, {"x": np.ones((2, 3))})


def check(**fields: object) -> Check:
    return Check("a/b", "golden", "net", ("net.split", "hinge_loss.forward"), lambda session: [], **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "outside"),
    [
        ("loss_param.normalize", True),
        ("loss_param.normalize=false", True),
        ("loss_param.normalize=true", False),
        ("loss_param.normalization=FULL", True),
        ("loss_param.normalization=VALID", False),
        ("loss_param.ignore_label=2", True),
        ("hinge_loss_param", True),
        ("softmax_param.axis", False),
        ("HingeLoss:options", True),
        ("EuclideanLoss:options", False),
        ("EuclideanLoss:loss_param.normalize", False),
        ("HingeLoss:tops>0", True),
        ("HingeLoss:tops>1", False),
        ("EuclideanLoss:tops>0", False),
        ("size>5", True),
        ("size>6", False),
        ("passes", False),
        ("net.*", False),
    ],
)
def test_a_case_lies_outside_where_its_net_or_its_size_does(limit: str, outside: bool) -> None:
    assert Limits(declines=(limit,)).of_case(CASE) == (limit if outside else "")


def test_a_case_of_several_passes_is_outside_of_version_1_of_the_protocol() -> None:
    several = Case("a/b", NET, {"x": np.ones((2, 3))}, passes=(Pass(),))
    assert Limits.of(Description("x", protocol=1)).of_case(several) == "one pass"
    assert Limits.of(Description("x", protocol=1)).of_case(CASE) == ""
    assert Limits.of(Description("x", protocol=2)).of_case(several) == ""
    assert Limits(declines=("passes",)).of_case(several) == "passes"


def test_a_text_that_is_no_net_has_no_options() -> None:
    assert Limits(declines=("loss_param.normalize",)).of_case(Case("a/b", "layer {")) == ""


def test_a_check_is_outside_as_a_whole_where_every_requirement_or_its_layers_are() -> None:
    assert Limits(declines=("net.*",)).of_check(check()) == ""
    assert Limits(declines=("net.*", "hinge_loss.*")).of_check(check()) == "net.*"
    assert Limits("layer").of_check(check(needs_net=True)) == "single layers"
    assert Limits(layers=("HingeLoss",)).of_check(check(layer_types=("HingeLoss", "Exp"))) == "only HingeLoss"
    assert Limits("layer", ("HingeLoss",)).of_check(check(layer_types=("HingeLoss", "Exp"))) == ""
    assert Limits("layer", ("EuclideanLoss",)).of_check(check(layer_types=("HingeLoss",))) == "only EuclideanLoss"
    both = check(layer_types=("HingeLoss", "EuclideanLoss"), together=True)
    assert Limits("layer", ("HingeLoss",)).of_check(both) == "only HingeLoss"
    assert Limits("layer", ("HingeLoss", "EuclideanLoss")).of_check(both) == ""


@pytest.mark.parametrize(
    ("limit", "says"),
    [("net.spilt", "did you mean net.split"), ("size<3", "use a requirement"), ("nothing", "use a requirement")],
)
def test_a_limit_that_means_nothing_is_refused(limit: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Limits(declines=(limit,)).refuse_unknown(["net.split", "net.structure"])


def test_every_limit_is_stated() -> None:
    described = Description("x", capability="layer", layers=("HingeLoss",), declines=("size>64",), protocol=1)
    stated = Limits.of(described, ("net.split",)).stated
    assert stated == ("single layers", "only HingeLoss", "size>64", "one pass", "net.split")
