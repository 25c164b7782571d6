"""The layers' pages say what the reference computes, and leave out nothing that is required."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from conformance.adapters.pycaffe import PycaffeImplementation
from conformance.contract.case import Case
from conformance.judge.judgement import judge_outcome
from conformance.losses import KNOWN
from conformance.requirements import CATALOGUE
from refimpl.dialect import QUIRKS, Dialect
from refimpl.errors import NetError
from refimpl.layer import Layer, LossLayer
from refimpl.messages import LayerParameter
from tests.layer_pages import LAYERS, Answer, Page, Row, agrees, assigned, numbers

PAGES = {page.stem: page for page in map(Page, [*KNOWN, "net"])}
LAYER_PAGES = [PAGES[stem] for stem in KNOWN]
SUBJECTS = {requirement.partition(".")[0] for requirement in CATALOGUE}

every_page = pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
every_layer = pytest.mark.parametrize("page", LAYER_PAGES, ids=list(KNOWN))


def rows(*headers: str) -> list[Any]:
    return [
        pytest.param(page, row, id=f"{page.stem}-{row.get('dialect', 'both')}-{row[headers[0]]}")
        for page in PAGES.values()
        for row in page.rows(*headers)
        if row.get("default") != "none"
    ]


def names(answer: Answer) -> dict[str, Any]:
    return {f"d{name}": diff for name, diff in answer.diffs.items()}


def dialects(row: Row) -> list[str]:
    return [row["dialect"]] if "dialect" in row else ["documented", "bvlc"]


def holds(cell: str, answer: Answer) -> bool:
    name, said = assigned(cell)
    return agrees(said, eval(name, {}, names(answer)))


def test_every_page_is_about_a_layer_or_the_net() -> None:
    assert {path.stem for path in LAYERS.glob("*.md")} == set(PAGES)


@every_layer
def test_every_layer_page_has_the_same_headings(page: Page) -> None:
    assert page.text.startswith(f"# {KNOWN[page.stem].title}\n")
    assert list(page.sections) == list(LAYER_PAGES[0].sections)


@every_layer
def test_every_formula_is_written_as_one(page: Page) -> None:
    assert "```math\n" in page.sections["What it computes"]
    assert not any("```text\n" in page.sections[name] for name in ("What it computes", "Forward", "Backward"))


@every_page
@pytest.mark.parametrize("dialect", ["documented", "bvlc"])
def test_the_worked_example_comes_out_as_printed(page: Page, dialect: str) -> None:
    answer = page.example.run(dialect)
    assert answer.touched == frozenset()
    said = {name.removesuffix(".diff"): numbers for name, numbers in page.example.result.items()}
    assert agrees(said.pop("loss"), answer.loss)
    assert all(agrees(diff, answer.diffs[name]) for name, diff in said.items())
    assert {name for name in page.example.inputs if answer.diffs[name].any()} <= said.keys()


@every_page
def test_the_steps_of_the_worked_example_lead_to_its_result(page: Page) -> None:
    found: dict[str, Any] = {"np": np, **page.example.inputs}
    for line in page.example.steps.splitlines():
        exec(line, found)
        name, said = re.fullmatch(r"(\w+) = [^#]+?(?:\s+# (.+))?", line).groups()  # type: ignore[union-attr]
        if said:
            assert agrees(numbers(f"[{said}]"), np.ravel(found[name])), f"{line}: {np.ravel(found[name])}"
    answer = page.example.run()
    assert found["loss"] == pytest.approx(answer.loss, rel=1e-13)
    for name in page.example.result.keys() - {"loss"}:
        blob = name.removesuffix(".diff")
        np.testing.assert_allclose(found[f"d{blob}"], answer.diffs[blob], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(("page", "row"), rows("change", "loss", "gradient"))
def test_a_change_of_the_example_does_what_the_row_says(page: Page, row: Row) -> None:
    for dialect in dialects(row):
        answer = page.example.changed(row["change"]).run(dialect)
        assert agrees(numbers(row["loss"]), answer.loss), answer
        assert holds(row["gradient"], answer), answer


@pytest.mark.parametrize(("page", "row"), rows("change", "derivative"))
def test_a_departure_is_as_far_from_the_derivative_as_the_row_says(page: Page, row: Row) -> None:
    answer = page.example.changed(row["change"]).run_derivative()
    assert holds(row["derivative"], answer), answer


@pytest.mark.parametrize(("page", "row"), rows("change", "stage"))
def test_a_refusal_comes_at_the_stage_of_the_row(page: Page, row: Row) -> None:
    for dialect in dialects(row):
        with pytest.raises(NetError) as refusal:
            page.example.changed(row["change"]).run(dialect)
        assert refusal.value.stage == row["stage"], refusal.value


@pytest.mark.parametrize(("page", "row"), rows("field", "default"))
def test_a_parameter_has_the_default_of_the_row(page: Page, row: Row) -> None:
    if row["field"] == "loss_param.normalization":  # each layer has its own
        given = page.example.changed(f"loss_param {{ ignore_label: 0 normalization: {row['default']} }}")
        assert given.run().loss == page.example.changed("loss_param { ignore_label: 0 }").run().loss
        return
    message, _, field = row["field"].partition(".")
    own = KNOWN[page.stem].layer.messages if page.stem in KNOWN else {}
    value = getattr(own[message]() if message in own else getattr(LayerParameter(), message), field)
    assert str(value).lower() == row["default"].lower()


@every_page
def test_every_requirement_named_exists(page: Page) -> None:
    named = {code for code in page.code if re.fullmatch(rf"({'|'.join(SUBJECTS)})\.[\w-]+", code)}
    assert named <= CATALOGUE.keys()


@every_page
def test_every_requirement_of_a_layer_is_named_on_its_page(page: Page) -> None:
    mine = {requirement for requirement in CATALOGUE if requirement.startswith(f"{page.stem}.")}
    assert mine <= page.code


def quirks_of(kind: type[Layer]) -> set[str]:
    """The quirks of a layer, and of what all loss layers share."""
    classes = [base for base in kind.__mro__ if base not in (Layer, LossLayer)]
    classes += [] if kind.exact_tops == 1 or not kind.implicit_weight else [LossLayer]
    return {quirk.name for found in classes for quirk in vars(found).get("quirks", ())}


@every_layer
def test_every_quirk_and_departure_of_a_layer_is_named_on_its_page(page: Page) -> None:
    layer = KNOWN[page.stem].layer
    departures = {departure.name for departure in layer.departures}
    assert quirks_of(layer) | departures <= page.code


def test_every_quirk_is_named_on_some_page() -> None:
    numbered = {name for name, quirk in QUIRKS.items() if quirk.numbered}
    assert numbered <= set().union(*(page.code for page in PAGES.values())), "a fork's stand on its layer's page"


CONSUMED = [pytest.param(row, id=f"{row['loss_weight']}-{row['reader']}") for row in PAGES["net"].rows("reader")]


@pytest.mark.parametrize("row", CONSUMED)
@pytest.mark.parametrize("dialect", ["documented", "bvlc"])
def test_a_loss_that_is_read_counts_as_in_the_row(row: Row, dialect: str) -> None:
    example = PAGES["softmax_with_loss"].example
    alone = example.run()
    weight = "" if row["loss_weight"] == "none" else f"loss_weight: {row['loss_weight']}"
    net = example.changed(weight).net if weight else example.net
    net += f' layer {{ name: "r" bottom: "loss" {row["reader"]} }}'
    answer = type(example)(net, example.inputs, "", {}).run(Dialect.named(dialect))
    loss, gradient = row[dialect].split(", ")
    assert answer.loss == pytest.approx(float(loss.removesuffix("L")) * alone.loss)
    np.testing.assert_allclose(answer.diffs["x"], float(gradient.removesuffix("dx")) * alone.diffs["x"], rtol=1e-12)


REAL = os.environ.get("LOSSCONF_CAFFE_PYTHON", "")


@pytest.fixture(scope="module")
def caffe() -> Iterator[PycaffeImplementation]:
    with closing(PycaffeImplementation(REAL)) as implementation:
        yield implementation


@pytest.mark.caffe
@pytest.mark.skipif(not REAL, reason="not run: LOSSCONF_CAFFE_PYTHON names no Python with a Caffe")
@every_page
def test_a_real_caffe_computes_what_the_page_says(page: Page, caffe: PycaffeImplementation) -> None:
    changes = [row["change"] for row in page.rows("change", "loss") if row.get("dialect") != "documented"]
    for example in (page.example, *map(page.example.changed, changes)):
        case = Case(page.stem, example.net, example.inputs).rounded("float32")
        judged = judge_outcome(case, caffe.run(case, "float32"), "float32", "bvlc")
        assert judged.conforms, (example, judged.failures)
