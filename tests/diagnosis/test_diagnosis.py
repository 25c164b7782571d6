"""Diagnosis: an answer wrong in one known way is taken for what it is, a report for as few causes as explain it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.aspect import Aspect
from conformance.contract.case import Case, Pass
from conformance.contract.outcome import Outcome, Refusal
from conformance.diagnosis.alterations import alteration_clues
from conformance.diagnosis.clues import clues_of
from conformance.diagnosis.diagnosis import diagnose
from conformance.diagnosis.rejection import Rejection
from conformance.judge.judgement import judge_outcome
from conformance.losses import KNOWN, Loss
from conformance.losses.examples import Misreading
from conformance.record.cause import Cause
from conformance.record.deviation import Deviation
from conformance.record.evidence import Evidence
from conformance.record.grade import Grade
from conformance.suite.forms import case_of

Array = NDArray[np.floating]

INPUT = 'layer {{ name: "{0}" type: "Input" top: "{0}" input_param {{ shape {{ {1} }} }} }}\n'
X = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.25], [0.125, 2.5, -1.0], [-0.5, 0.375, 1.0]])
Y = np.array([2.0, 0.0, 1.0, 1.0])


def source(name: str, shape: tuple[int, ...]) -> str:
    return INPUT.format(name, " ".join(f"dim: {n}" for n in shape))


def loss(options: str = "", kind: str = "SoftmaxWithLoss") -> str:
    net = "force_backward: true\n" + source("x", (4, 3)) + source("y", (4,))
    return net + f'layer {{ name: "loss" type: "{kind}" bottom: "x" bottom: "y" top: "loss" {options} }}\n'


PLAIN = Case("plain", loss(), {"x": X, "y": Y})
WEIGHTED = Case("weighted", loss("loss_weight: 2.5"), {"x": X, "y": Y})
NEARLY_ONE = Case("nearly-one", loss("loss_weight: 1.0000005"), {"x": X, "y": Y})
IGNORING = Case("ignoring", loss("loss_param { ignore_label: 1 }"), {"x": X, "y": Y})
X_Y = {"x": X, "y": Y}
FULL = Case("full", loss("loss_param { ignore_label: 1 normalization: FULL }"), X_Y)
SQUARED = Case("squared", loss("hinge_loss_param { norm: L2 }", "HingeLoss"), {"x": X, "y": Y})
PREFILLED = replace(PLAIN, prefill_diff={"x": 7.0})


def answered(case: Case, dtype: str = "float64") -> Outcome:
    answer = ReferenceImplementation().run(case, dtype)
    assert isinstance(answer, Outcome)
    return answer


def with_gradient(case: Case, change: Callable[[Array], Array], dtype: str = "float64") -> Outcome:
    answer = answered(case, dtype)
    return replace(answer, diff={**answer.diff, "x": change(answer.diff["x"].copy())})


def causes(case: Case, answer: Outcome | Refusal, dtype: str = "float64") -> list[Cause]:
    judged = judge_outcome(case, answer, dtype)
    assert judged.failures
    return list(clues_of(case, answer, dtype, judged).causes)


def test_labels_are_turned_though_a_later_pass_has_fewer() -> None:
    """What is left in the net is of the last batch, the case's labels are of the first."""
    first, last = (KNOWN["softmax_with_loss"].sized((items, 3, 1, 1)) for items in (5, 2))
    case = first.case("it", weights=(2.5,), passes=(Pass(last.values()),))
    answer = answered(case)
    assert answer.loss_trace is not None
    wrong = replace(answer, loss_trace=(1.5 * answer.loss_trace[0], *answer.loss_trace[1:]))
    assert Cause.TOTAL in causes(case, wrong)


def test_an_option_that_a_form_has_many_of_is_not_misread_for_one() -> None:
    loss = KNOWN["focal_loss"]
    net = next(net for net in loss.form_nets if net.name == "alpha-balance")
    case = replace(case_of(loss, net, "F5"), id="it")
    answer = answered(case)
    assert not judge_outcome(case, answer, "float64").failures
    data = {**answer.data, "loss": 1.125 * answer.data["loss"]}
    assert Cause.COMMON_FACTOR in causes(case, replace(answer, data=data, loss=1.125 * answer.loss))


def last_lost(x: Array) -> Array:
    x[-1] = 0
    return x


