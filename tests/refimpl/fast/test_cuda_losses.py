"""The CUDA layers on the simulator: the plain formulas, whatever the layout, the parameters, the order of threads."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from refimpl.fast.cuda.device import using
from refimpl.fast.cuda.kernel import kernels
from refimpl.fast.cuda.losses import losses
from refimpl.fast.cuda.losses import module as module_of
from refimpl.fast.cuda.simulator import Simulator
from tests import fast_formulas

Array = NDArray[Any]
MODES = ("VALID", "FULL", "BATCH_SIZE", "NONE")
DTYPES = (np.float32, np.float64)
WEIGHT = -1.5
ORDERS = (("forward", 0), ("reverse", 0), ("shuffled", 1))


@pytest.fixture(params=ORDERS, ids=lambda order: order[0])
def device(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with using(Simulator(*request.param)) as chosen:
        assert isinstance(chosen, Simulator)
        yield chosen


def of(layer: str) -> Any:
    return importlib.import_module(f"refimpl.fast.cuda.{layer}")


def close(got: Any, want: Any, dtype: Any, terms: int = 1) -> bool:
    """To some units in the last place of the largest entry; the suite on the simulator has sharper bounds."""
    unit = float(np.finfo(dtype).eps)
    return bool(np.allclose(got, want, rtol=16 * unit, atol=(8 + terms) * unit * np.abs(want).max(initial=1e-30)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "axis", "ignore"),
    [
        ((37, 1), 1, None),
        ((9, 10), 1, 3),
        ((3, 33), 1, None),
        ((2, 200), 1, 7),
        ((2, 5, 3, 7), 1, 0),
        ((2, 3, 40), -1, 2),
        ((4, 3, 2), 0, None),
    ],
)
def test_losses_of_logits(shape: tuple[int, ...], axis: int, ignore: int | None, dtype: Any, device: Simulator) -> None:
    rng = np.random.default_rng(3)
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    classes, positions = shape[axis], tuple(np.delete(shape, axis))
    labels = rng.integers(0, classes, positions)
    if ignore is not None:
        labels.reshape(-1)[1] = ignore
    mode = MODES[len(shape)] if len(shape) < 4 else "VALID"
    options = {"axis": axis, "ignore_label": ignore, "normalization": mode}
    out, prob = np.empty_like(x), np.empty_like(x)
    loss = of("softmax_with_loss").softmax_with_loss(x, labels, **options, top_diff=WEIGHT, out=out, prob=prob)
    want, gradient, softmax = fast_formulas.softmax(x, labels, axis, ignore, mode)
    assert close(loss, want, dtype, x.size)
    assert close(out, WEIGHT * gradient, dtype, classes)
    assert close(prob, softmax, dtype, classes)
    again = np.empty_like(x)
    of("softmax_with_loss").backward(prob, labels, **options, top_diff=WEIGHT, out=again)
    assert (again == out).all()

    matrix = rng.standard_normal((classes, classes)).astype(dtype)
    loss = of("infogain_loss").infogain_loss(x, labels, matrix, **options, top_diff=WEIGHT, out=out, prob=prob)
    want, gradient, softmax = fast_formulas.infogain(x, labels, matrix, axis, ignore, mode)
    assert close(loss, want, dtype, x.size * classes)
    assert close(out, WEIGHT * gradient, dtype, 2 * classes)
    assert close(prob, softmax, dtype, classes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_sigmoid_cross_entropy(mode: str, dtype: Any, device: Simulator) -> None:
    rng = np.random.default_rng(4)
    x = (4 * rng.standard_normal((3, 350))).astype(dtype)
    t = rng.choice([-1.5, 0, 0.25, 1, 2], x.shape).astype(dtype)
    out = np.empty_like(x)
    function = of("sigmoid_cross_entropy_loss").sigmoid_cross_entropy_loss
    loss = function(x, t, ignore_label=-1, normalization=mode, top_diff=WEIGHT, out=out)
    want, gradient = fast_formulas.sigmoid_cross_entropy(x, t, -1, mode)
    assert close(loss, want, dtype, x.size)
    assert close(out, WEIGHT * gradient, dtype)
    assert (out[np.trunc(t) == -1] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 2, 3), (7, 170), (70, 3)])
def test_losses_of_samples(shape: tuple[int, ...], dtype: Any, device: Simulator) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, *shape)).astype(dtype)
    labels = rng.integers(0, a[0].size, shape[0])
    out, other = np.empty_like(a), np.empty_like(a)

    loss = of("euclidean_loss").euclidean_loss(a, b, top_diff=WEIGHT, out_a=out, out_b=other)
    want, gradient = fast_formulas.euclidean(a, b)
    assert close(loss, want, dtype, a.size)
    assert close(out, WEIGHT * gradient, dtype)
    assert (other == -out).all()

    for norm in ("L1", "L2"):
        loss = of("hinge_loss").hinge_loss(a, labels, norm=norm, top_diff=WEIGHT, out=out)
        want, gradient = fast_formulas.hinge(a, labels, norm)
        assert close(loss, want, dtype, a.size)
        assert close(out, WEIGHT * gradient, dtype)

    p = np.abs(a)
    loss = of("multinomial_logistic_loss").multinomial_logistic_loss(p, labels, top_diff=WEIGHT, out=out)
    want, gradient = fast_formulas.multinomial(p, labels)
    assert close(loss, want, dtype, len(p))
    assert close(out, WEIGHT * gradient, dtype)

    for legacy in (False, True):
        settings: dict[str, Any] = {"margin": 20.0, "legacy_version": legacy}
        similar = (labels % 2).astype(dtype)
        loss = of("contrastive_loss").contrastive_loss(
            a, b, similar, **settings, top_diff=WEIGHT, out_a=out, out_b=other
        )
        want, gradient = fast_formulas.contrastive(a, b, similar != 0, 20.0, legacy)
        assert close(loss, want, dtype, a.size)
        assert close(out, WEIGHT * gradient, dtype, a.size)
        assert (other == -out).all()


def test_gradients_of_a_pair_have_the_shapes_of_their_inputs() -> None:
    a, b = np.ones((2, 3)), np.zeros((2, 3, 1, 1))
    out_a, out_b = np.empty_like(a), np.empty_like(b)
    with using(Simulator()):
        of("euclidean_loss").euclidean_loss(a, b, out_a=out_a, out_b=out_b)
        assert (out_a == 0.5).all() and (out_b == -0.5).all()
        of("contrastive_loss").backward(a, b, np.ones(2), top_diff=2.0, out_a=out_a, out_b=out_b)
        assert (out_a == 1).all() and (out_b == -1).all()


def test_no_bit_depends_on_the_order_of_threads() -> None:
    rng = np.random.default_rng(6)
    x = rng.standard_normal((100, 40)).astype(np.float32)
    labels = rng.integers(0, 40, 100)
    found = []
    for order in ORDERS:
        out = np.empty_like(x)
        with using(Simulator(*order)):
            loss = of("softmax_with_loss").softmax_with_loss(x, labels, ignore_label=3, out=out)
        found.append((np.float64(loss).tobytes(), out.tobytes()))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_position_is_spoiled_by_its_own_numbers_only(dtype: Any) -> None:
    x = np.zeros((3, 4), dtype)
    x[0, 1], x[2, 0] = np.nan, np.inf
    out = np.empty_like(x)
    with using(Simulator()):
        loss = of("softmax_with_loss").softmax_with_loss(x, [0, 1, 9], ignore_label=9, out=out)
    assert loss is not None
    assert np.isnan(loss)
    assert np.isnan(out[0]).all()
    assert (out[1] == np.array([0.25, -0.75, 0.25, 0.25]) / 2).all()
    assert (out[2] == 0).all()


@pytest.mark.parametrize("layer", ["softmax_with_loss", "infogain_loss", "hinge_loss", "multinomial_logistic_loss"])
@pytest.mark.parametrize("wrong", [-1, 3, 1e30, np.nan])
def test_a_label_that_is_no_class_is_named_and_nothing_is_read_out_of_bounds(layer: str, wrong: float) -> None:
    x = np.full((4, 3), 0.25, np.float32)
    labels = np.array([0, 1, wrong, 2], np.float32)
    extra = (np.eye(3, dtype=np.float32),) if layer == "infogain_loss" else ()
    out = np.empty_like(x)
    with using(Simulator()):
        with pytest.raises(ValueError, match=r"^label \S+ at \(2,\) is outside 0\.\.2: labels are class indices"):
            getattr(of(layer), layer)(x, labels, *extra, out=out)
        with pytest.raises(ValueError, match=r"^label \S+ at \(2,\) is outside 0\.\.2: labels are class indices"):
            of(layer).backward(x, labels, *extra, top_diff=1.0, out=out)


def test_kernels_allocate_the_shared_memory_they_declare() -> None:
    class Watching(Simulator):
        def launch(self, kernel: Any, blocks: int, *arguments: Any) -> None:
            super().launch(kernel, blocks, *arguments)
            held = sum(memory.cells.nbytes for memory in self._cuda._block.shared.values())
            seen[kernel.name] = held, kernel.shared(name)

    rng = np.random.default_rng(8)
    for dtype in DTYPES:
        name, seen = np.dtype(dtype).name, dict[str, tuple[int, int]]()
        x, y = rng.standard_normal((2, 3, 4)).astype(dtype)
        labels, out, p = np.array([0, 1, 2]), np.empty((3, 4), dtype), np.abs(x)
        with using(Watching()):
            of("softmax_with_loss").softmax_with_loss(x, labels, ignore_label=1, out=out)
            of("infogain_loss").infogain_loss(x, labels, np.eye(4, dtype=dtype), out=out)
            for stem in losses():
                if hasattr(module := importlib.import_module(f"refimpl.fast.cpu.{stem}"), "FORMULA"):
                    getattr(module_of(stem), stem)(x, y, **{module.FORMULA.outputs[0]: out})
            of("contrastive_loss").contrastive_loss(x, y, labels, out_a=out)
            of("hinge_loss").hinge_loss(x, labels, out=out)
            of("multinomial_logistic_loss").multinomial_logistic_loss(p, labels, out=out)
            of("softmax").backward(p, y, out=out)
        assert seen.keys() == {kernel.name for kernel in kernels()}
        assert all(held == declared for held, declared in seen.values()), seen
