"""Tests of the mutants, of the matrix that says what kills them, and of the sensitivity."""

from __future__ import annotations

import json
import os
import pickle
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from conformance.cli.main import main
from conformance.contract.check import Check
from conformance.contract.errors import Stopped
from conformance.contract.implementation import Crash
from conformance.contract.outcome import Outcome, Refusal
from conformance.contract.session import Session
from conformance.contract.verdict import Level, Status, Verdict
from conformance.engine.cluster import Cluster, Lost, cluster_at
from conformance.losses import LOSSES, Variant, profile_of
from conformance.mutants import Cause, Mutant, MutantImplementation, all_mutants, half_mutants, mutants_by_id
from conformance.mutants.checkers import CHECKERS, Probe, kills
from conformance.mutants.common import COMMON
from conformance.mutants.diagnosed import Diagnosed, diagnosed, to_markdown, wrong_ones
from conformance.mutants.half import CLAIMS
from conformance.mutants.matrix import Kill, Row, concerned, kill_matrix, run_mutant
from conformance.mutants.pool import apply, in_processes
from conformance.mutants.right_answers import RightAnswers
from conformance.mutants.sensitivity import Reading, power_of
from conformance.mutants.slips import Slip, loss, mutants_of
from conformance.mutants.summary import Summary
from conformance.suite import extremes
from conformance.suite.judged import single
from refimpl.layers import FORMS
from refimpl.layers.euclidean_loss import EuclideanLoss
from refimpl.net import Net
from refimpl.running_error import Approx, Rounding

MUTANTS = (*all_mutants(), *half_mutants())
WRONG = [mutant for mutant in MUTANTS if mutant.equivalent is None]
PLAIN: Variant = LOSSES["euclidean_loss"].plain


def named(mutant: str) -> Mutant:
    return next(m for m in MUTANTS if m.id == mutant)


def check(family: str, requirement: str = "euclidean_loss.forward") -> Check:
    return single(f"{family}/a", "euclidean_loss", [requirement], PLAIN.case(f"{family}/a", weights=(2.5,)))


class TestTheList:
    def test_has_at_least_150_mutants_of_the_losses_and_the_net(self) -> None:
        counts = Counter(mutant.stem for mutant in WRONG)
        assert sum(counts[stem] for stem in (*LOSSES, "net")) >= 150
        assert min(counts[stem] for stem in (*LOSSES, "net")) >= 20

    def test_has_no_id_twice(self) -> None:
        assert [name for name, times in Counter(mutant.id for mutant in MUTANTS).items() if times > 1] == []

    def test_says_what_is_wrong_and_what_that_stands_for(self) -> None:
        assert [m.id for m in MUTANTS if not m.wrong.endswith(".") or "{" in m.wrong] == []
        assert [m.id for m in MUTANTS if not m.stands_for or m.stands_for.endswith(".")] == []

    def test_replaces_something_in_each(self) -> None:
        assert [m.id for m in MUTANTS if not m.layers and m.net is Net] == []

    def test_replaces_layers_by_kinds_of_themselves(self) -> None:
        replaced = [(m.id, kind, layer) for m in MUTANTS for kind, layer in m.layers.items()]
        assert [name for name, kind, layer in replaced if not issubclass(layer, tuple(FORMS[kind]))] == []

    def test_names_a_cause_for_what_is_wrong_and_none_for_what_is_right(self) -> None:
        assert Cause.NONE not in {mutant.cause for mutant in WRONG}
        assert all(m.cause is Cause.NONE for m in MUTANTS if m.id.partition("/")[2].startswith("control"))

    def test_leaves_at_most_a_tenth_without_a_name_and_a_sixth_of_the_forks_own_formulas(self) -> None:
        wide = [mutant for mutant in WRONG if mutant not in half_mutants()]
        ours = [mutant.cause for mutant in wide if profile_of(mutant.stem) == "bvlc"]
        forks = [mutant.cause for mutant in WRONG if profile_of(mutant.stem) != "bvlc"]
        assert ours.count(Cause.UNNAMEABLE) <= len(ours) / 10
        assert forks.count(Cause.UNNAMEABLE) <= len(forks) / 6

    def test_has_every_common_slip_for_every_loss(self) -> None:
        ids = {mutant.id for mutant in MUTANTS}
        assert {f"{stem}/{slip.name}" for stem in LOSSES for slip in COMMON} <= ids

    def test_has_mutants_of_both_dialects(self) -> None:
        assert {mutant.dialect for mutant in WRONG} == {"documented", "bvlc"}