def one_lost(x: Array) -> Array:
    x[1, 2] = 0
    return x


@pytest.mark.parametrize(
    ("case", "change", "cause"),
    [
        (PLAIN, lambda x: -x, Cause.SIGN),
        (PLAIN, lambda x: 2 * x, Cause.FACTOR_2),
        (PLAIN, lambda x: 4 * x, Cause.BATCH_RATIO),
        (PLAIN, lambda x: 1.001 * x, Cause.COMMON_FACTOR),
        (PLAIN, lambda x: x.reshape(4, -1).T.reshape(x.shape), Cause.TRANSPOSED),
        (PLAIN, last_lost, Cause.LAST_SAMPLE),
        (PLAIN, one_lost, Cause.ONE_ELEMENT),
        (PLAIN, lambda x: 0 * x, Cause.GRADIENT_MISSING),
        (PLAIN, lambda x: x.astype(np.float32).astype(np.float64), Cause.FLOAT32),
        (WEIGHTED, lambda x: x / 2.5, Cause.WEIGHT_MISSING),
        (WEIGHTED, lambda x: x * 2.5, Cause.WEIGHT_SQUARED),
        (PREFILLED, lambda x: x + 7, Cause.ACCUMULATES),
    ],
)
def test_a_wrong_gradient_is_taken_for_what_it_is(case: Case, change: Callable[[Array], Array], cause: Cause) -> None:
    assert causes(case, with_gradient(case, change))[0] is cause


@pytest.mark.parametrize(
    ("case", "read", "cause"),
    [
        (PLAIN, replace(PLAIN, inputs={"x": X, "y": np.maximum(Y - 1, 0)}), Cause.LABEL_OFF_BY_ONE),
        (IGNORING, PLAIN, Cause.IGNORED_LABEL),
        (IGNORING, Case("full", loss("loss_param { ignore_label: 1 normalization: FULL }"), IGNORING.inputs), None),
        (SQUARED, Case("l1", loss("", "HingeLoss"), SQUARED.inputs), Cause.OPTION_IGNORED),
        (
            FULL,
            Case("none", loss("loss_param { ignore_label: 1 normalization: NONE }"), X_Y),
            Cause.NORMALISATION_MODE,
        ),
    ],
)
def test_a_case_read_as_another_is_told_from_the_answer(case: Case, read: Case, cause: Cause | None) -> None:
    """The net of ``read`` is what the implementation computes where it is given ``case``."""
    other = answered(read)
    told = replace(other, data={**other.data, "y": case.inputs["y"]})
    found = causes(case, told)[0]
    assert found is cause if cause else found in (Cause.NORMALISATION_MODE, Cause.VALID_RATIO)


@pytest.mark.parametrize("mode", ["VALID", "FULL", "NONE"])
def test_another_default_than_the_losss_own_is_a_mode_misread(mode: str) -> None:
    """SigmoidCrossEntropyLoss divides by the batch where nothing is set, and the format's default is VALID."""
    net = PLAIN.net.replace(source("y", (4,)), source("y", (4, 3)))
    net = net.replace("SoftmaxWithLoss", "SigmoidCrossEntropyLoss")
    net = net.replace('top: "loss" ', 'top: "loss" loss_param { ignore_label: 1 } ')
    inputs = {"x": X, "y": (X > 1).astype(float)}
    read = net.replace("ignore_label: 1", f"ignore_label: 1 normalization: {mode}")
    case, told = Case("plain", net, inputs), answered(Case("read", read, inputs))
    rejection = Rejection.of(case, told, "float64", judge_outcome(case, told, "float64"))
    assert rejection is not None
    found = list(alteration_clues(rejection, {Cause.NORMALISATION_MODE}))
    assert (Cause.NORMALISATION_MODE, Grade.EXACT) in found


def test_a_net_loss_without_its_weights() -> None:
    answer = answered(WEIGHTED)
    assert causes(WEIGHTED, replace(answer, loss=answer.loss / 2.5))[0] is Cause.WEIGHT_MISSING


def test_an_input_that_was_changed() -> None:
    answer = answered(PLAIN)
    assert causes(PLAIN, replace(answer, data={**answer.data, "y": Y + 1}))[0] is Cause.INPUT_CHANGED


