"""Advice: what a conclusion means to somebody who has never seen one, and what can be done next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from conformance.contract.errors import one_line
from conformance.record.conclusion import Conclusion

__all__ = ["meaning_of", "next_steps"]


def meaning_of(found: Conclusion) -> str:
    """The conclusion in a sentence without a word of the suite's own; empty where the run itself went wrong."""
    report = found.report
    if report.harness_errors or (not report.complete and not found.musts.failed):
        return ""
    if found.musts.failed:
        return "somewhere it computes other numbers than Caffe, or fails to; each group above is likely one mistake"
    if found.share:
        return "nothing yet: the other shares of the run have to be merged with this one"
    if found.quick and found.musts.decided:
        return "no mistake that the few most telling checks would show; what is right is told by a run without --quick"
    if found.in_process:
        return "nothing for sure: it ran where it could have changed the judge, so run it without --in-process"
    if not found.musts.decided:
        return "nothing: not one number was judged"
    if not found.good:
        return "some of what it says it computes could not be judged, so nobody knows whether it is right there"
    part = ", in the part of the suite that was chosen" if found.selected else ""
    return f"forward and backward it computes what Caffe computes, but for rounding that its types allow{part}"


def next_steps(found: Conclusion, path: str, failing: str = "") -> Iterator[tuple[str, str]]:
    """Commands and what each gives; ``path`` is where the report is, ``failing`` the first item that failed."""
    place = shlex.quote(one_line(path))
    if failing:
        yield f"lossconf explain {place} {shlex.quote(one_line(failing))}", "what is wrong with the first, and why"
    if found.share:
        yield f"lossconf merge {place} OTHERS -o whole.jsonl", "the shares as one report"
        return
    yield f"lossconf report {place} --html report.html", "all of it on one page"
    if found.musts.failed:
        yield f"lossconf baseline update --from {place}", "accept these failures as known, and no others"
    elif found.quick:
        yield "lossconf run without --quick", "whether it conforms"
    elif found.good:
        yield f"lossconf baseline lock --from {place}", "have a gate notice where checks vanish"
    yield "lossconf list words", "what must, golden, quirk and the like mean"
