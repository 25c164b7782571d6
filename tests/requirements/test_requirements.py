"""The catalogue of requirements: well-formed, complete, current in the docs; findings fail what they are about."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.contract.verdict import Level
from conformance.contract.version import SUITE, is_news
from conformance.judge.finding import Finding
from conformance.judge.serving import owner, serves
from conformance.losses import KNOWN
from conformance.requirements import CATALOGUE
from conformance.requirements.page import page
from fixtures.tools.requirements_of import REQUIREMENTS
from refimpl.dialect import QUIRKS
from refimpl.layers import REGISTRY

ROOT = Path(__file__).parents[2]
LOSS = "softmax_with_loss"
FACETS = [name for name in CATALOGUE if name.startswith(f"{LOSS}.")]
ABOUT_WEIGHTS = {f"{LOSS}.{facet}" for facet in ("loss-weight", "weight-scaling", "zero-weight-removed")}


def finding(kind: str, layer_type: str = "SoftmaxWithLoss", accepted: bool = False, **fields: bool) -> Finding:
    return Finding(kind, layer_type, "loss", accepted, Level.MUST, **fields)  # type: ignore[arg-type]


def failed_by(of: Finding) -> set[str]:
    return {name for name in CATALOGUE if serves(of, name)}


def net_facets(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith("net.")}


def test_every_id_that_a_golden_case_may_serve_is_in_the_catalogue() -> None:
    assert not REQUIREMENTS.keys() - CATALOGUE.keys()


def test_every_id_in_the_golden_cases_is_in_the_catalogue() -> None:
    named = {name for path in ROOT.glob("fixtures/*/*.json") for name in json.loads(path.read_text())["requirements"]}
    assert named
    assert not named - CATALOGUE.keys()


def test_an_id_is_a_known_subject_and_a_facet() -> None:
    subjects = "|".join([*KNOWN, "net", "layer-contract", "refusal", "determinism", "properties", "quirk"])
    form = re.compile(rf"(?:{subjects})\.[a-z0-9]+(?:-[a-z0-9]+)*|layer\.[A-Z]\w*")
    assert [name for name in CATALOGUE if not form.fullmatch(name)] == []
    assert [name for name, requirement in CATALOGUE.items() if requirement.id != name] == []


def test_what_the_first_suite_did_not_ask_for_says_so() -> None:
    first = [name for name, requirement in CATALOGUE.items() if requirement.since == "1"]
    digest = hashlib.sha256("\n".join(sorted(first)).encode()).hexdigest()
    assert (len(first), digest[:16]) == (316, "126558637ea85fe8"), "news says since when"
    assert all(1 <= int(requirement.since) <= int(SUITE) for requirement in CATALOGUE.values())
    assert is_news("10", "9") and not is_news("2", "2")


def test_a_statement_is_one_sentence() -> None:
    form = re.compile(r"(?:[A-Z0-9]|force_backward).*[^.]\.")
    statements = {name: requirement.statement for name, requirement in CATALOGUE.items()}
    assert [name for name, text in statements.items() if not form.fullmatch(text) or "{" in text] == []
    assert [name for name, text in statements.items() if re.search(r"\. [A-Z]", text)] == []


def test_a_citation_names_a_place_in_caffe() -> None:
    code = r"(?:[\w.-]+/[\w.-]+@\w+ )?(?:src|include)/caffe/\S+\.(?:cpp|cu|hpp|proto)"
    place = re.compile(rf"{code}|docs/tutorial/\w+\.md")
    assert [name for name, r in CATALOGUE.items() if "{" in r.citation or not place.match(r.citation)] == []


def test_no_two_requirements_say_the_same() -> None:
    statements = [requirement.statement for requirement in CATALOGUE.values()]
    assert len(statements) == len(set(statements))


def test_every_quirk_is_a_requirement_of_that_level() -> None:
    assert {name for name in CATALOGUE if name.startswith("quirk.")} == {f"quirk.{name}" for name in QUIRKS}
    assert all(CATALOGUE[f"quirk.{name}"].level is Level.QUIRK for name in QUIRKS)


def test_every_layer_of_the_reference_that_computes_has_requirements() -> None:
    around = {name.removeprefix("layer.") for name in CATALOGUE if name.startswith("layer.")}
    undescribed = {kind for kind, found in REGISTRY.items() if found.forms} - {loss.type for loss in KNOWN.values()}
    assert around | {loss.type for loss in KNOWN.values()} == set(REGISTRY) - {"Input"} - undescribed


def test_the_page_in_the_docs_is_current() -> None:
    written = (ROOT / "docs" / "requirements.md").read_text()
    assert written == page(), "run: python -m conformance.requirements.page > docs/requirements.md"


def test_every_requirement_has_a_row_in_the_page() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", page(), flags=re.MULTILINE)
    assert sorted(rows) == sorted(CATALOGUE)


def test_the_catalogue_needs_neither_pytest_nor_the_golden_cases() -> None:
    code = (
        "import sys, conformance.requirements as r; "
        "sys.exit(bool({'pytest', 'fixtures', 'hypothesis'} & {m.partition('.')[0] for m in sys.modules}) or not "
        "r.CATALOGUE)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_wrong_top_fails_its_layer_and_not_the_net() -> None:
    failed = failed_by(finding("forward"))
    assert f"{LOSS}.forward" in failed
    assert f"{LOSS}.normalization" in failed
    assert f"{LOSS}.backward" not in failed
    assert net_facets(failed) == {"net.reshape"}
    assert not any(name.startswith(("layer.", "refusal.parse")) for name in failed)
    assert not any(name.startswith("hinge_loss.") for name in failed)


def test_a_wrong_gradient_fails_its_layer_and_not_who_runs_backward() -> None:
    failed = failed_by(finding("backward"))
    assert {f"{LOSS}.backward", f"{LOSS}.gradient", f"{LOSS}.ignore-label"} <= failed
    assert f"{LOSS}.forward" not in failed
    assert not failed & {"net.who-runs-backward", "net.force-backward", "net.total-loss"}


def test_an_absent_gradient_fails_who_runs_backward() -> None:
    failed = failed_by(finding("backward", absent=True))
    assert {f"{LOSS}.backward", "net.who-runs-backward", "net.force-backward", "net.propagate-down"} <= failed


def test_a_right_gradient_passes_who_runs_backward() -> None:
    assert serves(finding("backward", accepted=True), "net.who-runs-backward")


def test_a_lost_weight_fails_weights_and_no_formula() -> None:
    failed = failed_by(finding("backward", by_weight=True))
    assert {name for name in failed if name in FACETS} == ABOUT_WEIGHTS
    assert {"net.explicit-loss-weight", "net.implicit-loss-weight"} <= failed
    assert not any(name.startswith("layer.") for name in failed)


def test_a_wrong_weight_in_a_top_fails_weights_and_no_formula() -> None:
    failed = failed_by(finding("weight"))
    assert {name for name in failed if name in FACETS} == ABOUT_WEIGHTS
    assert "net.top-diff-is-the-weight" in failed


def test_a_wrong_total_fails_the_net_and_no_formula() -> None:
    failed = failed_by(finding("total", "net"))
    assert {"net.total-loss", "net.multi-top", "net.explicit-loss-weight"} <= failed
    assert {name for name in failed if name in FACETS} == ABOUT_WEIGHTS
    assert not failed & {"net.parameter-gradient", "net.structure", "net.inputs-unchanged", "net.who-runs-backward"}


def test_an_unwanted_refusal_fails_everything() -> None:
    assert failed_by(finding("refused", "net")) == set(CATALOGUE)


def test_accepting_what_is_refused_fails_refusals_alone() -> None:
    failed = failed_by(finding("refusal", "net"))
    assert {name for name in failed if name.startswith("refusal.")} == {
        n for n in CATALOGUE if n.startswith("refusal.")
    }
    assert not any(name.startswith((*KNOWN, "net.", "layer.")) for name in failed)


def test_an_early_refusal_fails_the_stage_alone() -> None:
    assert failed_by(finding("stage", "net")) == {
        "refusal.parse",
        "refusal.setup",
        "refusal.forward",
        "refusal.backward",
    }


@pytest.mark.parametrize(
    ("kind", "failed"),
    [
        ("structure", {"net.structure"}),
        ("input", {"net.inputs-unchanged", *(f"{stem}.contract-inputs-unchanged" for stem in KNOWN)}),
    ],
)
def test_what_is_beside_the_numbers_fails_its_own_requirement(kind: str, failed: set[str]) -> None:
    narrow = {
        name for name in failed_by(finding(kind, "net")) if not name.startswith(("quirk.", "refusal.", "properties."))
    }
    assert {name for name in narrow if not name.startswith("determinism.")} == failed


def test_axes_that_differ_fail_the_shape_of_the_top() -> None:
    forms = {f"{stem}.top-shape" for stem, loss in KNOWN.items() if loss.type == KNOWN[LOSS].type}
    assert failed_by(finding("shape")) == {*forms, "net.top-shape"}


def test_a_common_error_fails_the_bias() -> None:
    bias = {name for name in failed_by(finding("bias")) if name in FACETS}
    assert bias == {f"{LOSS}.bias"}


def test_a_wrong_parameter_gradient_fails_its_layer_and_the_parameter() -> None:
    failed = failed_by(finding("parameter", "InnerProduct"))
    assert {"layer.InnerProduct", "net.parameter-gradient"} <= failed
    assert not failed & {"net.total-loss", *FACETS}


def test_a_wrong_split_fails_the_net() -> None:
    assert {"layer.Split", "net.split", "net.total-loss"} <= failed_by(finding("backward", "Split"))


KINDS = ("forward", "backward", "parameter", "total", "weight", "unasked", "input", "bias", "shape", "structure")


OF_THE_ANSWER = ("total", "structure", "refused", "refusal", "stage")
OF_A_LAYER = ("forward", "backward", "parameter", "weight", "unasked", "input", "bias", "shape")


@pytest.mark.parametrize(
    ("kind", "layer_type"),
    [(kind, "net") for kind in OF_THE_ANSWER]
    + [(kind, layer) for kind in OF_A_LAYER for layer in ("Split", "SoftmaxWithLoss", "InnerProduct")],
)
def test_every_finding_has_a_requirement_of_its_own_that_it_serves(kind: str, layer_type: str) -> None:
    of = finding(kind, layer_type)
    assert serves(of, owner(of))


@pytest.mark.parametrize("layer_type", ["SoftmaxWithLoss", "Power"])
def test_a_lost_weight_has_a_requirement_of_its_own_that_it_serves(layer_type: str) -> None:
    of = finding("backward", layer_type, by_weight=True)
    assert serves(of, owner(of))
    assert "weight" in owner(of)