class TestImplementation:
    def test_answers_otherwise_than_the_reference(self) -> None:
        case = PLAIN.case("a")
        right = MutantImplementation(named("euclidean_loss/control")).run(case, "float64")
        wrong = MutantImplementation(named("euclidean_loss/half-forgotten")).run(case, "float64")
        assert isinstance(right, Outcome) and isinstance(wrong, Outcome)
        assert wrong.loss == 2 * right.loss

    def test_refuses_what_the_reference_refuses(self) -> None:
        case = PLAIN.case("a", values={"x": np.zeros((4, 5)), "z": np.zeros((3, 5))})
        assert isinstance(MutantImplementation(named("euclidean_loss/control")).run(case, "float64"), Refusal)

    def test_crashes_where_the_mutant_raises(self) -> None:
        with pytest.raises(Crash, match="IndexError: too many indices"):
            one = LOSSES["euclidean_loss"].variants[2].case("a")
            MutantImplementation(named("euclidean_loss/batch-of-one-refused")).run(one, "float64")

    def test_runs_the_net_it_replaces(self) -> None:
        case = PLAIN.case("a", weights=(2.5,))
        answer = MutantImplementation(named("net/total-unweighted")).run(case, "float64")
        assert isinstance(answer, Outcome)
        assert answer.loss == answer.data["loss"].item()


class TestEcho:
    def test_matches_what_answers_as_the_reference_does(self) -> None:
        right = RightAnswers("documented")
        assert right.matches(check("golden"), "float32", MutantImplementation(named("euclidean_loss/loss-in-float32")))

    @pytest.mark.parametrize("mutant", ["euclidean_loss/loss-off-by-a-thousandth", "net/total-unweighted"])
    def test_tells_a_mutant_from_the_reference(self, mutant: str) -> None:
        assert not RightAnswers("documented").matches(check("golden"), "float64", MutantImplementation(named(mutant)))

    def test_does_not_match_what_dies(self) -> None:
        one = single(
            "a/a", "euclidean_loss", ["euclidean_loss.forward"], LOSSES["euclidean_loss"].variants[2].case("a/a")
        )
        dying = MutantImplementation(named("euclidean_loss/batch-of-one-refused"))
        assert not RightAnswers("documented").matches(one, "float64", dying)


def _made_slowly(folder: str) -> None:
    time.sleep(0.02)
    os.mkdir(folder)


@pytest.mark.parametrize("option", ["--drawn", "--checkers", "--requirements", "--diagnosis", "--choose-quick"])
def test_types_are_refused_where_there_is_no_matrix(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["mutants", "--dtype", "bfloat16", option])
    assert ended.value.code == 2 and "--dtype" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--drawn", "--list", "--requirements", "--diagnosis"])
def test_once_is_refused_where_there_is_no_matrix(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["mutants", "--once", option])
    assert ended.value.code == 2 and "--once" in capsys.readouterr().err


class TestPool:
    def test_gives_results_in_order(self) -> None:
        assert list(in_processes(abs, range(-5, 5), 2, together=3)) == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]

    def test_begins_little_more_once_nobody_asks(self, tmp_path: Path) -> None:
        names = [str(tmp_path / str(number)) for number in range(200)]
        results = in_processes(_made_slowly, names, 2)
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert len(list(tmp_path.iterdir())) < 100


class TestOnACluster:
    """`lossconf mutants --on`: the matrix of a run here, and its errors."""

    def test_the_rows_are_those_of_a_run_here(self, cluster_address: str) -> None:
        chosen = [named("euclidean_loss/half-forgotten"), named("euclidean_loss/top-weighted")]
        with cluster_at(cluster_address) as cluster:
            there = [replace(row, seconds=0.0) for row in kill_matrix(chosen, cluster, once=True)]
        assert there == [replace(row, seconds=0.0) for row in kill_matrix(chosen, once=True)]

    def test_the_results_are_in_order_and_what_was_lost_is_done_again(self) -> None:
        losing = LosingCluster()
        assert list(in_processes(abs, range(-50, 50), losing, together=3)) == [abs(n) for n in range(-50, 50)]
        assert losing.lost > 5

    def test_what_takes_every_worker_with_it_is_named(self) -> None:
        with pytest.raises(Stopped, match=r"every worker that was given -\d was lost"):
            list(in_processes(abs, range(-5, 5), LosingCluster(rate=1.0)))

    def test_another_suite_is_refused(self) -> None:
        with pytest.raises(Stopped, match="install the same one"):
            apply("lossconf 0.0.9", pickle.dumps((abs, [1])))

    @pytest.mark.parametrize("option", ["--list", "--requirements", "--sensitivity", "--checkers", "--jobs=2"])
    def test_what_is_done_here_is_refused(self, option: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["mutants", "--on", "local:1", option])
        assert ended.value.code == 2 and "--on" in capsys.readouterr().err


