"""The reference against Caffe written a second time (`tests.plain_caffe`), on drawn nets."""

from __future__ import annotations

import pytest

from refimpl.layers.inner_product import InnerProduct
from refimpl.layers.scale import Scale
from tests.plain_caffe.comparison import compared

SEEDS = [f"tests/{number}" for number in range(300)]


def test_drawn_nets_agree() -> None:
    results = {seed: compared(seed) for seed in SEEDS}
    assert {seed: result.differences for seed, result in results.items() if result.differences} == {}
    ends = [result.end for result in results.values()]
    assert ends.count("agree") > 200
    assert ends.count("left out") < 10


def test_a_reference_that_is_wrong_in_one_layer_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    right = InnerProduct.backward

    def forgets(self, top, propagate_down, bottom):  # type: ignore[no-untyped-def]
        for blob in self.blobs:
            blob.diff[...] = 0.0
        right(self, top, propagate_down, bottom)

    monkeypatch.setattr(InnerProduct, "backward", forgets)
    assert any(compared(seed).end == "differ" for seed in SEEDS)


def test_a_refusal_that_is_missing_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scale, "max_bottoms", 1)
    assert any(compared(seed).end == "differ" for seed in SEEDS)
