"""The checks that need no formula: right layers pass them, each way of breaking the contract fails its own facet."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from conformance.adapters.pycaffe import PycaffeImplementation
from conformance.adapters.python_layer import open_python_layer
from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.errors import UsageError
from conformance.contract.implementation import Implementation
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.judge.noise import noise_of
from conformance.requirements import CATALOGUE
from conformance.suite.formula_free import checks
from conformance.suite.snippet import Snippet

REAL = os.environ.get("LOSSCONF_CAFFE_PYTHON", "")
LAYERS = Path(__file__).parents[1] / "miniature_layers" / "layers.py"
FACETS = {
    "gradient",
    "loss-weight",
    "propagate-down",
    "overwrite",
    "inputs-unchanged",
    "repeat-forward",
    "repeat-backward",
    "batch-change",
    "top-shape",
}


def verdicts_of(implementation: Implementation, *snippets: str) -> list[Verdict]:
    """All verdicts in the implementation's own dtypes, and those by differences in the others."""
    description = implementation.describe()
    found: list[Verdict] = []
    for check in checks(snippets or description.snippets):
        also = description.differences if check.differences else ()
        for dtype in (*description.dtypes, *also):
            found += check.run(Session(implementation, description, dtype))
    return found


def python_layer(name: str, *options: str) -> list[Verdict]:
    return verdicts_of(open_python_layer(" ".join([f"{LAYERS}:{name}", *options])))


def facets(verdicts: list[Verdict], status: Status, level: Level = Level.MUST, dtype: str | None = None) -> set[str]:
    return {
        v.requirement.removeprefix("layer-contract.")
        for v in verdicts
        if v.status is status and v.level is level and dtype in (None, v.dtype)
    }


def reason_of(verdicts: list[Verdict], facet: str, status: Status = Status.FAILED) -> str:
    return next(v.reason for v in verdicts if v.requirement.endswith(facet) and v.status is status)


@pytest.mark.parametrize(
    ("name", "bottoms"),
    [
        ("SquaredError", "(4, 5) and (4, 5)"),
        ("Logistic", "(4, 5) and (4,)"),
        ("Triplet", "(4, 5) and (4, 5) and (4, 5)"),
        ("Weighted", "(4, 5)"),
    ],
)
def test_a_right_layer_passes_on_the_bottoms_that_it_takes(name: str, bottoms: str) -> None:
    verdicts = python_layer(name)
    nothing_to_choose = {"propagate-down"} if name == "Weighted" else set()
    assert facets(verdicts, Status.PASSED) == FACETS - nothing_to_choose
    assert facets(verdicts, Status.NOT_APPLICABLE) == nothing_to_choose
    assert facets(verdicts, Status.INCONCLUSIVE) == set()
    assert {v.detail["bottoms"] for v in verdicts} == {bottoms}


@dataclass(frozen=True)
class Broken:
    """A layer, the facets it is to fail, and words of the first one's reason."""

    name: str
    fails: set[str]
    reason: str
    level: Level = Level.MUST


BROKEN = (
    Broken("ForgetsTheWeight", {"loss-weight"}, "wanted exactly"),
    Broken("WeighsTwice", {"loss-weight"}, "wanted exactly"),
    Broken("WeighsItsLoss", {"loss-weight"}, "loss_weight 4: the net's loss"),
    Broken("ForgetsTheBatch", {"gradient"}, "reported loss has slope"),
    Broken("HasOneSignWrong", {"gradient"}, "reported loss has slope"),
    Broken("HalvesItsParametersGradient", {"gradient"}, "gradient layer[0]["),
    Broken("AddsToTheDiff", {"overwrite", "repeat-backward", "propagate-down"}, "NaN in the bottoms' diffs before"),
    Broken("AsksTheWrongFlag", {"propagate-down"}, "asked for bottom0: the gradient of bottom0"),
    Broken("WritesWhatNobodyAskedFor", {"propagate-down"}, "writes the diff of bottom1 too", Level.SHOULD),
    Broken("GivesOneGradientOfTwo", {"propagate-down"}, "neither gives one nor refuses", Level.SHOULD),
    Broken("ScalesItsInput", {"inputs-unchanged"}, "after forward, bottom bottom0"),
    Broken("UsesItsInputForScratch", {"inputs-unchanged"}, "after backward, bottom bottom1"),
    Broken("KeepsARunningSum", {"repeat-forward"}, "forward twice: the net's loss"),
    Broken("UsesItsBufferUp", {"repeat-backward"}, "backward twice: the gradient of bottom0"),
    Broken("OverwritesItsParameter", {"repeat-backward"}, "backward twice: the gradient of layer[0]"),
    Broken("KeepsTheFirstBatch", {"batch-change"}, "a batch of 9 where 4 was declared: top top"),
    Broken("BuffersTheFirstBatch", {"batch-change"}, "refused at forward: forward, layer"),
    Broken("ReshapesInForward", {"top-shape"}, "reshape gave top the shape (), forward (1,)"),
)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_broken_layer_fails_its_own_facets_and_no_other(broken: Broken) -> None:
    verdicts = python_layer(broken.name)
    assert facets(verdicts, Status.FAILED, broken.level) == broken.fails
    assert facets(verdicts, Status.FAILED) <= broken.fails
    reasons = [v.reason for v in verdicts if v.status is Status.FAILED]
    assert any(broken.reason in reason for reason in reasons), reasons
    assert facets(verdicts, Status.PASSED) >= FACETS - broken.fails - {"gradient", "propagate-down"}