class LosingCluster(Cluster[int]):
    """Does what it is asked to at once, and loses some of it."""

    def __init__(self, rate: float = 0.3) -> None:
        self._chance, self._rate = Random(3), rate
        self._asked: list[tuple[int, Any]] = []
        self.lost = 0

    def hands(self) -> int:
        return 1

    def call(self, ticket: int, function: str, *words: Any) -> None:
        lost = self._chance.random() < self._rate
        self.lost += lost
        self._asked.append((ticket, Lost(killed=True) if lost else apply(*words)))
        self._chance.shuffle(self._asked)

    def ended(self, seconds: float) -> list[tuple[int, Any]]:
        return [self._asked.pop()]

    def cancel(self) -> None:
        self._asked.clear()


class TestMatrix:
    @pytest.mark.parametrize("claim", CLAIMS)
    def test_kills_in_half_types_what_float_does_not_show(self, claim: str) -> None:
        checks = [each for each in extremes.checks() if each.layer == "softmax_with_loss"]
        for name in ("probability-rounded-first", "log-sum-exp-in-half", "mask-finite", "small-gradients-flushed"):
            mutant = mutants_by_id()[f"softmax_with_loss/{name}"]
            row = run_mutant(mutant, checks, RightAnswers("documented"), claim=claim)
            assert row.killed_by == ["extremes"] and row.mutant == f"{mutant.id} [{claim}]"
        control = mutants_by_id()["softmax_with_loss/control-in-half"]
        assert run_mutant(control, checks, RightAnswers("documented"), claim=claim).as_it_should

    def test_names_the_verdict_that_kills(self) -> None:
        row = run_mutant(named("euclidean_loss/half-forgotten"), [check("golden")], RightAnswers("bvlc"))
        kill = row.kills["golden"]
        assert kill is not None and kill.requirement == "euclidean_loss.forward" and "top data loss" in kill.reason
        assert row.as_it_should

    def test_lets_a_control_live_as_it_should(self) -> None:
        row = run_mutant(
            named("euclidean_loss/control"), [check("golden"), check("gradients")], RightAnswers("documented")
        )
        assert row.kills == {"golden": None, "gradients": None}
        assert row.as_it_should

    def test_looks_no_further_than_it_takes_once(self) -> None:
        checks = [check("golden"), check("sizes")]
        row = run_mutant(named("euclidean_loss/half-forgotten"), checks, RightAnswers("documented"), once=True)
        assert row.killed_by == ["golden"] == list(row.kills)

    def test_says_so_where_a_mutant_lives(self) -> None:
        row = run_mutant(named("euclidean_loss/ignore-label-honoured"), [check("golden")], RightAnswers("documented"))
        assert not row.killed_by and not row.as_it_should

    def test_stops_at_the_first_kill_of_a_family(self) -> None:
        asked: list[str] = []

        def counted(name: str) -> Check:
            def run(session: Session) -> Iterator[Verdict]:
                asked.append(name)
                session.run(PLAIN.case("a"))
                yield Verdict(name, "euclidean_loss.forward", session.dtype, Status.FAILED)

            return Check(name, "golden", "euclidean_loss", ("euclidean_loss.forward",), run)

        run_mutant(named("euclidean_loss/half-forgotten"), [counted("one"), counted("two")], RightAnswers("bvlc"))
        assert asked == ["one", "one"]  # once for the reference's answers, once for the mutant's verdict

    def test_does_not_count_what_only_should_be(self) -> None:
        def run(session: Session) -> Iterator[Verdict]:
            session.run(PLAIN.case("a"))
            yield Verdict("a", "euclidean_loss.top-shape", session.dtype, Status.FAILED, Level.SHOULD)

        should = Check("a", "golden", "euclidean_loss", ("euclidean_loss.top-shape",), run)
        row = run_mutant(named("euclidean_loss/half-forgotten"), [should], RightAnswers("bvlc"))
        assert row.killed_by == [] and row.noticed["golden"].requirement == "euclidean_loss.top-shape"

    @pytest.mark.parametrize(
        ("mutant", "layer", "requirement", "types", "concerns"),
        [
            ("hinge_loss/margin-of-2", "hinge_loss", "hinge_loss.forward", (), True),
            ("hinge_loss/margin-of-2", "net", "net.split", ("HingeLoss",), True),
            ("hinge_loss/margin-of-2", "euclidean_loss", "euclidean_loss.forward", ("EuclideanLoss",), False),
            ("net/split-averages", "hinge_loss", "net.split", ("HingeLoss",), True),
            ("net/split-averages", "hinge_loss", "hinge_loss.forward", ("HingeLoss",), False),
            ("around/ReLU-slope-forgotten", "net", "layer.ReLU", (), True),
            ("around/ReLU-slope-forgotten", "net", "layer.ELU", (), False),
        ],
    )
    def test_runs_the_checks_that_concern_a_mutant(
        self, mutant: str, layer: str, requirement: str, types: tuple[str, ...], concerns: bool
    ) -> None:
        one = Check("a", "golden", layer, (requirement,), lambda session: [], layer_types=types)
        assert list(concerned(named(mutant), [one])) == ([one] if concerns else [])

    def test_leaves_large_cases_out(self) -> None:
        large = Check("a", "golden", "hinge_loss", ("hinge_loss.forward",), lambda session: [], core=False)
        assert list(concerned(named("hinge_loss/margin-of-2"), [large])) == []


