"""`lossconf diff` and `lossconf merge`: what changed and who changed it; shards joined, machines side by side."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from conformance.contract.errors import NotWhole, Stopped, UsageError
from conformance.contract.verdict import Level, Status
from conformance.record.conclusion import Musts
from conformance.record.devices import devices_between
from conformance.record.differences import differences_between
from conformance.record.merging import joined, matrix, unlike
from conformance.record.reader import read_report
from conformance.record.report import Judged, Report
from conformance.record.whole import digest_of_items
from conformance.record.writer import write_report
from tests.command_line import Lossconf, lossconf_in
from tests.reports import HEADER, failed, passed, report_of, verdict

NEWER = {"suite": {"name": "caffe-loss-conformance", "version": "0.2.0"}}
ANOTHER = {"implementation": {**HEADER["implementation"], "version": "1.3"}}


def with_case(report: Report, digest: str) -> Report:
    """The report, all of its checks run on cases of that digest."""
    ended = tuple({**end, "cases": {end["item"].partition("[")[0]: digest}} for end in report.ended)
    return Report(report.header, report.judged, report.harness_errors, report.footer, report.evidence, ended)


def kinds(old: Report, new: Report) -> list[tuple[str, bool]]:
    return [(change.kind, change.by_suite) for change in differences_between(old, new).changed]


GOOD, BAD = report_of(passed("h/1")), report_of(failed("h/1"))


def test_a_change_is_the_implementations_where_the_suite_is_the_same() -> None:
    assert kinds(GOOD, BAD) == [("broke", False)]
    assert kinds(BAD, GOOD) == [("mended", False)]
    assert kinds(GOOD, report_of(verdict("h/1", Status.UNSUPPORTED))) == [("became", False)]
    assert kinds(GOOD, GOOD) == []


def test_a_change_is_the_suites_where_only_the_suite_is_another() -> None:
    assert kinds(GOOD, report_of(failed("h/1"), **NEWER)) == [("broke", True)]
    assert kinds(GOOD, report_of(failed("h/1"), **NEWER, **ANOTHER)) == [("broke", False)]


def test_a_change_is_the_suites_where_the_case_is_another() -> None:
    old, new = with_case(GOOD, "aaaa"), with_case(report_of(failed("h/1"), **NEWER, **ANOTHER), "bbbb")
    assert kinds(old, new) == [("broke", True)]
    assert kinds(old, with_case(BAD, "aaaa")) == [("broke", False)]


def test_recommendations_are_no_regressions() -> None:
    changes = differences_between(GOOD, report_of(failed("h/1", level=Level.SHOULD)))
    assert (len(changes.changed), changes.regressions) == (1, [])


def test_checks_that_come_and_go_are_told_apart_from_changes() -> None:
    changes = differences_between(
        report_of(passed("h/1"), passed("h/2")), report_of(passed("h/1"), passed("h/3"), **NEWER)
    )
    assert [v.check for v in changes.added] == ["h/3"]
    assert [v.check for v in changes.removed] == ["h/2"]
    assert changes.changed == ()


PLAN = digest_of_items(["h/1[float32]", "h/2[float32]"])


def shard(index: int, *judged: Judged, **header: Any) -> Report:
    selection = {"selection": {}, "keyword": "", "shares": [[index, 2]]}
    return report_of(*judged, **{"selection": selection, "plan": PLAN, **header})


def test_shards_become_one_report() -> None:
    ((paths, whole),) = joined({Path("a"): shard(1, passed("h/1")), Path("b"): shard(2, failed("h/2"))})
    assert paths == [Path("a"), Path("b")]
    assert whole.footer is not None
    assert (whole.header["selection"]["shares"], whole.footer["exit"], len(whole.judged)) == ([], 1, 2)


def test_missing_shards_leave_a_report_of_a_part() -> None:
    ((_, part),) = joined({Path("a"): shard(1, passed("h/1"))})
    assert part.header["selection"]["shares"] == [[1, 2]]


def test_a_shard_that_was_stopped_leaves_the_whole_incomplete() -> None:
    ((_, whole),) = joined({Path("a"): shard(1, passed("h/1")), Path("b"): shard(2, passed("h/2"), complete=False)})
    assert not whole.complete


def test_the_same_shard_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="both ran"):
        joined({Path("a"): shard(1, passed("h/1")), Path("b"): shard(1, passed("h/1"))})


def test_shards_of_machines_that_describe_their_environments_otherwise_are_of_one_run() -> None:
    other = {"implementation": {**HEADER["implementation"], "environment": {"compiler": "gcc 13"}}}
    ((_, whole),) = joined({Path("a"): shard(1, passed("h/1")), Path("b"): shard(2, passed("h/2"), **other)})
    assert (whole.complete, whole.header["selection"]["shares"]) == (True, [])


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ({"seed": 7}, "seed"),
        ({"suite": {**HEADER["suite"], "requirements": "1"}}, "suite"),
        ({"plan": digest_of_items(["h/2[float32]"])}, "set of checks"),
        ({"selection": {"selection": {}, "keyword": "h", "shares": [[2, 2]]}}, "keyword"),
        ({"selection": {"selection": {"layers": ["hinge_loss"]}, "keyword": "", "shares": [[2, 2]]}}, "selection"),
        ({"selection": {"selection": {}, "keyword": "", "shares": [[2, 2]], "snippets": ["layer {}"]}}, "snippets"),
    ],
)
def test_shards_of_unlike_runs_are_not_joined(header: dict[str, Any], named: str) -> None:
    one, other = shard(1, passed("h/1")), shard(2, passed("h/2"), **header)
    assert len(joined({Path("a"): one, Path("b"): other})) == 2
    assert unlike([one, other]) == [named]


def test_shards_whose_items_are_not_the_runs_show_nothing() -> None:
    cut = shard(2, passed("h/3"))
    with pytest.raises(NotWhole, match="what a and b make together is not whole"):
        joined({Path("a"): shard(1, passed("h/1")), Path("b"): cut})


def test_devices_stand_side_by_side() -> None:
    cuda = {"implementation": {**HEADER["implementation"], "devices": ["cuda"]}}
    runs = joined({Path("a"): report_of(passed("h/1")), Path("b"): report_of(passed("h/1"), failed("h/2"), **cuda)})
    columns = matrix(runs)
    assert [column.label for column in columns] == ["mine 1.2 cpu x86_64", "mine 1.2 cuda x86_64"]
    assert [column.cells["hinge_loss"] for column in columns] == [Musts(1, 1, 1, 1), Musts(2, 2, 2, 1)]
    assert [column.conclusion for column in columns] == ["conforms", "does not conform"]


@pytest.fixture
def lossconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lossconf:
    return lossconf_in(tmp_path, monkeypatch, capsys)


def test_the_commands_print_and_end_as_they_should(lossconf: Lossconf, tmp_path: Path) -> None:
    write_report(tmp_path / "old.jsonl", report_of(passed("h/1"), passed("h/2")))
    write_report(tmp_path / "new.jsonl", report_of(passed("h/1"), failed("h/2")))
    ended = lossconf("diff", "old.jsonl", "new.jsonl")
    assert ended.code == 1
    assert "the implementation broke (1)\n  h/2[float32] hinge_loss.backward: passed to failed" in ended.out
    assert lossconf("diff", "new.jsonl", "old.jsonl").code == 0
    assert "nothing changed" in lossconf("diff", "old.jsonl", "old.jsonl").out
    assert lossconf("merge", "old.jsonl", "new.jsonl", "-o", "both.jsonl").code == 2
    assert "| hinge\\_loss | 2 | 1 of 2 |" in lossconf("merge", "old.jsonl", "new.jsonl", "--markdown").out


def test_what_shards_are_joined_to_is_whole_or_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.jsonl"
    write_report(path, report_of(passed("h/1")))
    before = path.read_bytes()

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Stopped, match="No space left"):
        write_report(path, report_of(passed("h/1"), passed("h/2")))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_real_shards_merge_into_the_whole_run(lossconf: Lossconf, tmp_path: Path) -> None:
    part = ("run", "reference", "-j", "0", "--family", "refusals", "--layer", "hinge_loss", "--layer", "infogain_loss")
    lossconf(*part, "--report", "whole.jsonl")
    for index in (1, 2):
        lossconf(*part, "--shard", f"{index}/2", "--report", f"{index}.jsonl")
    assert lossconf("merge", "1.jsonl", "2.jsonl", "-o", "merged.jsonl").code == 0
    merged, whole = (read_report(tmp_path / name) for name in ("merged.jsonl", "whole.jsonl"))
    assert merged.complete
    assert merged.header["items"] == whole.header["items"]
    assert differences_between(merged, whole).changed == ()
    assert len(merged.judged) == len(whole.judged)


def on(device: str, *judged: Judged, **environment: str) -> Report:
    told = {**HEADER["implementation"], "devices": [device], "environment": environment}
    return report_of(*judged, implementation=told)


def test_devices_stand_beside_each_other_with_the_one_that_is_right(lossconf: Lossconf, tmp_path: Path) -> None:
    far = {"headroom": 0.125}
    cpu = on("cpu", passed("a"), passed("b", headroom=2.0), passed("d", dtype="float64"), failed("e", dtype="float64"))
    gpu = on("gpu:0", passed("a"), failed("b", **far), failed("d", dtype="float64"), passed("c"), gpu="Tesla <9>")
    for name, report in (("cpu", cpu), ("gpu", gpu)):
        write_report(tmp_path / f"{name}.jsonl", report)
    told = lossconf("diff", "cpu.jsonl", "gpu.jsonl")
    assert told.code == 1
    head, columns, *rows = told.out.splitlines()[:4]
    assert head == "cpu beside gpu:0 (Tesla <9>): musts failed, largest error in units of the bound"
    assert columns.split() == ["cpu", "gpu:0", "(Tesla", "<9>)", "unlike", "right"]
    assert " ".join(rows[0].split()) == "hinge_loss float32 0, 0.5 1, 8 1 of 2 cpu"
    assert " ".join(rows[1].split()) == "hinge_loss float64 1, 0.12 1, nothing measured 0 of 0 neither"
    assert "the implementation broke (2)" in told.out
    other = on("cpu", passed("a"))
    assert devices_between(cpu, other) == devices_between(cpu, report_of(passed("a"), **ANOTHER)) == []
    (same,) = devices_between(other, on("gpu:0", passed("a")))
    assert (same.right, same.unlike) == ((True, True), 0)


def test_machines_stand_side_by_side_on_a_page(lossconf: Lossconf, tmp_path: Path) -> None:
    write_report(tmp_path / "cpu.jsonl", on("cpu", passed("a"), passed("b")))
    write_report(tmp_path / "gpu.jsonl", on("gpu:0", passed("a"), failed("b"), gpu="Tesla <9>"))
    assert lossconf("merge", "cpu.jsonl", "gpu.jsonl", "--html", "machines.html").code == 0
    page = (tmp_path / "machines.html").read_text("utf-8")
    assert '<th scope="row">hinge_loss</th><td>2</td><td class="short">1 of 2</td>' in page
    assert "mine 1.2 gpu:0 (Tesla &lt;9&gt;) x86_64" in page
    assert "<script" not in page and "default-src 'none'" in page
