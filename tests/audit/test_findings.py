"""Every finding is shown by a net, and not by one as like it as possible."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.audit.audit import Audit, audit
from conformance.audit.findings import IDS, Level
from tests.audit.nets import DATA, EUCLID, HINGE, LOGITS, LOSS, PAIRS, PLAIN, SILENCE


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


READER = 'layer { name: "power" type: "Power" bottom: "l" top: "p" power_param { scale: 10 } %s }\n'
STRANGE = (LOSS % "%s").replace("SoftmaxWithLoss", "MyOwnLoss")
INFOGAIN = """
layer { name: "h" type: "DummyData" top: "h" dummy_data_param { shape { dim: 3 dim: 3 } } }
layer { name: "loss" type: "InfogainLoss" bottom: "z" bottom: "y" bottom: "h" top: "l" %s }
"""


@pytest.mark.parametrize("force", ["", "force_backward: true\n"])
@pytest.mark.parametrize(("weight", "why"), [("", "has no gradient"), ("loss_weight: 1", "overwrites")])
def test_an_implicit_weight_whose_top_is_read_trains_nothing(force: str, weight: str, why: str, tmp_path: Path) -> None:
    """As in Caffe: the weights' gradient is 0, or 10 times the loss's, and never 11 times."""
    first = audited(tmp_path, force + PLAIN + READER % weight).findings[0]
    assert (first.id, first.level) == ("loss-silenced", Level.ERROR)
    assert why in first.sentence


@pytest.mark.parametrize(("weight", "name"), [("", "loss-silenced"), ("loss_weight: 2", "loss-counted-twice")])
def test_what_a_forks_loss_weighs_unasked_is_not_known(weight: str, name: str, tmp_path: Path) -> None:
    found = [audited(tmp_path, LOGITS + text % weight + SILENCE).findings for text in (STRANGE, LOSS)]
    strange, known = ([each.level for each in findings if each.id == name] for findings in found)
    assert strange == [Level.NOTE]
    assert known in ([Level.ERROR], [Level.WARNING])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LOGITS + (LOSS % "").replace('"l"', '"l" top: "p"'), "1 loss_weight for 2 top(s)"),
        (
            LOGITS + (LOSS % "loss_weight: 1 loss_weight: 0").replace('"l"', '"l" top: "p"'),
            "the softmax inside SoftmaxWithLoss inherits two loss_weights",
        ),
        (LOGITS + (EUCLID % "").replace('bottom: "x"', ""), "takes exactly 2 bottom blob(s), got 1"),
        (PLAIN + 'layer { name: "a" type: "Accuracy" bottom: "z" bottom: "y" }', "at least 1 top blob(s), got 0"),
        (LOGITS + INFOGAIN % "loss_param { normalize: true }", "deprecated normalize"),
    ],
)
def test_a_net_that_caffe_does_not_set_up_is_an_error(text: str, said: str, tmp_path: Path) -> None:
    assert [said in found.sentence for found in audited(tmp_path, text).findings if found.id == "not-built"] == [True]


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        (LOGITS + (LOSS % "").replace('"y"', '"y" bottom: "x"'), []),
        (LOGITS + (EUCLID % "").replace('"l"', '"l" top: "p"'), [Level.NOTE]),
        (LOGITS + (LOSS % "").replace('"y"', '"y" bottom: "x" bottom: "y"'), [Level.NOTE]),
    ],
)
def test_more_than_is_known_of_a_type_may_be_a_forks(text: str, levels: list[Level], tmp_path: Path) -> None:
    found = audited(tmp_path, text)
    assert [each.level for each in found.findings if each.id == "not-built"] == levels
    assert "what a fork says" in found.terms[0].divisor


def test_a_bottom_that_nobody_makes_is_all_that_is_said_of_it(tmp_path: Path) -> None:
    """Nor is its propagate_down one too many."""
    loss = LOSS % "propagate_down: true propagate_down: false"
    found = audited(tmp_path, DATA % "TRAIN" + loss.replace('"y"', '"gone"'))
    assert [(each.id, each.level) for each in found.findings] == [("not-fed", Level.ERROR)]


def test_force_backward_asks_for_a_gradient_of_a_matrix(tmp_path: Path) -> None:
    def fatal(text: str) -> list[str]:
        return [found.sentence for found in audited(tmp_path, text).findings if found.id == "backward-fatal"]

    assert fatal("force_backward: true\n" + LOGITS + INFOGAIN % "")[0].startswith("its H is asked for a gradient")
    assert not fatal(LOGITS + INFOGAIN % "")
    assert not fatal("force_backward: true\n" + PLAIN)


def test_margins_are_nobodys_gradient_where_hinge_loss_is_alone(tmp_path: Path) -> None:
    alone = LOGITS + HINGE % "loss_weight: 0"
    for text in (alone, "force_backward: true\n" + PLAIN + HINGE % "loss_weight: 0", alone + EUCLID % "loss_weight: 0"):
        assert "scratch-as-gradient" not in {found.id for found in audited(tmp_path, text).findings}


def test_layers_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """As in BVLC's own mnist_autoencoder.prototxt: each finding has its line, and a reader may be a namesake."""
    quiet = (EUCLID % "loss_weight: 0").replace('"l"', '"e"')
    text = LOGITS + LOSS % "loss_weight: 2" + quiet + SILENCE.replace('"quiet"', '"loss"')
    found = audited(tmp_path, text).findings
    line = LOGITS.count("\n") + 1
    assert [(each.id, each.layer, each.line) for each in found] == [
        ("loss-counted-twice", "loss", line),
        ("zero-weight", "loss", line + 1),
    ]


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
