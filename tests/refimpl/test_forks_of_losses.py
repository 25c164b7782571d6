"""The forks' losses: each form's gradient is the derivative of its own loss, departures aside; and what tells forms
apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from refimpl.dialect import DEPARTURES, Dialect
from refimpl.errors import NetError
from refimpl.layers import FORMS
from refimpl.net import Net
from tests.small_nets import layer, net_of, run

X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25], [-0.75, 0.5, 1.5]])
T = np.array([[0.25, 1.0, 3.5], [1.0, 0.75, -0.5], [-1.25, 0.75, 1.0]])
Z = np.array([[0.5, 2.5, 2.0], [0.0, -1.5, 1.0], [-1.0, 0.0, 1.25]])
W = np.array([[0.5, 2.0, 1.0], [0.0, -1.0, 3.0], [1.0, 0.25, 1.0]])
Y = np.array([2.0, 0.0, 2.0])
BITS = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.5], [0.0, 1.0, 0.0]])
MAPS = np.linspace(-3, 2, 24).reshape(2, 3, 4) ** 3 / 4
MAP_LABELS = np.array([[0.0, 2, 1, 255], [1, 1, 2, 0]])
TIMES = np.linspace(-2, 2, 24).reshape(4, 2, 3) ** 2 - 1

Fork = tuple[str, str, Mapping[str, Any]]


def fork(form: str, kind: str, bottoms: Mapping[str, Any], options: str = "") -> Fork:
    return f"{kind}:{form}", layer(kind, options, " ".join(bottoms)), bottoms


TRIPLE = {"a": X, "b": T, "c": Z}
LABELLED = {"x": X, "y": Y}
DICE = {"x": np.abs(MAPS).reshape(2, 3, 2, 2), "y": np.array([[0.0, 2, 1, 1], [1, 1, 2, 0]]).reshape(2, 1, 2, 2)}
WEIGHING = "softmax_param { class_weight: 0.5 class_weight: 3 class_weight: 2 %s }"
FORKS: list[Fork] = [
    fork("nvidia", "L1Loss", {"a": X, "b": T}),
    fork("flownet-gpu", "L1Loss", {"a": X, "b": T}),
    fork("flownet-gpu", "L1Loss", {"a": X}, "l1_loss_param { normalize_by_num_entries: true plateau: 0.6 }"),
    fork(
        "flownet-gpu",
        "L1Loss",
        {"a": X, "b": T},
        "l1_loss_param { l2_per_location: true l2_prescale_by_channels: true }",
    ),
    fork("T1", "TripletLoss", TRIPLE),
    fork("T2", "TripletLoss", {name: array.reshape(3, 1, 3) for name, array in TRIPLE.items()}),
    fork("T3", "TripletLoss", {**TRIPLE, "w": Y}, "triplet_loss_param { margin: 2.5 }"),
    fork("T4", "TripletLoss", {"a": np.vstack([X, T, Z]), "y": np.array([3.0] * 4 + [1, 3, 0, 1, 1])}),
    fork("T5", "TripletLoss", {"a": np.vstack([X, T, Z, -X])}, "triplet_loss_param { num_triplets: 4 }"),
    fork("T6", "TripletLoss", {"a": np.vstack([X, T]), "y": np.array([[0.0, 1, 2], [3, 1, 0], [5, 4, 2]])}),
    fork("T7", "TripletLoss", {**TRIPLE, "y": Y}, "triplet_loss_param { alpha: 2.5 }"),
    fork("C1", "CenterLoss", LABELLED, "center_loss_param { num_output: 3 center_filler { value: 0.3 } }"),
    fork(
        "C2",
        "CenterLoss",
        LABELLED,
        'center_loss_param { num_output: 3 center_filler { value: 0.3 } distance_type: "L1" }',
    ),
    fork("happynear", "EuclideanLoss", {"a": X, "b": T, "w": W}),
    fork("MSRCCS", "EuclideanLoss", {"a": X, "b": T, "w": W}),
    fork(
        "happynear",
        "ContrastiveLoss",
        {"a": X, "b": T, "p": Y, "q": np.array([2.0, 1.0, 0.0])},
        "contrastive_loss_param { margin: 3 }",
    ),
    fork("hed", "SigmoidCrossEntropyLoss", {"x": X, "t0": BITS}),
    fork("rcf", "SigmoidCrossEntropyLoss", {"x": X, "t0": BITS}),
    fork(
        "segnet",
        "SoftmaxWithLoss",
        {"x": MAPS, "y": MAP_LABELS},
        "loss_param { ignore_label: 255 weight_by_label_freqs: true class_weighting: [0.5, -2, 3] }",
    ),
    fork("happynear", "SoftmaxWithLoss", {**LABELLED, "w": np.array([0.5, 2.0, -3.0])}, WEIGHING % ""),
    fork(
        "happynear", "SoftmaxWithLoss", {**LABELLED, "w": np.array([0.5, 2.0, 3.0])}, WEIGHING % 'normalize_type: "L2"'
    ),
    fork("W1", "WeightedSoftmaxWithLoss", LABELLED, "softmax_param { pos_mult: 3 pos_cid: 2 }"),
    fork(
        "W2",
        "WeightedSoftmaxWithLoss",
        {"x": MAPS, "y": MAP_LABELS},
        "loss_param { ignore_label: 255 } softmax_param { pos_mult: 3 pos_cid: 2 }",
    ),
    fork(
        "W3",
        "WeightedSoftmaxWithLoss",
        {"x": MAPS, "y": MAP_LABELS, "w": np.array([0.5, 2.0])},
        "loss_param { ignore_label: 255 }",
    ),
    fork("W4", "WeightedSoftmaxWithLoss", {"x": MAPS, "y": MAP_LABELS}, "loss_param { ignore_label: 255 }"),
    *(
        fork("jolibrain", "DiceCoefLoss", DICE, f"dice_coef_loss_param {{ {options} }}")
        for options in (
            "",
            "generalization: MULTICLASS ignore_label: 1",
            "generalization: MULTICLASS_WEIGHTED ignore_label: 0",
            "generalization: MULTICLASS_WEIGHTED_ALL weight_mode: EQUALIZE_CLASSES",
        )
    ),
    fork("xialuxi", "WingLoss", {"a": 4 * X, "b": T}, "wing_loss_param { w: 3 epsilon: 0.5 }"),
    fork("wqvbjhc", "WingLoss", {"a": 4 * X, "b": T}, "wing_loss_param { w: 3 epsilon: 0.5 }"),
    fork(
        "ctc",
        "CtcLoss",
        {"x": TIMES, "y": np.array([[1.0, 1.0], [2.0, 0.0]])},
        "ctc_loss_param { alphabet_size: 3 time_step: 4 }",
    ),
    fork("happynear", "LabelSpecificAdd", LABELLED, "label_specific_add_param { bias: -0.35 }"),
]
"""TYPE:FORM, the layer, its bottoms; those called a, b, c and x take a gradient."""

every_fork = pytest.mark.parametrize("fork", FORKS, ids=[f"{i}-{form}" for i, (form, _, _) in enumerate(FORKS)])


def dialect(name: str, true: bool = False) -> Dialect:
    kind, _, form = name.partition(":")
    return Dialect("documented", (), DEPARTURES if true else (), {kind: form})


@every_fork
def test_the_gradient_is_the_derivative_of_the_reported_total(fork: Fork) -> None:
    name, text, bottoms = fork
    net = run(text, bottoms, dialect=dialect(name, true=True))
    learning = [bottom for bottom in bottoms if bottom in "abcx"]
    assert any(net.blobs[bottom].diff.any() for bottom in learning)
    for bottom in learning:
        np.testing.assert_allclose(net.blobs[bottom].diff, complex_step(fork, bottom), rtol=1e-12, atol=1e-14)


def complex_step(fork: Fork, bottom: str) -> Any:
    name, text, bottoms = fork
    derivative = np.zeros(np.shape(bottoms[bottom]))
    for index in np.ndindex(*derivative.shape):
        net = net_of(text, bottoms, "complex128", dialect(name, true=True))
        net.blobs[bottom].data[index] += 1e-30j
        derivative[index] = net.forward().imag / 1e-30
    return derivative


def test_the_centres_diff_is_the_derivative_where_that_is_asked_for() -> None:
    name, text, bottoms = next(each for each in FORKS if each[0] == "CenterLoss:C1")
    net = run(text, bottoms, dialect=dialect(name, true=True))
    update = run(text, bottoms, dialect=dialect(name))
    difference = X - 0.3
    np.testing.assert_allclose(net.params["n"][0].diff[2], -2 * (difference[0] + difference[2]) / 3)
    np.testing.assert_allclose(update.params["n"][0].diff[2], -(difference[0] + difference[2]) / (1 + 2), rtol=1e-7)


def test_every_form_is_tried() -> None:
    mine = {name.partition(":")[0] for name, _, _ in FORKS}
    forms = {f"{kind}:{form.name}" for kind in mine for found in FORMS[kind] for form in found.forms}
    assert forms - {name for name, _, _ in FORKS} == {"L1Loss:flownet"}, "which refuses to run"


def test_flownet_s_loss_has_no_code_for_the_cpu() -> None:
    with pytest.raises(NetError, match="no code for the CPU"):
        run(layer("L1Loss", "", "a b"), {"a": X, "b": T}, dialect=dialect("L1Loss:flownet"))


def loss(name: str, text: str, bottoms: Mapping[str, Any]) -> float:
    return float(net_of(text, bottoms, dialect=dialect(name)).forward())


def test_forms_of_one_type_differ() -> None:
    weighted = layer("EuclideanLoss", "", "a b w")
    bottoms = {"a": X, "b": T, "w": W}
    assert loss("EuclideanLoss:happynear", weighted, bottoms) == pytest.approx(2 * ((W * (X - T)) ** 2).sum() / 6)
    assert loss("EuclideanLoss:MSRCCS", weighted, bottoms) == pytest.approx(2 * (W * (X - T) ** 2).sum() / 6)


def test_a_triplet_below_the_threshold_counts_and_has_no_gradient() -> None:
    text = layer("TripletLoss", "triplet_loss_param { margin: 5e-10 }", "a b c")
    for form, gradient in (("T1", 0.0), ("T2", 0.5)):
        net = run(
            text,
            {"a": X[:1], "b": T[:1], "c": T[:1, ::-1] * 0 + X[:1] + (X - T)[:1]},
            dialect=dialect(f"TripletLoss:{form}"),
        )
        assert float(net.blobs["t"].data) == pytest.approx(2.5e-10, rel=1e-6)
        assert bool(np.any(net.blobs["a"].diff)) is bool(gradient)


def test_a_batch_that_overruns_a_fork_s_buffers_is_refused_on_its_side() -> None:
    text = layer("TripletLoss", "", "a b c")
    for taken, refused in ((("triplet-buffers-sized-once",), True), ((), False)):
        net = net_of(text, {name: array[:2] for name, array in TRIPLE.items()}, dialect=Dialect("mine", taken))
        for name, array in TRIPLE.items():
            net.blobs[name].reshape(*array.shape)
            net.blobs[name].data[...] = array
        if refused:
            with pytest.raises(NetError, match="overruns the buffers"):
                net.forward()
        else:
            assert net.forward() == pytest.approx(loss("TripletLoss:T1", text, TRIPLE))


def test_an_annealed_margin_grows_with_every_forward_and_is_clamped() -> None:
    options = "label_specific_add_param { bias_base: -0.5 bias_gamma: 0.5 bias_min: -2 bias_max: 0.25 }"
    text = layer("LabelSpecificAdd", options, "x y", "z bias", "")
    net: Net = net_of(text, LABELLED)
    seen = []
    for _ in range(4):
        net.forward()
        seen.append(float(net.blobs["bias"].data[0]))
    assert seen == [-0.5, 0.0, 0.25, 0.25]


def test_ctc_counts_every_path() -> None:
    """Two times and one label: a blank before it, after it, or none."""
    x = np.log(np.array([[[0.5, 0.25, 0.25]], [[0.2, 0.7, 0.1]]]))
    text = layer("CtcLoss", "ctc_loss_param { alphabet_size: 3 time_step: 2 }", "x y", weight="")
    likely = 0.25 * 0.7 + 0.5 * 0.7 + 0.25 * 0.2
    assert loss("CtcLoss:ctc", text, {"x": x, "y": np.array([[1.0]])}) == pytest.approx(-np.log(likely), rel=1e-14)


def test_a_gradient_of_many_triplets_needs_no_square_of_them() -> None:
    x = np.random.default_rng(3).normal(size=(3 * 10_000, 2))
    text = layer("TripletLoss", "triplet_loss_param { num_triplets: 3 }", "a")
    net = run(text, {"a": x}, dialect=dialect("TripletLoss:T5"))
    a, p, n = x[0::3], x[1::3], x[2::3]
    active = 1 + ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) > 0
    np.testing.assert_allclose(net.blobs["a"].diff[0::3], 2 * (n - p) * active[:, None] / 10_000, rtol=1e-12)
