"""MultiBoxLoss: its gradients are derivatives where the matches stay, and what forks do besides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refimpl.dialect import DEPARTURES, QUIRKS, Dialect
from refimpl.errors import NetError
from refimpl.layers.boxes import decode, encode, match, overlap
from refimpl.layers.multibox_loss import KEEPS
from refimpl.net import Net
from tests.small_nets import blob, layer

F = np.float32
PRIORS = np.array([[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.75], [0.5, 0.5, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0]])
TRUTHS = np.array(
    [[0.0, 1, 0, 0.0, 0.0625, 0.5, 0.5, 0], [1.0, 2, 0, 0.5, 0.5, 0.9375, 1.0, 0], [-1.0, 0, 0, 0, 0, 0, 0, 0]]
)
VARIANCES = np.tile([0.125, 0.125, 0.25, 0.25], (4, 1))
RNG = np.random.default_rng(4)
INPUTS = {
    "loc": RNG.integers(-64, 65, (2, 16)) / 64,
    "conf": RNG.integers(-64, 65, (2, 12)) / 32,
    "prior": np.stack([PRIORS, VARIANCES]).reshape(1, 2, 16),
    "gt": TRUTHS.reshape(1, 1, 3, 8),
}
ARM = {"aconf": RNG.integers(1, 64, (2, 8)) / 64, "aloc": RNG.integers(-16, 17, (2, 16)) / 64}
SCALED = "scale_param { axis: 0 num_axes: 0 }"


def net(options: str, form: str = "ssd", inputs: Any = INPUTS, **dialect: Any) -> Net:
    text = "".join(blob(name, array.shape) for name, array in inputs.items())
    for name in ("loc", "conf"):
        text += f'layer {{ name: "sc_{name}" type: "Scale" bottom: "{name}" top: "s{name}" {SCALED} }}\n'
    bottoms = " ".join(["sloc", "sconf", *list(inputs)[2:]])
    text += layer("MultiBoxLoss", f"multibox_loss_param {{ num_classes: 3 {options} }}", bottoms, "loss")
    made = Net(text, dialect=Dialect("fork", forms={"MultiBoxLoss": form}, **dialect))
    for name, array in inputs.items():
        made.blobs[name].data[...] = array
    for name in ("sc_loc", "sc_conf"):
        made.params[name][0].data[...] = 1.0
    return made


OPTIONS = [
    "code_type: CENTER_SIZE",
    "code_type: CORNER loc_loss_type: L2",
    "code_type: CORNER_SIZE encode_variance_in_target: true loc_weight: 2",
    "mining_type: NONE",
    "mining_type: NONE conf_loss_type: LOGISTIC",
    "conf_loss_type: LOGISTIC background_label_id: 0",
    "mining_type: NONE share_location: false match_type: BIPARTITE",
]


@pytest.mark.parametrize("options", OPTIONS)
def test_without_its_departures_the_gradient_is_the_derivative(options: str) -> None:
    inputs = dict(INPUTS)
    if "share_location: false" in options:
        inputs["loc"] = np.tile(INPUTS["loc"], (1, 3))
    found = net(options, inputs=inputs, true_derivatives=DEPARTURES)
    found.forward()
    found.backward()
    for name, step in (("loc", 2.0**-12), ("conf", 2.0**-16)):
        got = found.blobs[f"s{name}"].diff.ravel()
        assert got.any()
        for i in range(got.size):
            totals = []
            for side in (step, -step):
                moved = inputs[name].copy()
                moved.ravel()[i] += side
                totals.append(net(options, inputs={**inputs, name: moved}).forward())
            assert got[i] == pytest.approx((totals[0] - totals[1]) / (2 * step), rel=1e-5, abs=1e-5)


def test_with_variances_in_the_targets_the_fork_leaves_them_out_of_the_gradient() -> None:
    options = "code_type: CENTER_SIZE loc_loss_type: L2 encode_variance_in_target: true"
    as_it_is, derived = net(options), net(options, true_derivatives=DEPARTURES)
    for found in (as_it_is, derived):
        found.forward()
        found.backward()
    got, want = as_it_is.blobs["sloc"].diff, derived.blobs["sloc"].diff
    assert {float(x) for x in want[got != 0] / got[got != 0]} == {8.0, 4.0}
    assert "multibox-variance-missing" in as_it_is.dialect.departed


def test_later_images_targets_land_in_those_of_the_first_without_mining() -> None:
    options = "mining_type: NONE conf_loss_type: LOGISTIC"
    right, shifted = net(options), net(options, taken=QUIRKS)
    assert right.forward() != shifted.forward()
    assert "multibox-logistic-targets-shifted" in shifted.dialect.touched


def test_earlier_locations_move_the_priors_and_scores_keep_negatives_away() -> None:
    four, six = (
        net("code_type: CENTER_SIZE", "refinedet"),
        net("code_type: CENTER_SIZE", "refinedet", {**INPUTS, **ARM}),
    )
    assert four.forward() != six.forward()
    sure = {**INPUTS, "aconf": np.zeros((2, 8))}
    nothing = net("code_type: CENTER_SIZE objectness_score: 0.5", "refinedet", sure)
    nothing.forward()
    assert [image.negatives for image in nothing.layers[-1].layer.images.values()] == [[], []]


@pytest.mark.parametrize("image", [np.inf, -np.inf, np.nan])
def test_a_box_of_no_image_is_refused(image: float) -> None:
    truths = INPUTS["gt"].copy()
    truths[0, 0, 1, 0] = image
    with pytest.raises(NetError, match="a box is of image"):
        net(OPTIONS[0], inputs={**INPUTS, "gt": truths}).forward()


def test_the_background_in_the_ground_truth_is_refused() -> None:
    inputs = {**INPUTS, "gt": INPUTS["gt"] * np.array([1.0, 0, 1, 1, 1, 1, 1, 1])}
    with pytest.raises(NetError, match="background") as refusal:
        net("", inputs=inputs).forward()
    assert refusal.value.stage == "forward"


@pytest.mark.parametrize("code", ["CORNER", "CENTER_SIZE", "CORNER_SIZE"])
@pytest.mark.parametrize("in_target", [False, True])
def test_what_is_encoded_is_decoded(code: str, in_target: bool) -> None:
    prior, box, variance = (np.array(x, F) for x in ([0.1, 0.2, 0.6, 0.8], [0.2, 0.1, 0.5, 0.9], VARIANCES[0]))
    there = encode(prior, variance, code, in_target, box)
    np.testing.assert_allclose(decode(prior, variance, code, in_target, there), box, atol=1e-6)
    assert there.dtype == F


def test_the_best_pairs_are_matched_first_and_each_truth_once() -> None:
    boxes = [np.array(box, F) for box in PRIORS]
    truths = [boxes[0], np.array([0.0, 0.0, 0.5, 0.5625], F)]
    found, best = match(truths, boxes, [0, 1], False, 0.5, False)
    assert found == [0, 1, -1, -1]
    assert best[0] == overlap(boxes[0], truths[0]) == 1
    found, _ = match(truths, boxes, [0, 1], True, 0.125, False)
    assert found == [0, 1, -1, -1]


@pytest.mark.parametrize("options", ["mining_type: NONE", "mining_type: MAX_NEGATIVE"])
def test_a_match_that_was_kept_may_be_with_a_box_that_is_gone(options: str) -> None:
    """EncodeLocPrediction checks that it is there; where each forward matches anew there is no such match."""
    second = [0.0, 2, 0, 0.5, 0.5, 0.9375, 1.0, 0]
    two = np.array([TRUTHS[0], second, TRUTHS[1]]).reshape(1, 1, 3, 8)
    for keeps in (True, False):
        made = net(options, inputs={**INPUTS, "gt": two}, taken=[KEEPS] * keeps)
        made.forward()
        made.blobs["gt"].data[...] = INPUTS["gt"]
        if keeps:
            with pytest.raises(NetError, match="a match that was kept is with a box that is gone"):
                made.forward()
        else:
            made.forward()