def test_a_lost_weight_leaves_the_gradient_undecided() -> None:
    verdicts = python_layer("ForgetsTheWeight")
    differenced = [v for v in verdicts if v.dtype == "float64"]
    assert "right but for the loss weight" in reason_of(differenced, "gradient", Status.INCONCLUSIVE)
    assert "right once the weight is put back" in reason_of(differenced, "loss-weight")


def test_a_float32_buffer_costs_digits_and_no_decision() -> None:
    verdicts = python_layer("WithAFloat32Buffer")
    assert facets(verdicts, Status.PASSED) == FACETS
    differenced = [v for v in verdicts if v.dtype == "float64"]
    assert "agrees with the slope of the reported loss within 0.0" in reason_of(differenced, "gradient", Status.PASSED)


def test_a_random_layer_is_inconclusive_where_runs_are_compared() -> None:
    verdicts = python_layer("IsRandom")
    assert facets(verdicts, Status.FAILED) == set()
    assert facets(verdicts, Status.PASSED) == {"inputs-unchanged", "top-shape"}
    assert "does not repeat itself" in reason_of(verdicts, "overwrite", Status.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("RefusesBackward", "NotImplementedError: no gradient yet"),
        ("RefusesEverything", "Exception: param_str is to say"),
    ],
)
def test_a_layer_that_refuses_everything_fails_everything(name: str, reason: str) -> None:
    verdicts = python_layer(name)
    assert facets(verdicts, Status.FAILED) == FACETS
    assert all(v.reason.startswith("none of the bottoms tried is taken: refused at") for v in verdicts)
    assert all(reason in v.reason for v in verdicts)


def test_a_layer_without_a_loss_on_plain_scores_asks_for_a_snippet() -> None:
    verdicts = python_layer("Entropy")
    assert facets(verdicts, Status.INCONCLUSIVE) == FACETS
    assert "DummyData" in verdicts[0].reason


ENTROPY = """
layer { name: "x" type: "DummyData" top: "x" dummy_data_param {
  shape { dim: 3 dim: 2 } data_filler { type: "uniform" min: 0.25 max: 2 } } }
layer { name: "entropy" type: "Python" bottom: "x" top: "loss" python_param { module: "layers" layer: "Entropy" } }
"""


def test_a_snippet_says_what_the_bottoms_hold() -> None:
    verdicts = verdicts_of(open_python_layer(f"{LAYERS}:Entropy"), ENTROPY)
    assert facets(verdicts, Status.PASSED) == FACETS - {"propagate-down"}
    assert {v.detail["bottoms"] for v in verdicts} == {"(3, 2)"}


def test_a_snippet_for_another_class_is_refused() -> None:
    verdicts = verdicts_of(open_python_layer(f"{LAYERS}:Triplet"), ENTROPY)
    assert "asks for a Python layer Entropy, and Triplet is what was given" in verdicts[0].reason


SNIPPETS = {
    "softmax_with_loss": 'bottom: "x" bottom: "y"',
    "sigmoid_cross_entropy_loss": 'bottom: "x" bottom: "t" propagate_down: true propagate_down: false',
    "euclidean_loss": 'bottom: "x" bottom: "t"',
    "hinge_loss": 'bottom: "x" bottom: "y" hinge_loss_param { norm: L2 }',
    "contrastive_loss": 'bottom: "x" bottom: "z" bottom: "s" contrastive_loss_param { legacy_version: true }',
    "inner_product": 'bottom: "x" inner_product_param { num_output: 3 }',
    "slice": 'bottom: "x" top: "b" slice_param { slice_point: 2 } loss_weight: 1 loss_weight: -2',
}
TYPES = {
    "softmax_with_loss": "SoftmaxWithLoss",
    "sigmoid_cross_entropy_loss": "SigmoidCrossEntropyLoss",
    "euclidean_loss": "EuclideanLoss",
    "hinge_loss": "HingeLoss",
    "contrastive_loss": "ContrastiveLoss",
    "inner_product": "InnerProduct",
    "slice": "Slice",
}


