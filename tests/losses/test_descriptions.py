"""What every description has to be, and what follows from one that the suite does not have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.outcome import Outcome
from conformance.losses import KNOWN, Loss, Variant, loss_of_type, variants
from conformance.losses.loss import FACTS, MODES
from conformance.losses.options import Option, options_text
from conformance.losses.roles import Labels, Matrix, Scores, Similarity, Targets
from refimpl.layers import REGISTRY
from refimpl.messages import LayerParameter
from refimpl.prototxt import parse_net
from refimpl.schema import Message

every_loss = pytest.mark.parametrize("loss", KNOWN.values(), ids=lambda loss: loss.stem)
every_variant = pytest.mark.parametrize(
    "variant", list(variants(KNOWN.values())), ids=lambda v: f"{v.loss.stem}-{v.name}"
)


def _message(loss: Loss, name: str) -> Message:
    """A message with its defaults, as the layer reads it."""
    own = loss.layer.messages
    return own[name]() if name in own else getattr(LayerParameter(), name)  # type: ignore[no-any-return]


@every_loss
def test_an_option_is_a_field_of_the_format(loss: Loss) -> None:
    for path, values in loss.options.items():
        message, _, field = path.partition(".")
        assert field in _message(loss, message).schema
        assert values


@every_loss
def test_a_description_stands_beside_its_reference_and_takes_what_that_takes(loss: Loss) -> None:
    assert KNOWN[loss.stem] is loss
    assert loss_of_type(loss.type) is KNOWN[REGISTRY[loss.type].__module__.rpartition(".")[2]]
    assert loss_of_type(loss.type, loss.forms) is loss
    most = loss.layer.max_bottoms or loss.layer.exact_bottoms
    assert len(loss.bottoms) == most
    assert sum(not bottom.optional for bottom in loss.bottoms) == (loss.layer.min_bottoms or loss.layer.exact_bottoms)


@every_loss
def test_a_default_comes_first_and_is_what_the_format_says(loss: Loss) -> None:
    for path, values in loss.options.items():
        message, _, field = path.partition(".")
        if message != "loss_param":  # whose defaults differ from layer to layer
            given = _message(loss, message)
            assert values[0] == getattr(given, field) or (values[0] is None and not given.has(field))


@every_variant
def test_a_variant_is_computed_and_its_values_are_exact_in_either_type(variant: Variant) -> None:
    for array in variant.values(seed=2).values():
        np.testing.assert_array_equal(array, array.astype(np.float32))
    answer = ReferenceImplementation().run(variant.case("one"), "float64")
    assert isinstance(answer, Outcome)
    assert np.isfinite(answer.loss)


@every_variant
def test_labels_are_classes_or_ignored(variant: Variant) -> None:
    if not variant.loss.labelled:
        return
    labels = variant.values(seed=3)[variant.loss.answer.name].ravel()
    kept = np.delete(labels, list(variant.ignored))
    assert set(kept) <= set(range(variant.classes))
    assert set(labels[list(variant.ignored)]) <= {variant.options.get("loss_param.ignore_label")}


@every_loss
def test_a_loss_without_published_variants_has_plain_ones(loss: Loss) -> None:
    for variant in replace(loss, published=()).variants:
        assert isinstance(ReferenceImplementation().run(variant.case("one"), "float64"), Outcome)


@every_loss
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2, 5), (7, 1)])
def test_a_sized_variant_fits_itself(loss: Loss, shape: tuple[int, ...]) -> None:
    variant = loss.sized(shape)
    assert variant.items == shape[0]
    assert "rows" in loss.traits or int(np.prod(variant.shapes[variant.first])) == int(np.prod(shape))
    assert isinstance(ReferenceImplementation().run(variant.case("one"), "float64"), Outcome)


def test_a_trait_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no such trait: sharp; known: batch-mean"):
        replace(next(iter(KNOWN.values())), traits=frozenset({"sharp"}))
    assert all(loss.traits <= FACTS.keys() for loss in KNOWN.values())


_VALUES: st.SearchStrategy[Option] = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 300), st.sampled_from(MODES), st.floats(-4, 4, width=16)
)


@given(st.dictionaries(st.sampled_from(["a.b", "a.c", "d.e"]), _VALUES))
def test_options_are_written_message_by_message(options: dict[str, Option]) -> None:
    text = options_text(options)
    written = [path for path, value in options.items() if value is not None]
    assert text.count("{") == text.count("}") == len({path.partition(".")[0] for path in written})
    assert all(f"{path.partition('.')[2]}: " in text for path in written)


def test_options_are_read_back_by_the_reference() -> None:
    text = options_text(
        {"loss_param.ignore_label": -1, "loss_param.normalization": "FULL", "loss_param.normalize": True}
    )
    layer = parse_net(f'layer {{ name: "l" type: "Power" {text} }}').layer[0]
    assert (layer.loss_param.ignore_label, layer.loss_param.normalization, layer.loss_param.normalize) == (
        -1,
        "FULL",
        True,
    )


class TestRoles:
    SCORES = (2, 3, 4, 5)

    def test_labels_stand_beside_the_class_axis_or_for_whole_items(self) -> None:
        assert Labels().shape(self.SCORES, 2) == (2, 3, 5)
        assert Labels().shape(self.SCORES, None) == (2,)

    def test_a_matrix_has_a_row_and_a_column_for_each_class(self) -> None:
        assert Matrix().shape(self.SCORES, 1) == (1, 1, 3, 3)
        assert Matrix().shape(self.SCORES, None) == (1, 1, 60, 60)
        assert not Matrix().by_item

    def test_targets_and_scores_have_an_entry_for_each_entry(self) -> None:
        assert Targets().shape(self.SCORES, None) == Scores().shape(self.SCORES, 1) == self.SCORES

    def test_similarities_have_one_for_each_pair(self) -> None:
        assert Similarity().shape(self.SCORES, None) == (2,)

    def test_scores_keep_off_the_places_where_kinks_are(self) -> None:
        drawn = Scores().draw(np.random.default_rng(0), (1000,), 1)
        assert np.abs(drawn * 8 - np.rint(drawn * 8)).min() >= 1 / 8