def row(mutant: str, equivalent: str | None = None, **kills: bool) -> Row:
    kill = Kill("golden/a", "float64", "euclidean_loss.forward", "too large")
    return Row(mutant, "sign", equivalent, {family: kill if dead else None for family, dead in kills.items()}, {}, 0.1)


class TestSummary:
    def test_lists_survivors_first(self) -> None:
        whole = Summary([row("net/a", golden=True, quirks=True), row("net/b", golden=False, quirks=False)], 1.0)
        assert json.loads(whole.to_json())["rows"][0]["mutant"] == "net/b"
        assert whole.lines()[0] == "survived: net/b (of golden, quirks)"
        assert not whole.as_it_should

    def test_tells_when_an_equivalent_mutant_is_killed(self) -> None:
        whole = Summary([row("net/a", "a control", golden=True)], 1.0)
        assert whole.lines()[0] == "not equivalent after all: net/a, by golden/a [float64]: too large"
        assert not whole.as_it_should

    def test_marks_killed_survived_and_not_concerned(self) -> None:
        whole = Summary([row("net/a", golden=True, quirks=False), row("net/b", extremes=True, golden=True)], 1.0)
        assert "| net/a | sign | x | . |  |" in whole.to_markdown()
        assert whole.as_it_should

    def test_counts_those_that_one_family_alone_kills(self) -> None:
        assert "killed by one family alone: 1" in Summary([row("net/a", golden=True, quirks=False)], 1.0).lines()


class TestSlips:
    def test_a_changed_loss_keeps_the_gradient(self) -> None:
        slip = Slip("a", "{type} is wrong.", "a test", Cause.SIGN, loss(lambda x, at: -x))
        (mutant,) = mutants_of("euclidean_loss", EuclideanLoss, [slip])
        case = PLAIN.case("a")
        wrong = MutantImplementation(mutant).run(case, "float64")
        right = MutantImplementation(named("euclidean_loss/control")).run(case, "float64")
        assert isinstance(right, Outcome) and isinstance(wrong, Outcome)
        assert mutant.wrong == "EuclideanLoss is wrong."
        assert wrong.loss == -right.loss
        assert np.array_equal(wrong.diff["x"], right.diff["x"])


ROUNDING = Rounding(unit=2.0**-24, tiny=0.0, huge=np.inf)


def reading(*relative_bounds: float) -> Reading:
    bounds = np.array(relative_bounds)
    ones = np.ones(len(bounds))
    return Reading("hinge_loss", "gradient", "float32", ones, (Approx(ones, bounds, ROUNDING),))


class TestSensitivity:
    def test_is_the_smallest_error_beyond_the_bound(self) -> None:
        power = power_of([reading(2.0**-18)])
        assert (power.uniform, power.single) == (17, 17)

    def test_of_a_whole_array_is_that_of_its_sharpest_element(self) -> None:
        power = power_of([reading(2.0**-20, 2.0**-18, 2.0**-18)])
        assert (power.uniform, power.single) == (19, 17)

    def test_leaves_out_what_a_cancellation_left_over(self) -> None:
        power = power_of([reading(2.0**-20, 2.0**-20, 2.0**-20, 2.0**-8)])
        assert (power.single, power.elements, power.cancelled) == (19, 3, 1)

    def test_keeps_an_eighth(self) -> None:
        power = power_of([reading(*[2.0**-20] * 3, 2.0**-17)])
        assert (power.single, power.elements) == (16, 4)

    def test_falls_short_where_the_bound_is_wide(self) -> None:
        assert power_of([reading(2.0**-18)]).suffices
        assert not power_of([reading(2.0**-15)]).suffices


