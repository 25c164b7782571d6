"""Losses that are sums over entries: the kernels that are made of their formulas, for both targets."""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from refimpl import Dialect, Net, NetError, fast
from refimpl.fast.cpu.kernel import DONE, attempt
from refimpl.fast.cuda.device import using
from refimpl.fast.cuda.losses import losses, module
from refimpl.fast.cuda.pointwise import module_of
from refimpl.fast.cuda.simulator import Simulator
from refimpl.fast.layers import KERNELS, LAYERS, of_forms
from refimpl.fast.parameters import Parameters
from tests import fast_formulas as formulas
from tests import huber_loss as huber

Array = NDArray[Any]
MADE = {stem: importlib.import_module(f"refimpl.fast.cpu.{stem}") for stem in fast.__all__}
FORMULAS = {stem: module.FORMULA for stem, module in MADE.items() if hasattr(module, "FORMULA")}
"""The losses whose kernels for a GPU are made of a formula."""

TRIALS: dict[str, tuple[dict[str, Any], ...]] = {
    "euclidean_loss": ({},),
    "l1_loss": ({},),
    "sigmoid_cross_entropy_loss": ({}, {"ignore_label": 1, "normalization": "VALID"}),
    "sigmoid_focal_loss": (
        {},
        {"alpha": 0.625, "gamma": 1.5, "ignore_label": 1, "normalization": "VALID"},
        {"gamma": 0.0, "one_alpha": True, "normalization": "FULL"},
    ),
    "smooth_l1_loss": ({}, {"sigma": 3.0, "abssum": False}, {"sigma": 0.5}),
    "weighted_euclidean_loss": ({}, {"weight_squared": False}),
    "wing_loss": ({}, {"w": 1.5, "epsilon": 0.5, "sign_of_0": 0.0}),
}
every_loss = pytest.mark.parametrize("stem", TRIALS)


def inputs_of(stem: str, shape: tuple[int, ...], dtype: Any, weights: int) -> list[Array]:
    """Numbers on both sides of every kink, some of them equal; targets of which some are 0, some 1."""
    rng = np.random.default_rng(len(stem))
    x = (2 * rng.standard_normal(shape)).astype(dtype)
    t = (2 * rng.standard_normal(shape)).astype(dtype)
    if FORMULAS[stem].counts:
        t = rng.choice([0, 1, 1, 0.25, 1.75, -1], shape).astype(dtype)
    else:
        t.reshape(-1)[::3] = x.reshape(-1)[::3]
    return [x, t, *(rng.choice([0.25, -1.5, 2, 0], shape).astype(dtype) for _ in range(weights))]


def test_every_formula_is_tried() -> None:
    assert set(TRIALS) == set(FORMULAS)
    assert set(losses()) == set(fast.__all__)


@pytest.mark.parametrize("stem", [stem for stem in TRIALS if hasattr(MADE[stem], "_loss")])
def test_a_cpu_computes_what_the_definition_says(stem: str) -> None:
    """In one call, and by threads; all options, with and without weights: two or three kernels of each loss."""
    function, formula = getattr(fast, stem), FORMULAS[stem]
    for shape, dtype, every in (
        ((5, 3, 2), np.float32, {0, len(formula.weights)}),
        ((150, 700), np.float64, {len(formula.weights)}),
    ):
        for weights, options in itertools.product(every, TRIALS[stem]):
            arrays = inputs_of(stem, shape, dtype, weights)
            want, gradient = getattr(formulas, stem.removesuffix("_loss"))(*arrays, **options)
            outs = {name: np.full_like(arrays[0], np.nan) for name in formula.outputs}
            loss = function(*arrays, **options, top_diff=-1.5, **outs)
            assert loss == pytest.approx(want, rel=1e-12)
            close(outs, gradient, 8 * float(np.finfo(dtype).eps))
            if dtype is np.float64:
                assert function(*arrays, **options, threads=2) == loss
                again = {name: np.full_like(arrays[0], np.nan) for name in formula.outputs}
                MADE[stem].backward(*arrays, **options, top_diff=-1.5, **again, threads=1)
                assert all((again[name] == outs[name]).all() for name in again)