def test_a_refusal_of_what_caffe_runs_and_an_answer_to_what_it_refuses() -> None:
    assert causes(PLAIN, Refusal("construct", "no"))[0] is Cause.REFUSES
    refused = replace(PLAIN, inputs={"x": X, "y": Y[:3]})
    assert causes(refused, answered(PLAIN))[0] is Cause.ACCEPTS


def test_a_formula_that_nothing_explains_is_not_named() -> None:
    noise = np.random.default_rng(0).normal(size=X.shape)
    assert causes(PLAIN, with_gradient(PLAIN, lambda x: x + noise))[0] is Cause.UNNAMEABLE


def test_an_option_of_a_fork_is_no_obstacle() -> None:
    net = "force_backward: true\n" + source("x", (4, 3)) + source("t", (4, 3))
    net += 'layer { name: "loss" type: "SmoothL1Loss" bottom: "x" bottom: "t" top: "loss" '
    case = Case("fork", net + "}", {"x": X, "t": X[::-1]})
    answer = answered(case)
    told = replace(answer, data={**answer.data, "loss": 1.234 * answer.data["loss"]})
    assert causes(case, told)[0] is Cause.UNNAMEABLE


@pytest.mark.parametrize("case", [PLAIN, NEARLY_ONE])
def test_what_is_no_more_than_rounding_has_no_name(case: Case) -> None:
    """Neither one factor, which any noise has in the mean, nor a weight that is 1 but for a few roundings."""
    noise = 1 + 1e-6 * np.random.default_rng(0).choice([0.7, 1.0, 1.3], size=X.shape).astype(np.float32)
    assert causes(case, with_gradient(case, lambda x: x * noise, "float32"), "float32") == [Cause.UNNAMEABLE]


def test_an_explanation_comes_much_nearer_than_none() -> None:
    """All are within some roundings of a factor, and nearer to it than to 1, yet not much."""
    noise = 1 + 5e-6 * np.random.default_rng(0).choice([0.4, 1.0, 1.6], size=X.shape).astype(np.float32)
    assert Cause.COMMON_FACTOR not in causes(PLAIN, with_gradient(PLAIN, lambda x: x * noise, "float32"), "float32")


def test_grades_are_ordered_and_survive_a_report() -> None:
    assert Grade.HINT < Grade.PATTERN < Grade.PARTLY < Grade.EXACT
    assert [Grade.of(grade.weight) for grade in Grade] == list(Grade)
    assert [Grade.of(weight) for weight in (1e-9, 0.9, 1.2)] == [Grade.HINT, Grade.EXACT, Grade.EXACT]


def piece(check: str, factor: float | None = None, case: Case | None = None, **grades: Grade) -> Evidence:
    return Evidence(check, "float32", {Cause[name]: grade for name, grade in grades.items()}, case, None, "", factor)


def named(pieces: list[Evidence]) -> list[tuple[Cause, list[str]]]:
    return [(group.cause, [each.check for each in group.cases]) for group in diagnose(pieces)]


def test_the_cause_that_fits_most_cases_is_taken_for_them() -> None:
    pieces = [
        piece("a", FACTOR_2=Grade.EXACT, BATCH_RATIO=Grade.EXACT),
        piece("b", BATCH_RATIO=Grade.EXACT),
        piece("c", SIGN=Grade.EXACT, ONE_ELEMENT=Grade.HINT),
    ]
    assert named(pieces) == [(Cause.BATCH_RATIO, ["a", "b"]), (Cause.SIGN, ["c"])]


def test_what_foretells_the_first_wrong_array_explains_the_case() -> None:
    first = replace(piece("b", UNNAMEABLE=Grade.HINT), first=frozenset({Cause.SIGN, Cause.FACTOR_2}))
    other = replace(piece("c", ONE_ELEMENT=Grade.EXACT), first=frozenset({Cause.SIGN}))
    assert named([piece("a", SIGN=Grade.EXACT), first, other]) == [(Cause.SIGN, ["a", "b", "c"])]
    assert named([first]) == [(Cause.FACTOR_2, ["b"])]
    again = Evidence.from_json(first.to_json())
    assert again.first == first.first


def wrong_in(layer_type: str, aspect: Aspect, each: Evidence) -> Evidence:
    one = np.ones(1)
    array = Deviation(aspect, "x", "l", layer_type, (1,), one, one, one, np.zeros(1, np.int64), 1)
    return replace(each, arrays=(array,))


