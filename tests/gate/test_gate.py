"""The gate: what is new, what is gone, what did not run; strict both ways."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.contract.errors import UsageError
from conformance.contract.verdict import Level, Status
from conformance.gate import (
    Baseline,
    Known,
    KnownDeclined,
    Lock,
    decision_on,
    read_baseline,
    read_lock,
    write_baseline,
    write_lock,
)
from conformance.gate.update import UNEXPLAINED, updated
from conformance.record.report import Report
from tests.command_line import Lossconf, lossconf_in
from tests.reports import HEADER, failed, passed, report_of, saved, verdict

TODAY = datetime.date(2030, 6, 1)


def known(*checks: str, **fields: Any) -> Known:
    return Known(**{"reason": "the old kernel", "requirement": "hinge_loss.backward", "checks": checks, **fields})


def code(report: Report, *entries: Known, lock: Lock | None = None) -> int:
    return int(decision_on(report, Baseline(entries), lock, TODAY).code)


def kinds(report: Report, *entries: Known, lock: Lock | None = None) -> list[str]:
    return [objection.kind for objection in decision_on(report, Baseline(entries), lock, TODAY).objections]


GOOD, BAD = passed("h/1"), failed("h/2")


def test_a_known_failure_passes_and_is_counted() -> None:
    decision = decision_on(report_of(GOOD, BAD), Baseline((known("h/2"),)), None, TODAY)
    assert (int(decision.code), [v.check for v in decision.known]) == (0, ["h/2"])


@pytest.mark.parametrize(
    ("judged", "entries", "kind", "exit_code"),
    [
        ([GOOD, BAD], [], "new failure", 1),
        ([GOOD, BAD], [known("h/2", dtype="float64")], "new failure", 1),
        ([GOOD, BAD], [known("h/2", device="cuda")], "new failure", 1),
        ([GOOD, BAD], [known("h/2", requirement="net.split")], "new failure", 1),
        ([GOOD, verdict("h/2", Status.CRASHED)], [known("h/2")], "new failure", 1),
        ([GOOD, passed("h/2")], [known("h/2")], "unexpected pass", 3),
        ([GOOD, verdict("h/2", Status.UNSUPPORTED)], [known("h/2")], "fails no more", 7),
        ([GOOD], [known("h/2")], "matches nothing", 3),
        ([GOOD, BAD], [known("h/2", expires=datetime.date(2030, 5, 31))], "expired", 3),
        ([BAD], [known("h/2")], "nothing passed", 7),
    ],
)
def test_the_gate_is_strict_both_ways(judged: list[Any], entries: list[Known], kind: str, exit_code: int) -> None:
    report = report_of(*judged)
    assert kind in kinds(report, *entries)
    assert code(report, *entries) == exit_code


def test_an_entry_lasts_through_its_last_day() -> None:
    assert code(report_of(GOOD, BAD), known("h/2", expires=TODAY)) == 0


def test_what_is_known_of_another_device_says_nothing_here() -> None:
    assert code(report_of(GOOD), known("h/2", device="cuda")) == 0


OPEN = verdict("h/2", Status.UNSUPPORTED, requirement="hinge_loss.label-shapes")


def accepts(*entries: KnownDeclined, judged: Sequence[Any] = (GOOD, OPEN), **header: Any) -> tuple[int, list[str]]:
    decision = decision_on(report_of(*judged, **header), Baseline((), declined=entries), None, TODAY)
    return int(decision.code), [objection.kind for objection in decision.objections]


def test_what_is_claimed_and_not_decided_shuts_the_gate_until_it_is_accepted() -> None:
    entry = KnownDeclined("no such labels", "hinge_loss.label-shapes")
    assert accepts() == (7, ["not decided"])
    assert accepts(entry) == (0, [])
    assert accepts(replace(entry, dtype="float64")) == (7, ["not decided", "declined no more"])
    assert accepts(replace(entry, expires=datetime.date(2030, 5, 31))) == (3, ["expired"])
    limited = verdict("h/2", Status.UNSUPPORTED, requirement="hinge_loss.label-shapes", limit="size>8")
    assert accepts(judged=(GOOD, limited)) == (0, [])


def test_an_entry_is_stale_where_nothing_is_declined() -> None:
    entry, decided = (
        KnownDeclined("old", "hinge_loss.label-shapes"),
        passed("h/2", requirement="hinge_loss.label-shapes"),
    )
    assert accepts(entry, judged=(GOOD, decided)) == (3, ["declined no more"])
    assert accepts(entry, judged=(GOOD,)) == (3, ["declined no more"])
    part = {"selection": {"layers": ["hinge_loss"]}, "keyword": "", "shares": []}
    assert accepts(entry, judged=(GOOD,), selection=part) == (0, [])


def test_an_update_accepts_what_is_open_and_forgets_what_is_not() -> None:
    report = report_of(GOOD, OPEN)
    after = updated(Baseline(declined=(KnownDeclined("old", "net.split"),)), report, pin=True)
    assert [(each.requirement, each.dtype) for each in after.declined] == [("hinge_loss.label-shapes", "float32")]
    assert after.suite == "2"
    assert int(decision_on(report, after, None, TODAY).code) == 0


def test_a_report_on_fresh_values_goes_by_requirement_and_is_never_stale() -> None:
    elsewhere = known("h/7", "h/1")
    assert code(report_of(GOOD, BAD, fresh=3), elsewhere) == 0
    assert code(report_of(GOOD, BAD), elsewhere) == 1
    lock = Lock({GOOD.verdict.item: 9}, "1")
    assert code(report_of(GOOD, fresh=3), elsewhere, lock=lock) == 0
    assert code(report_of(GOOD), lock=lock) == 4
    assert kinds(report_of(GOOD, BAD, fresh=3), known("h/2", requirement="hinge_loss.forward")) == ["new failure"]


def test_a_gate_may_take_no_report_on_published_values() -> None:
    for fresh, wanted in ((0, 7), (3, 0)):
        assert int(decision_on(report_of(GOOD, fresh=fresh), None, None, TODAY, fresh=True).code) == wanted


def test_a_failure_counts_before_what_is_open_and_that_before_a_lock() -> None:
    lock = Lock({"h/9[float32]": 1}, "2", Path("x"))
    assert code(report_of(GOOD, BAD, OPEN), lock=lock) == 1
    assert code(report_of(GOOD, OPEN), lock=lock) == 7


def test_a_share_has_no_conclusion_and_an_object_in_the_judges_process_none_that_is_good() -> None:
    share = {"selection": {}, "keyword": "", "shares": [[1, 2]]}
    assert code(report_of(GOOD, selection=share)) == 7
    assert code(report_of(GOOD, BAD, selection=share)) == 1
    assert code(report_of(GOOD, implementation={**HEADER["implementation"], "in_process": True})) == 7


def test_a_quick_run_opens_no_gate_and_is_no_baseline_lock_or_entry(lossconf: Lossconf, tmp_path: Path) -> None:
    quick = {"selection": {}, "keyword": "", "shares": [], "quick": True}
    assert kinds(report_of(GOOD, selection=quick)) == ["a quick run"]
    assert code(report_of(GOOD, selection=quick)) == 7
    assert code(report_of(GOOD, BAD, selection=quick)) == 1
    saved(tmp_path / "q.jsonl", report_of(GOOD, BAD, selection=quick))
    for command in (
        ("baseline", "update", "--from", "q.jsonl"),
        ("baseline", "lock", "--from", "q.jsonl"),
        ("scoreboard", "q.jsonl", "-o", "site"),
    ):
        done = lossconf(*command)
        assert done.code == 2
        assert "q.jsonl is of a quick run, which is no conformance run: run without --quick" in done.err


def test_what_is_newer_than_the_pinned_suite_is_told_and_shuts_nothing() -> None:
    news = [replace(each, since="2") for each in (BAD, verdict("h/3", Status.INCONCLUSIVE))]
    report = report_of(GOOD, *news)
    assert code(report) == 1
    for pinned in (Baseline(suite="1"), Baseline(suite="2")):
        for lock in (None, Lock({"h/1[float32]": 1}, "1", Path("x"))):
            decision = decision_on(report, pinned, lock, TODAY)
            assert (int(decision.code), len(decision.news)) == ((0, 2) if pinned.suite == "1" else (1, 0))
    locked = decision_on(report, None, Lock({"h/1[float32]": 1}, "1", Path("x")), TODAY)
    assert int(locked.code) == 0
    assert "newer than the pinned suite 1" in locked.notes[0]
    assert "1 failed, 1 not decided" in locked.notes[0]


def test_recommendations_shut_no_gate() -> None:
    assert code(report_of(GOOD, failed("h/2", level=Level.SHOULD))) == 0


def test_a_part_of_the_suite_leaves_the_rest_of_the_baseline_alone() -> None:
    part = report_of(GOOD, selection={"selection": {"layers": ["hinge_loss"]}, "keyword": "", "shares": []})
    assert code(part, known("h/2")) == 0


def test_a_broken_suite_or_a_stopped_run_says_nothing() -> None:
    broken = Report(report_of(GOOD).header, (GOOD,), ({"item": "x", "message": "y"},), {"exit": 5})
    assert code(broken) == 5
    assert code(report_of(GOOD, BAD, complete=False)) == 5


def test_fewer_decided_verdicts_than_the_lock_asks_for() -> None:
    lock = Lock.of(report_of(passed("h/1"), passed("h/1", requirement="hinge_loss.forward"), passed("h/2")), Path("x"))
    assert lock.counts == {"h/1[float32]": 2, "h/2[float32]": 1}
    assert code(report_of(passed("h/1"), passed("h/2")), lock=lock) == 4
    skipped = verdict("h/2", Status.SKIPPED)
    both = (passed("h/1"), passed("h/1", requirement="hinge_loss.forward"))
    assert code(report_of(*both, skipped), lock=lock) == 7
    declined = verdict("h/2", Status.UNSUPPORTED, limit="size>64")
    assert code(report_of(*both, declined), lock=lock) == 4
    assert code(report_of(*both), lock=lock) == 4
    assert code(report_of(*both, passed("h/2"), passed("h/3")), lock=lock) == 0


def test_a_lock_taken_of_failures_lets_them_be_mended() -> None:
    failing = report_of(passed("h/1"), failed("h/1", requirement="hinge_loss.loss-weight"), failed("h/2"))
    lock = Lock.of(failing, Path("x"))
    assert lock.counts == {"h/1[float32]": 1, "h/2[float32]": 1}
    assert code(report_of(passed("h/1"), passed("h/2")), lock=lock) == 0
    assert code(report_of(passed("h/1")), lock=lock) == 4


def test_a_regression_counts_before_anything_that_is_stale() -> None:
    lock = Lock({"h/9[float32]": 1}, "2", Path("x"))
    assert code(report_of(GOOD, BAD), known("h/7"), lock=lock) == 1
    assert code(report_of(GOOD), known("h/7"), lock=lock) == 4


def test_more_checks_than_locked_are_told_and_stop_nobody() -> None:
    lock = Lock({"h/1[float32]": 1}, "1", Path("x"))
    decision = decision_on(report_of(GOOD, passed("h/2")), None, lock, TODAY)
    assert int(decision.code) == 0
    assert "1 check(s) are not in the lock" in decision.notes[0]
    assert "of suite 1, the report of 2" in decision.notes[0]


def test_an_update_fits_the_report_and_keeps_what_people_wrote() -> None:
    day = datetime.date(2031, 1, 1)
    before = Baseline((known("h/2", "h/3", issue="#7", expires=day), known("h/8", device="cuda"), known("h/9")))
    report = report_of(GOOD, BAD, passed("h/3"), failed("h/4"), failed("h/5", dtype="float64"))
    after = updated(before, report)
    assert code(report, *after.known) == 0
    assert known("h/2", issue="#7", expires=day) in after.known
    assert known("h/8", device="cuda") in after.known
    assert known("h/9") not in after.known  # a whole run, and no such check
    part = report_of(GOOD, BAD, selection={"selection": {}, "keyword": "h", "shares": []})
    assert known("h/9") in updated(before, part).known
    quiet = verdict("h/3", Status.PASSED, requirement="hinge_loss.forward")  # says nothing of the other requirement
    part = report_of(GOOD, quiet, selection={"selection": {}, "keyword": "h", "shares": []}, dtypes=["float32"])
    assert updated(Baseline((known("h/2", "h/3"),)), part).known == (known("h/2"),)
    assert kinds(part, known("h/3")) == ["matches nothing"]
    new = {k.dtype: k for k in after.known if k.reason == UNEXPLAINED}
    assert (new["float32"].checks, new["float64"].checks) == (("h/4",), ("h/5",))


text = st.text(min_size=1).filter(str.strip)


@given(
    st.lists(
        st.builds(
            Known,
            reason=text,
            requirement=text,
            checks=st.lists(text, min_size=1, unique=True).map(lambda names: tuple(sorted(names))),
            status=st.sampled_from(["failed", "crashed", "timed_out", "protocol_error"]),
            dtype=st.sampled_from(["", "float32", "float64"]),
            device=st.text(),
            issue=st.text(),
            expires=st.none() | st.dates(),
        )
    )
)
def test_a_baseline_of_any_text_is_read_back(tmp_path_factory: pytest.TempPathFactory, entries: list[Known]) -> None:
    path = tmp_path_factory.mktemp("baseline") / "baseline.toml"
    write_baseline(Baseline(tuple(entries), path))
    assert sorted(map(repr, read_baseline(path).known)) == sorted(map(repr, entries))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "is no TOML"),
        (b"schema = ", "is no TOML"),
        (b"schema = 2", "its schema is 2"),
        (b"schema = 1\nknown = 3", "'known'"),
        (b"schema = 1\nextra = 3", "'extra'"),
        (b"schema = 1\nsuite = 2", "suite is 2"),
        (b'schema = 1\nsuite = "' + b"9" * 5000 + b'"', "suite is '999"),
        (b"schema = 1\n[[declined]]\nreason = 'x'", "declined 1: requirement is missing"),
        (b"schema = 1\n[[declined]]\nreason = 'x'\nrequirement='a'\nchecks=['b']", "no field named 'checks'"),
        (b"schema = 1\n[[known]]\nreason = 'x'", "known 1: requirement is missing"),
        (b"schema = 1\n[[known]]\nreason = ''\nrequirement='a'\nchecks=['b']", "reason is missing or empty"),
        (b"schema = 1\n[[known]]\nreason = 'x'\nrequirement='a'\nchecks='b'", "should be a list"),
        (b"schema = 1\n[[known]]\nreason = 'x'\nrequirement='a'\nchecks=[1]", "should be a list"),
        (b"schema = 1\n[[known]]\nreason = 'x'\nrequirement='a'\nchecks=['b']\nexpires='soon'", "should be a date"),
        (b"schema = 1\n[[known]]\nreason = 'x'\nrequirement='a'\nchecks=['b']\nstatus='bad'", "status is 'bad'"),
        (b"schema = 1\n[[known]]\nreason = 'x'\nrequirement='a'\nchecks=['b']\nexpire=2030-01-01", "no field named"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused_with_its_place(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "baseline.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        read_baseline(path)
    assert says in str(raised.value)


def test_a_lock_is_read_back_and_a_strange_line_refused(tmp_path: Path) -> None:
    lock = Lock({"h/1[float32]": 2, "a/b[float64]": 1}, "2", tmp_path / "lock")
    write_lock(lock)
    assert read_lock(lock.path) == lock
    (tmp_path / "lock").write_text("h/1[float32] 2\nh/2[float16] many\n")
    with pytest.raises(UsageError, match="line 2"):
        read_lock(lock.path)
    (tmp_path / "lock").write_text("# suite 0.1.0\nh/1[float32] 2\n")
    with pytest.raises(UsageError, match="names no suite version"):
        read_lock(lock.path)
    (tmp_path / "lock").write_text("# nothing\n")
    with pytest.raises(UsageError, match="locks nothing"):
        read_lock(lock.path)
    (tmp_path / "lock").write_bytes(b"# suite 2\r\nh/1[float32] 2\r\na/b[float64] 1\r\n")
    assert read_lock(lock.path) == lock
    (tmp_path / "lock").write_text("# suite 2\nh/1[float32] 2\nh/1[float32] 1\n")  # as a merge of two may leave it
    with pytest.raises(UsageError, match=r"line 3: h/1.float32. is locked twice"):
        read_lock(lock.path)


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


def test_a_history_is_gated_step_by_step(lossconf: Lossconf, tmp_path: Path) -> None:
    report, files = tmp_path / "report.jsonl", ("--baseline", "baseline.toml", "--lock", "lossconf.lock")

    def gate(*judged: Any, **header: Any) -> int:
        saved(report, report_of(*judged, **header))
        return lossconf("check", "report.jsonl", *files).code

    a, b, c = passed("h/a"), passed("h/b"), passed("h/c")
    saved(report, report_of(a, b, failed("h/c")))
    assert "1 failure(s) known in 1 entries; 1 new" in lossconf("baseline", "update", "--from", "report.jsonl").out
    assert "3 checks" in lossconf("baseline", "lock", "--from", "report.jsonl").out
    assert gate(a, b, failed("h/c")) == 0  # as it was
    assert gate(a, b, c) == 3  # fixed, and the baseline not told
    lossconf("baseline", "update", "--from", "report.jsonl")
    assert gate(a, b, c) == 0
    assert gate(a, failed("h/b"), c) == 1  # broken
    assert gate(a, verdict("h/b", Status.SKIPPED), c) == 7  # skipped
    assert gate(a, b) == 4  # a test file deleted
    cuda = {"implementation": {**report_of().header["implementation"], "devices": ["cuda"]}}
    assert gate(a, b, failed("h/c"), **cuda) == 1  # a failure on one device only
    baseline = tmp_path / "baseline.toml"
    entry = '\n[[known]]\nreason = "atomics"\nrequirement = "hinge_loss.backward"\nchecks = ["h/c"]\ndevice = "cuda"\n'
    baseline.write_text(baseline.read_text() + entry)
    assert gate(a, b, failed("h/c"), **cuda) == 0
    assert gate(a, b, c) == 0  # the other device knows nothing of it
    baseline.write_text(baseline.read_text() + "expires = 2020-01-01\n")
    assert gate(a, b, failed("h/c"), **cuda) == 3  # expired
    newer = {"suite": {"name": "caffe-loss-conformance", "version": "0.2.0"}}
    assert gate(a, b, c, passed("h/d"), **newer) == 0  # a new suite: more checks
    assert gate(a, b, c, failed("h/d"), **newer) == 1  # that it fails
    assert gate(a, c, passed("h/d"), **newer) == 4  # or that it lost
    lossconf("baseline", "lock", "--from", "report.jsonl")
    assert gate(a, c, passed("h/d"), **newer) == 0


def test_a_report_that_is_a_share_or_has_no_end_is_not_locked(lossconf: Lossconf, tmp_path: Path) -> None:
    share = report_of(GOOD, selection={"selection": {}, "keyword": "", "shares": [[1, 2]]})
    for report in (share, report_of(GOOD, complete=False)):
        saved(tmp_path / "report.jsonl", report)
        ended = lossconf("baseline", "lock", "--from", "report.jsonl")
        assert ended.code == 2
        assert not (tmp_path / "lossconf.lock").exists()


def test_a_selection_is_locked_and_the_lock_says_which(lossconf: Lossconf, tmp_path: Path) -> None:
    chosen = {"selection": {"layers": ["hinge_loss"], "families": []}, "keyword": "h", "shares": []}
    saved(tmp_path / "report.jsonl", report_of(GOOD, passed("h/2"), selection=chosen))
    ended = lossconf("baseline", "lock", "--from", "report.jsonl")
    assert (ended.code, "part of the suite: layer hinge_loss; -k h" in ended.out) == (0, True)
    lock = read_lock(tmp_path / "lossconf.lock")
    assert lock.selected == {"layers": ["hinge_loss"], "keyword": "h"}
    held = lossconf("check", "--lock", "lossconf.lock")
    assert (held.code, "note" in held.out) == (0, False)
    saved(tmp_path / "report.jsonl", report_of(GOOD, passed("h/2"), passed("h/3")))
    wider = lossconf("check", "--lock", "lossconf.lock")
    assert wider.code == 0
    assert (
        "note: the lock is of a part of the suite (layers hinge_loss; keyword h): it holds no other check" in wider.out
    )
    saved(tmp_path / "report.jsonl", report_of(GOOD, selection=chosen))
    assert lossconf("check", "--lock", "lossconf.lock").code == 4
    (tmp_path / "lossconf.lock").write_text("# suite 2\n# selected [\nh/1[float32] 1\n")
    assert "line 2: what was selected is no JSON object" in lossconf("check", "--lock", "lossconf.lock").err


@pytest.mark.slow
def test_a_run_is_gated_as_it_ends(lossconf: Lossconf, tmp_path: Path) -> None:
    part = ("--family", "loss_weight", "--layer", "euclidean_loss", "--dtype", "float32")
    wrong = ("run", "-j", "0", "direct:tests.direct_miniatures:IgnoresWeight", *part)
    assert lossconf(*wrong).code == 1
    assert lossconf("baseline", "update", "--from", "report.jsonl").code == 0
    assert lossconf(*wrong, "--baseline", "baseline.toml").code == 0