@pytest.mark.parametrize("stem", SNIPPETS)
def test_the_reference_passes_on_types_it_knows(stem: str) -> None:
    snippet = f'layer {{ name: "l" type: "{TYPES[stem]}" top: "a" {SNIPPETS[stem]} }}'
    verdicts = verdicts_of(ReferenceImplementation(), snippet)
    assert facets(verdicts, Status.FAILED) == set()
    assert facets(verdicts, Status.PASSED) >= FACETS - {"propagate-down"}
    assert {v.check.split("/")[1] for v in verdicts} == {stem}


def test_a_type_that_an_implementation_lacks_fails() -> None:
    verdicts = verdicts_of(ReferenceImplementation(), 'layer { name: "l" type: "FooLoss" bottom: "x" top: "l" }')
    assert facets(verdicts, Status.FAILED) == FACETS
    assert "unknown layer type 'FooLoss'" in verdicts[0].reason


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("layer { name: 3", "the snippet: parse, line 1"),
        ("", "holds 0 layers"),
        ('layer { type: "A" } layer { type: "B" }', "holds 2 layers"),
        ('layer { type: "Input" top: "x" input_param { shape { dim: 2 } } } layer { type: "A" bottom: "y" }', "not y"),
        ('layer { type: "Input" top: "x" } layer { type: "A" bottom: "x" }', "needs a shape"),
        ('layer { type: "A" bottom: "x" propagate_down: true propagate_down: true }', "once per bottom"),
        ('layer { type: "A" bottom: "x" top: "x" }', "in place"),
        (
            'layer { type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 } data_filler { type: "xavier" } } } '
            'layer { type: "A" bottom: "x" }',
            "constant, uniform, gaussian here, not 'xavier'",
        ),
    ],
)
def test_what_is_no_snippet_is_a_mistake_of_the_callers(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Snippet.parse(text)


def test_the_page_on_unknown_layers_names_every_requirement() -> None:
    page = (Path(__file__).parents[2] / "docs" / "adapters" / "unknown-layers.md").read_text()
    assert {name for name in CATALOGUE if name.startswith("layer-contract.")} == {
        f"layer-contract.{facet}" for facet in FACETS
    }
    assert all(f"| `layer-contract.{facet}` |" in page for facet in FACETS)


@pytest.mark.parametrize(("kind", "stem"), [("FocalLoss", "focal_loss"), ("ROIPooling", "roi_pooling"), ("ELU", "elu")])
def test_an_id_holds_the_type_in_lower_case(kind: str, stem: str) -> None:
    assert Snippet.parse(f'layer {{ type: "{kind}" bottom: "x" }}').stem == stem


def test_the_noise_of_a_smooth_function_is_its_roundings() -> None:
    assert noise_of(lambda x: float(np.exp(1 + x))) < 4e-15


def test_the_noise_of_a_function_rounded_to_float32_shows() -> None:
    assert 1e-8 < noise_of(lambda x: float(np.float32(np.exp(1 + x)))) < 1e-6


@pytest.mark.caffe
@pytest.mark.skipif(not REAL, reason="LOSSCONF_CAFFE_PYTHON names no Python with a Caffe")
def test_layers_get_the_verdicts_on_the_stand_in_that_they_get_on_a_real_caffe() -> None:
    environment = {**os.environ, "PYTHONPATH": str(LAYERS.parent)}
    with closing(PycaffeImplementation(REAL, environment=environment)) as caffe:
        for name in ("SquaredError", "Logistic", "Triplet", "Weighted", *(broken.name for broken in BROKEN)):
            found = [v for v in python_layer(name) if v.dtype == "float32"]
            snippet = open_python_layer(f"{LAYERS}:{name}").describe().snippets
            assert outcomes(verdicts_of(caffe, *snippet)) == outcomes(found), name


def outcomes(verdicts: list[Verdict]) -> dict[str, tuple[Status, Level]]:
    return {v.requirement: (v.status, v.level) for v in verdicts}