def in_groups(*pieces: Evidence) -> list[tuple[Cause, str, str]]:
    names = [[" ".join(e.check for e in some) for some in (g.explained, g.beside)] for g in diagnose(pieces)]
    return [(group.cause, *said) for group, said in zip(diagnose(pieces), names, strict=True)]  # type: ignore[misc]


SIGNS = [wrong_in("HingeLoss", "backward", piece(f"s{i}", SIGN=Grade.EXACT)) for i in range(8)]
ALL_SIGNS = " ".join(one.check for one in SIGNS)


def test_a_few_cases_that_nothing_foretells_stand_beside_the_mistake_of_the_same_arrays() -> None:
    rest = wrong_in("HingeLoss", "backward", piece("r", UNNAMEABLE=Grade.HINT, MARGIN=Grade.HINT))
    pattern = wrong_in("HingeLoss", "backward", piece("p", MARGIN=Grade.PATTERN))
    assert in_groups(*SIGNS, rest) == [(Cause.SIGN, ALL_SIGNS, "r")]
    assert in_groups(*SIGNS, rest, pattern) == [(Cause.SIGN, ALL_SIGNS, "p r")]
    of_the_total = wrong_in("net", "total", piece("t", TOTAL=Grade.PATTERN))
    assert in_groups(*SIGNS, of_the_total) == [(Cause.SIGN, ALL_SIGNS, "t")]


@pytest.mark.parametrize(("layer_type", "aspect"), [("HingeLoss", "forward"), ("EuclideanLoss", "backward")])
def test_what_is_wrong_elsewhere_is_another_mistake(layer_type: str, aspect: Aspect) -> None:
    rest = wrong_in(layer_type, aspect, piece("r", UNNAMEABLE=Grade.HINT))
    assert in_groups(*SIGNS, rest) == [(Cause.SIGN, ALL_SIGNS, ""), (Cause.UNNAMEABLE, "r", "")]


def test_a_case_that_does_not_say_what_is_wrong_stands_beside_none() -> None:
    """Neither one of an older report, which kept no arrays, nor one that compares several runs."""
    rest = piece("r", UNNAMEABLE=Grade.HINT)
    assert in_groups(*SIGNS, rest) == [(Cause.SIGN, ALL_SIGNS, ""), (Cause.UNNAMEABLE, "r", "")]


def test_numbers_that_are_foretold_are_another_mistake_in_the_same_arrays_too() -> None:
    other = wrong_in("HingeLoss", "backward", piece("o", FACTOR_2=Grade.EXACT))
    assert in_groups(*SIGNS, other) == [(Cause.SIGN, ALL_SIGNS, ""), (Cause.FACTOR_2, "o", "")]


def test_few_foretold_numbers_are_another_mistake_where_several_inputs_have_them() -> None:
    def of(name: str, value: float) -> Evidence:
        case = Case(name, "", {"x": np.array([value])})
        return wrong_in("HingeLoss", "backward", piece(name, None, case, FACTOR_2=Grade.PARTLY))

    assert in_groups(*SIGNS, *(of(f"f{i}", i) for i in range(3)))[1] == (Cause.FACTOR_2, "f0 f1 f2", "")
    first = [
        replace(of(f"f{i}", i), causes={Cause.MARGIN: Grade.HINT}, first=frozenset({Cause.FACTOR_2})) for i in range(3)
    ]
    assert in_groups(*SIGNS, *first)[1] == (Cause.FACTOR_2, "f0 f1 f2", "")
    assert in_groups(*SIGNS, *(of(f"f{i}", 1) for i in range(3))) == [(Cause.SIGN, ALL_SIGNS, "f0 f1 f2")]


def test_a_pattern_is_another_mistake_where_it_repeats() -> None:
    margins = [wrong_in("HingeLoss", "backward", piece(f"m{i}", MARGIN=Grade.PATTERN)) for i in range(5)]
    assert in_groups(*SIGNS, *margins[:4]) == [(Cause.SIGN, ALL_SIGNS, "m0 m1 m2 m3")]
    assert in_groups(*SIGNS, *margins)[1] == (Cause.MARGIN, "m0 m1 m2 m3 m4", "")
    strange = [replace(each, causes={Cause.UNNAMEABLE: Grade.HINT}) for each in margins]
    assert in_groups(*SIGNS, *strange[:4]) == [(Cause.SIGN, ALL_SIGNS, "m0 m1 m2 m3")]