class TestCheckers:
    @pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.name)
    def test_accept_the_reference(self, checker: object) -> None:
        assert not any(kills(checker, named(f"{stem}/control")) for stem in ("euclidean_loss", "hinge_loss"))  # type: ignore[arg-type]

    @pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.name)
    def test_reject_a_gradient_of_the_wrong_sign(self, checker: object) -> None:
        assert kills(checker, named("hinge_loss/gradient-negated"))  # type: ignore[arg-type]

    @pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.name)
    def test_do_not_see_a_wrong_loss_with_its_own_gradient(self, checker: object) -> None:
        assert not kills(checker, named("euclidean_loss/mean-of-squares"))  # type: ignore[arg-type]

    def test_caffes_accepts_a_contrastive_gradient_of_zeros_in_the_batch_of_its_own_test(self) -> None:
        rng = np.random.default_rng(1701)
        values = {name: rng.uniform(-1, 1, (512, 2)).astype(np.float32).astype(np.float64) for name in "xz"}
        values["s"] = np.resize([1.0, 0.0], 512)
        variant = LOSSES["contrastive_loss"].sized((512, 2))
        wrong = named("contrastive_loss/gradient-zero")
        probe = Probe.of(variant.case("a", values=values), "contrastive_loss", "float64", wrong.layers)
        assert CHECKERS[0].accepts(probe)


class TestDiagnosed:
    def test_a_sample_is_drawn_by_its_seed_from_those_that_are_wrong(self) -> None:
        drawn = wrong_ones(MUTANTS, 40, seed=3)
        assert drawn == wrong_ones(MUTANTS, 40, seed=3) != wrong_ones(MUTANTS, 40, seed=4)
        assert len({mutant.id for mutant in drawn}) == 40 and all(mutant in WRONG for mutant in drawn)
        assert wrong_ones(MUTANTS) == WRONG

    def test_what_is_named_is_right_vague_wrong_or_nothing(self) -> None:
        named = {"a": "sign", "b": "unnameable", "c": "margin", "d": None}
        found = [Diagnosed(f"net/{name}", "sign", cause, 3, groups=2, beside=1) for name, cause in named.items()]
        assert [each.share for each in found] == ["right", "vague", "wrong", "none"]
        page = to_markdown(found)
        assert "right 1 (25.0%), vague 1 (25.0%), none 1 (25.0%), wrong 1 (25.0%)" in page
        assert "Of their failing cases 33.3% stand beside" in page
        assert "median 2, 90th percentile 2" in page and "| net/c | sign | margin | 3 |" in page

    @pytest.mark.slow
    def test_a_plain_slip_is_named_from_its_failures(self) -> None:
        (found,) = diagnosed([named("hinge_loss/gradient-doubled")])
        assert found.share == "right"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["mutants", *arguments])
    return int(ended.value.code or 0)


class TestCommand:
    def test_lists_the_mutants_with_their_causes(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("--list", "--layer", "hinge_loss") == 0
        assert "hinge_loss/margin-of-2\tmargin\tThe margin is 2 and not 1.\n" in capsys.readouterr().out

    def test_runs_one_and_writes_the_matrix(self, tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
        out = f"{tmp_path}/matrix.json"
        assert run("--mutant", "multinomial_logistic_loss/gradient-negated", "--out", out) == 0
        with open(out, encoding="utf-8") as file:
            matrix = json.load(file)
        assert matrix["killed"] == matrix["mutants"] == 1
        assert "1 of 1 mutants killed" in capsys.readouterr().out

    def test_draws_mutants_for_the_diagnosis_alone(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("--sample", "5") == 2
        assert "--sample: goes with --diagnosis" in capsys.readouterr().err

    def test_changes_kernels_for_drawn_mutants_alone(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("--kernels", "2") == 2
        assert "--kernels: goes with --drawn" in capsys.readouterr().err

    def test_suggests_the_name_that_was_meant(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("--mutant", "hinge_loss/margin-of-3") == 2
        assert "did you mean hinge_loss/margin-of-2" in capsys.readouterr().err

    def test_says_which_formats_it_can_write(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("--out", "matrix.csv") == 2
        assert "end the name with .json or .md" in capsys.readouterr().err
