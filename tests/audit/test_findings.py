"""Every finding is shown by a net, and not by one as like it as possible."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.audit.audit import Audit, audit
from conformance.audit.findings import IDS, Level
from tests.audit.nets import EUCLID, LOGITS, LOSS, PAIRS, PLAIN, SILENCE


def audited(folder: Path, text: str) -> Audit:
    path = folder / "net.prototxt"
    path.write_text(text, "utf-8")
    return audit(path)


def test_every_finding_has_its_pair() -> None:
    assert list(PAIRS) == list(IDS)


@pytest.mark.parametrize("name", PAIRS)
def test_a_finding_is_shown_where_it_is_and_nowhere_else(name: str, tmp_path: Path) -> None:
    shows, does_not = PAIRS[name]
    assert name in {finding.id for finding in audited(tmp_path, shows).findings}
    assert name not in {finding.id for finding in audited(tmp_path, does_not).findings}


@pytest.mark.parametrize(
    ("tail", "equation", "trained"),
    [
        (LOSS % "", "L = 1·Σ l", ("ip",)),
        (LOSS % "" + SILENCE, "L = 1·Σ l", ()),
        (LOSS % "loss_weight: 1" + SILENCE, "L = 1·Σ l + 1·Σ l", ("ip",)),
        (LOSS % "loss_weight: 3" + SILENCE, "L = 1·Σ l + 3·Σ l", ("ip",)),
        (LOSS % "loss_weight: 0", "L = 0", ()),
        ((LOSS % "").replace('top: "l"', ""), "L = 1·Σ loss", ("ip",)),
        (LOSS % "loss_weight: -2", "L = -2·Σ l", ("ip",)),
    ],
)
def test_the_equation_is_that_of_caffe(tail: str, equation: str, trained: tuple[str, ...], tmp_path: Path) -> None:
    found = audited(tmp_path, LOGITS + tail)
    assert (found.equation, found.learning) == (equation, trained)


def test_a_finding_knows_its_line_and_errors_come_first(tmp_path: Path) -> None:
    found = audited(tmp_path, PLAIN + SILENCE).findings
    assert found[0].id == "loss-silenced"
    assert (found[0].layer, found[0].line) == ("loss", PLAIN.splitlines().index((LOSS % "").rstrip()) + 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "all positions, 2 (the batch): VALID, by default"),
        ("loss_param { normalization: FULL }", "all positions, 2 (the batch): FULL, asked for"),
        ("loss_param { normalize: false }", "the batch size, 2 (the batch): BATCH_SIZE, by normalize"),
        (
            "loss_param { ignore_label: 255 }",
            "the positions that count (label other than 255), at most 2 (the batch): VALID, by default",
        ),
        ("loss_param { normalization: NONE }", "nothing: NONE, asked for"),
        (
            "loss_param { normalization: BALANCED }",
            "what a fork says: BALANCED of loss_param.normalization is a fork's",
        ),
        (
            "loss_param { weight_by_label_freqs: true class_weighting: 2 }",
            "what a fork says: its options are those of the form segnet",
        ),
    ],
)
def test_a_term_says_what_it_is_divided_by(options: str, said: str, tmp_path: Path) -> None:
    (term,) = audited(tmp_path, LOGITS + LOSS % options).terms
    assert (term.divisor, term.origin) == (said, "implicit")


def test_a_solvers_iter_size_divides_further(tmp_path: Path) -> None:
    (term,) = audited(tmp_path, f"base_lr: 1 iter_size: 4 net_param {{ {LOGITS} {EUCLID % ''} }}").terms
    assert term.divisor == "twice the batch size, 4 (batch 2); with the solver's iter_size by 4 more"


def test_rules_that_differ_are_both_said(tmp_path: Path) -> None:
    (unknown,) = audited(tmp_path, LOGITS + (LOSS % "").replace("SoftmaxWithLoss", "MyOwnLoss")).terms
    assert set(dict(unknown.rules).values()) == {0, 1}
    (given,) = audited(tmp_path, LOGITS + (LOSS % "loss_weight: 1").replace("SoftmaxWithLoss", "MyOwnLoss")).terms
    assert not given.rules


def test_layers_without_names_are_told_apart(tmp_path: Path) -> None:
    both = LOSS % "loss_weight: 2" + (EUCLID % "loss_weight: 3").replace('"l"', '"m"')
    terms = audited(tmp_path, (LOGITS + both).replace('name: "loss" ', "")).terms
    assert [(term.type, term.top, term.weight) for term in terms] == [
        ("SoftmaxWithLoss", "l", 2),
        ("EuclideanLoss", "m", 3),
    ]


@pytest.mark.parametrize(("kind", "level"), [("InnerProduct", Level.ERROR), ("Gather", Level.NOTE)])
def test_labels_made_by_a_forks_layer_are_only_noted(kind: str, level: Level, tmp_path: Path) -> None:
    made = f'layer {{ name: "g" type: "{kind}" bottom: "z" top: "t" inner_product_param {{ num_output: 3 }} }}\n'
    found = audited(tmp_path, LOGITS + made + (LOSS % "").replace('"y"', '"t"')).findings
    assert [finding.level for finding in found if finding.id == "label-path"] == [level]


def test_a_net_for_deployment_is_no_warning(tmp_path: Path) -> None:
    assert audited(tmp_path, LOGITS).worst() is Level.NOTE
    assert audited(tmp_path, LOGITS + LOSS % "include { phase: TEST }").worst() is Level.WARNING


def test_blobs_shared_with_a_layer_that_is_trained_are_trained(tmp_path: Path) -> None:
    shared = 'param { name: "w" } param { name: "b" } inner_product_param'
    twin = (
        'layer { name: "twin" type: "InnerProduct" bottom: "x" top: "t" '
        'param { name: "w" } param { name: "b" } inner_product_param { num_output: 3 } }\n'
    )
    found = audited(tmp_path, PLAIN.replace("inner_product_param", shared) + twin)
    assert found.still == (("twin", "its blobs are those of ip, which is trained"),)


def test_a_rule_with_a_phase_of_a_fork_never_holds(tmp_path: Path) -> None:
    assert audited(tmp_path, LOGITS + LOSS % "exclude { phase: RUN }").equation == "L = 1·Σ l"
    assert audited(tmp_path, LOGITS + LOSS % "include { phase: RUN }").equation == "L = 0"