def close(outs: dict[str, Array], gradient: Array, most: float) -> None:
    """Whether the outputs are -1.5 times the gradient, and that with the opposite sign."""
    for out, sign in zip(outs.values(), (1, -1), strict=False):
        want = -1.5 * sign * gradient
        np.testing.assert_allclose(out, want, rtol=most, atol=most * np.abs(want).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_loss
def test_a_gpu_computes_it_too(stem: str, dtype: Any) -> None:
    formula = FORMULAS[stem]
    orders = itertools.cycle(["forward", "reverse", "shuffled"])
    for order, weights, options in zip(
        orders, itertools.cycle([len(formula.weights), 0]), (*TRIALS[stem], TRIALS[stem][0]), strict=False
    ):
        arrays = inputs_of(stem, (3, 230), dtype, weights)
        want, gradient = getattr(formulas, stem.removesuffix("_loss"))(*arrays, **options)
        outs = {name: np.full_like(arrays[0], np.nan) for name in formula.outputs}
        with using(Simulator(order)):
            loss = getattr(module(stem), stem)(*arrays, **options, top_diff=-1.5, **outs)
        unit = float(np.finfo(dtype).eps)
        assert loss == pytest.approx(want, rel=700 * unit)
        close(outs, gradient, 16 * unit)


def test_a_nan_or_an_infinity_spoils_its_own_entry_only() -> None:
    x, t = np.float32([[np.nan, np.inf, 3, -np.inf]]), np.zeros((1, 4), np.float32)
    out, other = np.empty_like(x), np.empty_like(x)
    for loss in (fast.l1_loss, fast.smooth_l1_loss):
        assert np.isnan(loss(x, t, out_a=out, out_b=other))
        assert out.tolist() == [[0, 1, 1, -1]]
    assert np.isnan(fast.wing_loss(x, t, w=2.0, out=out))
    assert np.isnan(out[0, 0]) and out[0, 1:].tolist() == [1, 1, -1]
    x[0, 0] = 0
    assert fast.wing_loss(x, t, out=out) == np.inf


def test_weights_may_lie_anyhow_and_must_be_one_for_every_entry() -> None:
    x, t, u, v = inputs_of("smooth_l1_loss", (4, 6), np.float32, 2)
    outs = {"out_a": np.empty_like(x), "out_b": np.empty_like(x)}
    want = fast.smooth_l1_loss(x, t, u, v, **outs)
    quick, settings = MADE["smooth_l1_loss"]._loss.kernels.quick, FORMULAS["smooth_l1_loss"].settings(1.0, True)
    assert attempt(quick, x, t, *outs.values(), u, v, settings, (), 1.0) == (want, DONE)  # as they are, in one call
    for other in (u.reshape(2, 12), np.asfortranarray(u), u.astype(u.dtype.newbyteorder())):
        assert fast.smooth_l1_loss(x, t, other, v, **outs) == want
    for wrong in (u[:3], np.tile(u, 2)):
        with pytest.raises(
            ValueError, match=r"^u has \d+ entries .* for an input of shape \(4, 6\): give one for every"
        ):
            fast.smooth_l1_loss(x, t, wrong)
        with using(Simulator()), pytest.raises(ValueError, match=r"^u has \d+ entries"):
            module("smooth_l1_loss").smooth_l1_loss(x, t, wrong)
    with pytest.raises(TypeError, match="v has dtype float64: give it the dtype of the first input, float32"):
        fast.smooth_l1_loss(x, t, u, v.astype(np.float64))
    with pytest.raises(ValueError, match="gamma is -1: give 0 or more"):
        fast.sigmoid_focal_loss(x, t, gamma=-1)
    with pytest.raises(ValueError, match="normalization is 'MEAN'"):
        fast.sigmoid_focal_loss(x, t, normalization="MEAN")


def test_a_loss_of_ones_own_takes_one_file() -> None:
    x, t, _ = inputs_of("l1_loss", (3, 70), np.float32, 1)
    d = x.astype(float) - t
    want = np.where(np.abs(d) < 2, d * d / 2, 2 * np.abs(d) - 2).sum() / 3
    out, simulated = np.empty_like(x), np.empty_like(x)
    assert huber.huber_loss(x, t, delta=2, out=out) == pytest.approx(want, rel=1e-12)
    np.testing.assert_allclose(out, np.clip(d, -2, 2) / 3, rtol=1e-6)
    made = module_of(huber)
    with using(Simulator()):
        assert made.huber_loss(x, t, delta=2, out=simulated) == pytest.approx(want, rel=1e-6)
    np.testing.assert_allclose(simulated, out, rtol=1e-6)
    assert made.sum_losses.name == "huber_loss.sum_losses"
    assert Parameters.of(made.huber_loss).options == ("delta",)
    kept = Path(huber._loss.kernels.quick._cache.cache_path)
    assert not list(kept.glob("tests.*"))  # whose sources do not name the folder


KEPT = """
from refimpl.fast.cpu import l1_loss as module
import numpy as np
print(module.l1_loss(np.ones((2, 3)), np.zeros((2, 3))))
kernel = module._loss.kernels.quick
print(sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))
"""


def test_a_second_process_finds_what_the_first_compiled(tmp_path: Path) -> None:
    """Two processes, of which one compiles for some seconds: what a closure is called in the cache shows in no other
    way."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for hits, misses in ((0, 1), (1, 0)):
        ran = subprocess.run([sys.executable, "-c", KEPT], env=environment, capture_output=True, text=True, check=True)
        assert ran.stdout.split() == ["3.0", str(hits), str(misses)]
    assert [path.name.rpartition("-")[0] for path in tmp_path.glob("*/*/*")] == ["refimpl.fast.cpu.l1_loss.quick"]


def net_of(kind: str, form: str, layers: Any, options: str = "", loss_weight: str = "loss_weight: 1") -> Net:
    text = "force_backward: true\n" + "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ dim: 1 dim: 3 }} }} }}\n'
        for name in "xt"
    )
    text += f'layer {{ name: "loss" type: "{kind}" bottom: "x" bottom: "t" top: "loss" {loss_weight} {options} }}'
    return Net(text, dialect=Dialect("documented", forms={kind: form}), layers=layers)


@pytest.mark.parametrize(("form", "slope"), [("xialuxi", -5.0), ("wqvbjhc", 0.0)])
def test_a_kernel_computes_every_form_that_its_formula_covers(form: str, slope: float) -> None:
    net = net_of("WingLoss", form, LAYERS)
    net.forward()
    net.backward()
    assert net.blobs["x"].diff.tolist() == [[slope] * 3]
    assert type(net.layers[-1].layer).__mro__[1].__name__ == "KernelLayer"


def test_what_another_fork_means_by_a_type_is_not_computed() -> None:
    with pytest.raises(NetError, match="these kernels do not compute what girshick means by SmoothL1Loss"):
        net_of("SmoothL1Loss", "girshick", LAYERS)
    with pytest.raises(NetError, match="do not compute what hed means by SigmoidCrossEntropyLoss"):
        net_of("SigmoidCrossEntropyLoss", "hed", LAYERS)
    for kind, form in (("SmoothL1Loss", "girshick"), ("SigmoidCrossEntropyLoss", "hed")):
        assert kind not in of_forms(KERNELS, {kind: form})
    weighted = of_forms(KERNELS, {"EuclideanLoss": "MSRCCS"})["EuclideanLoss"]
    assert weighted.__name__ == "WeightedEuclideanLoss"
