"""Losses of detection forks: every form's gradient is the derivative of its own loss once its departures are gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from refimpl.dialect import DEPARTURES, QUIRKS, Dialect
from refimpl.errors import NetError
from refimpl.layers import FORMS
from refimpl.net import Net
from tests.small_nets import layer, net_of

X = np.array([[1.0, -2.25, 3.0, 0.125], [0.5, -1.0, 0.25, 0.75]]).reshape(2, 2, 2, 1)
T = np.array([[0.25, -2.0, 0.5, 0.5], [1.0, 0.75, 0.125, -0.5]]).reshape(2, 2, 2, 1)
INSIDE = np.array([[0.5, 2.0, 1.0, 0.25], [1.5, 0.5, 3.0, 2.0]]).reshape(2, 2, 2, 1)
OUTSIDE = np.array([[1.0, 0.5, 2.0, 1.5], [0.5, 3.0, 1.0, 0.25]]).reshape(2, 2, 2, 1)
Y = np.array([[1.0, 0.0], [0.0, 1.0]]).reshape(2, 1, 2, 1)
BITS = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]).reshape(2, 2, 2, 1)
Inputs = Mapping[str, Any]

SMOOTH = {"x": X, "t": T}
WEIGHED = {**SMOOTH, "u": INSIDE}
TWICE = {**WEIGHED, "v": OUTSIDE}
SIGNED = {**WEIGHED, "v": OUTSIDE * np.where(OUTSIDE > 1, -1, 1)}
SIGMA = "smooth_l1_loss_param { sigma: 1.5 }"
CASES: dict[str, tuple[str, str, str, Inputs]] = {
    f"{kind} {form} {name}": (kind, form, options, inputs)
    for kind, form, name, options, inputs in [
        ("SmoothL1Loss", "ssd", "", "", SMOOTH),
        ("SmoothL1Loss", "ssd-three-bottoms", "", "", WEIGHED),
        ("SmoothL1Loss", "yuqj1991", "", "", {**SMOOTH, "u": OUTSIDE}),
        ("SmoothL1Loss", "yuqj1991", "signed", "", {**SMOOTH, "u": SIGNED["v"]}),
        ("SmoothL1Loss", "synopsys", "", SIGMA, SMOOTH),
        ("SmoothL1Loss", "synopsys", "three", SIGMA, WEIGHED),
        ("SmoothL1Loss", "synopsys", "four", "", TWICE),
        ("SmoothL1Loss", "synopsys", "signed", "", SIGNED),
        ("SmoothL1Loss", "synopsys", "sum", "smooth_l1_loss_param { abssum: false }", SIGNED),
        ("SmoothL1Loss", "jolibrain", "", SIGMA, TWICE),
        ("SmoothL1Loss", "girshick", "", SIGMA, SIGNED),
        ("SmoothL1Loss", "cascade", "", SIGMA, SIGNED),
        ("SmoothL1Loss", "rfcn", "", "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 3 }", WEIGHED),
        ("SmoothL1Loss", "caffemex", "", "", WEIGHED),
        ("SmoothL1Loss", "happynear", "", "", WEIGHED),
        ("SmoothL1Loss", "happynear", "turned", "smoothl1_param { turn_point: 0.7 }", WEIGHED),
        ("SmoothL1Loss", "deepcut", "", "", WEIGHED),
        ("SmoothL1LossOHEM", "intel", "", "", WEIGHED),
        (
            "SmoothL1LossOHEM",
            "intel",
            "fixed",
            "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 3 }",
            SMOOTH,
        ),
        ("SoftmaxWithLossOHEM", "intel", "", "loss_param { ignore_label: 1 }", {"x": X, "y": Y}),
        ("FocalLoss", "F1", "", "focal_loss_param { gamma: 1.5 alpha: 0.75 }", {"x": X, "y": Y}),
        ("FocalLoss", "F2", "", "focal_loss_param { gamma: 1.5 alpha: 0.75 }", {"x": X, "y": Y}),
        ("FocalLoss", "F3", "", "focal_loss_param { gamma: 1.5 alpha: 1.75 }", {"x": X, "y": Y}),
        ("FocalLoss", "F3", "adding", "focal_loss_param { type: ONEADDP alpha: 0.75 }", {"x": X, "y": Y}),
        ("FocalLoss", "F5", "", "focal_loss_param { alpha: 0.5 alpha: 2 alpha_balance: true }", {"x": X, "y": Y}),
        ("FocalLoss", "F4", "", "loss_param { ignore_label: 1 }", {"x": X, "t": BITS}),
        ("FocalLoss", "F4-gpu", "", "focal_loss_param { gamma: 1.5 }", {"x": X, "t": BITS}),
        ("FocalLoss", "F6", "", "focal_loss_param { gamma: 1.5 }", {"x": X, "t": BITS}),
    ]
}
STEP = 2.0**-20


def net(kind: str, form: str, options: str, inputs: Inputs, **dialect: Any) -> Net:
    """One layer over its inputs, with weight 2.5."""
    text = layer(kind, options, " ".join(inputs), "loss", "loss_weight: 2.5")
    return net_of(text, inputs, dialect=Dialect("fork", forms={kind: form}, **dialect))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("taken", [(), tuple(QUIRKS)], ids=["documented", "as it is"])
def test_without_its_departures_a_gradient_is_the_derivative(case: tuple[str, str, str, Inputs], taken: Any) -> None:
    kind, form, options, inputs = case
    found = net(kind, form, options, inputs, taken=taken, true_derivatives=DEPARTURES)
    found.forward()
    found.backward()
    gradient = found.blobs["x"].diff.ravel()
    for i in range(X.size):
        totals = []
        for step in (STEP, -STEP):
            moved = X.copy()
            moved.ravel()[i] += step
            totals.append(net(kind, form, options, {**inputs, "x": moved}, taken=taken).forward())
        assert gradient[i] == pytest.approx((totals[0] - totals[1]) / (2 * STEP), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("form", [form.name for found in FORMS["SmoothL1Loss"] for form in found.forms])
def test_weights_that_a_form_forgets_are_a_departure_of_its_own(form: str) -> None:
    (switches,) = (each.switches for found in FORMS["SmoothL1Loss"] for each in found.forms if each.name == form)
    inputs = dict(list(TWICE.items())[: max(switches["bottoms"])])
    found = net("SmoothL1Loss", form, "", inputs)
    found.forward()
    found.backward()
    assert all(name.startswith(form) for name in found.dialect.departed)
    assert bool(found.dialect.departed) == (bool(switches.get("forgets")) or form == "synopsys")


def test_a_second_backward_takes_the_slope_of_the_slope_where_sigma_is_not_1() -> None:
    found = net("SmoothL1Loss", "synopsys", SIGMA, SMOOTH, taken=QUIRKS)
    found.forward()
    found.backward()
    once = found.blobs["x"].diff.copy()
    found.backward()
    assert not np.array_equal(found.blobs["x"].diff, once)
    assert "smooth-l1-backward-overwrites" in found.dialect.touched


@pytest.mark.parametrize(("form", "options", "bottoms"), [("ssd", "", 3), ("jolibrain", "", 3), ("deepcut", "", 2)])
def test_a_form_says_how_many_bottoms_it_takes(form: str, options: str, bottoms: int) -> None:
    with pytest.raises(NetError, match="bottom"):
        net("SmoothL1Loss", form, options, dict(list(TWICE.items())[:bottoms]))


def test_an_ignored_position_shuts_out_the_last_one_in_intels_scratch() -> None:
    inputs = {"x": X, "y": Y}
    ignoring = "loss_param { ignore_label: 1 normalization: NONE }"
    right = net("SoftmaxWithLossOHEM", "intel", ignoring, inputs).forward()
    scratch = net("SoftmaxWithLossOHEM", "intel", ignoring, inputs, taken=QUIRKS).forward()
    logits = np.moveaxis(X, 1, -1).reshape(-1, 2)
    losses = -np.log(np.exp(logits[:, 0]) / np.exp(logits).sum(1))
    assert right == pytest.approx(2.5 * (losses[1] + losses[2]))
    assert scratch == pytest.approx(2.5 * losses[1])


def test_focal_loss_with_gamma_0_and_alpha_1_is_the_softmax_loss() -> None:
    inputs = {"x": X, "y": Y}
    focal = net("FocalLoss", "F1", "focal_loss_param { gamma: 0 alpha: 1 }", inputs)
    plain = net_of(layer("SoftmaxWithLoss", "", "x y", "loss", "loss_weight: 2.5"), inputs)
    assert focal.forward() == pytest.approx(plain.forward(), rel=1e-15)
    focal.backward()
    plain.backward()
    np.testing.assert_allclose(focal.blobs["x"].diff, plain.blobs["x"].diff, rtol=1e-14)