def test_the_rest_is_half_of_what_it_stands_beside_at_most() -> None:
    rest = [wrong_in("HingeLoss", "backward", piece(f"r{i}", UNNAMEABLE=Grade.HINT)) for i in range(5)]
    assert in_groups(*SIGNS, *rest[:4]) == [(Cause.SIGN, ALL_SIGNS, "r0 r1 r2 r3")]
    assert in_groups(*SIGNS, *rest) == [(Cause.SIGN, ALL_SIGNS, ""), (Cause.UNNAMEABLE, "r0 r1 r2 r3 r4", "")]


def test_a_diagnosis_ends_however_the_grades_lie() -> None:
    """No cause may win by many cases that it explains too badly to be taken for."""
    weak = [piece(f"w{i}", SIGN=Grade.EXACT, MARGIN=Grade.PATTERN) for i in range(3)]
    weak += [piece("x", FACTOR_2=Grade.EXACT, MARGIN=Grade.PATTERN)]
    assert named(weak) == [(Cause.SIGN, ["w0", "w1", "w2"]), (Cause.FACTOR_2, ["x"])]


def test_a_hint_alone_is_no_name() -> None:
    assert named([piece("a", UNNAMEABLE=Grade.HINT, MARGIN=Grade.HINT)]) == [(Cause.UNNAMEABLE, ["a"])]


def test_what_another_formula_leaves_is_named_for_numbers_alone() -> None:
    """A mere pattern, as of what is wrong in the last item of one case, is another formula's, too."""
    strange = [piece(f"u{i}", UNNAMEABLE=Grade.HINT) for i in range(5)]
    left = [piece("a", UNNAMEABLE=Grade.HINT, LAST_SAMPLE=Grade.PATTERN), piece("b", SIGN=Grade.EXACT)]
    assert named([*strange, *left]) == [
        (Cause.UNNAMEABLE, [*(f"u{i}" for i in range(5)), "a"]),
        (Cause.SIGN, ["b"]),
    ]
    assert named([strange[0], left[0]])[0] == (Cause.LAST_SAMPLE, ["a"])


def test_a_factor_that_several_inputs_share_is_no_coincidence() -> None:
    def at(name: str, value: float, factor: float) -> Evidence:
        case = Case(name, "", {"x": np.array([value])})
        return piece(name, factor, case, UNNAMEABLE=Grade.HINT, COMMON_FACTOR=Grade.HINT)

    same = [at(f"s{i}", float(i), 1.001) for i in range(3)]
    assert named(same) == [(Cause.COMMON_FACTOR, ["s0", "s1", "s2"])]
    assert named([at(f"s{i}", float(i), 1.1**i) for i in range(3)])[0][0] is Cause.UNNAMEABLE
    assert named([at(f"s{i}", 1.0, 1.001) for i in range(3)])[0][0] is Cause.UNNAMEABLE
    assert named([at(f"s{i}", float(i), 1 + 1e-6 * i) for i in range(1, 4)])[0][0] is Cause.UNNAMEABLE


def test_no_evidence_is_no_diagnosis() -> None:
    assert diagnose([]) == []
    assert diagnose([piece("a")]) == []


def test_every_cause_has_a_sentence() -> None:
    assert all(cause.sentence for cause in Cause)


MISREAD = [
    pytest.param(found, misreading, id=f"{found.stem}-{misreading.option.rpartition('.')[2]}")
    for found in KNOWN.values()
    for misreading in found.misreadings
]


@pytest.mark.parametrize(("found", "misreading"), MISREAD)
def test_an_option_taken_for_another_is_named_in_a_forks_message_too(found: Loss, misreading: Misreading) -> None:
    """On the first variant where it makes a difference; a factor, or another margin, may explain it as well there."""
    for variant, given in product(found.variants, found.options[misreading.option]):
        for taken in misreading.values(given):
            cases = [variant.given({misreading.option: v}).case("misread", weights=(2.5,)) for v in (given, taken)]
            case, answer = cases[0], answered(cases[1])
            if judge_outcome(case, answer, "float64").failures:
                assert Cause(misreading.cause) in causes(case, answer)
                return
    raise AssertionError("it makes no difference anywhere")
