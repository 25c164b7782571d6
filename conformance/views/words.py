"""Words: what the words of a report mean, a sentence each; the page, ``lossconf list words`` and the docs show them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FAMILIES", "NOT_FORETOLD", "WORDS", "beside_told"]

NOT_FORETOLD = "it foretells other cases and not the numbers of this one, which is wrong in arrays of the same kind"
"""What is said of a case that stands beside those which its group's cause explains."""


def beside_told(count: int) -> str:
    """So many of those, behind "also"."""
    return f"{count} case{'s' if count > 1 else ''} that it does not foretell, wrong in arrays of the same kind"


WORDS: Mapping[str, str] = {
    "advisory": "Told and shuts no gate: a must that is newer than the version of the suite that a gate has pinned.",
    "baseline": "A file of failures that are known, each with a reason; a gate lets these pass and no others.",
    "bound": "The largest error that a plain evaluation of the formula in the same type may have, for each element.",
    "broke": "Passed, or was not decided, in the report before, and fails in this one, of the same case.",
    "case": "A net, its inputs, and what is run: one pass or several, in one type.",
    "cause": "The mistake that explains failing cases best; a diagnosis, not a proof.",
    "check": "An item of the suite: one case, or several that are held against each other.",
    "claimed": "Within the limits that an implementation, or who runs it, stated before the first case.",
    "conforms": "Every must that is owed and claimed has passed.",
    "crashed": "The implementation's process died in the case; it is at fault.",
    "declined": "Owed and not claimed: outside the stated limits, and never sent.",
    "departure": "A gradient that, in a fork, is not the derivative of its loss, known and cited; either is accepted.",
    "dialect": "The side taken wherever Caffe contradicts its documentation: documented or bvlc; none asked: either.",
    "failed": "The answer is outside the bound, or not what the requirement says.",
    "family": "Checks of one kind, a column of the grid.",
    "form": "One of the meanings that forks give to one layer type.",
    "fresh": "With other values than the published ones, so that no answer can be remembered.",
    "golden": "A case whose answer was recorded from a real Caffe, or computed at 50 digits, and is kept.",
    "headroom": "The bound over the error, where that is least: below 1 is outside, 2 is half the bound.",
    "inconclusive": "The case could not show anything here; never a pass.",
    "lock": "A file that says how many verdicts every check has to reach, so that none can vanish.",
    "mended": "Failed in the report before, and passes in this one, the same case.",
    "must": "One requirement on one case in one type, that an implementation has to meet; what every count counts.",
    "not applicable": "Nothing was asked of this answer, or nothing is owed in these types.",
    "over the best": "Root mean square of errors over that of the exact result, rounded once; read, not judged.",
    "owed": "A must that the reference itself would be judged on.",
    "pass": "One forward and one backward run of a net; a case may have several, with batches that differ.",
    "passed": "The answer is what the requirement says, within the bound.",
    "profile": "Losses that are judged together: BVLC Caffe's own, or what forks added for one field.",
    "protocol error": "The answer is none by the protocol; the implementation is at fault.",
    "quirk": "A place where BVLC Caffe does something else than its documentation says; either side is accepted.",
    "requirement": "One sentence that can be false, with the place in Caffe's source that it is from.",
    "share": "A part of a run that was split over machines; it has no conclusion until it is merged.",
    "should": "A recommendation: counted apart, it never decides whether an implementation conforms.",
    "skipped": "Not run, for a reason of the suite's; no pass.",
    "timed out": "No answer within the time that a case has; the implementation is at fault.",
    "undecided": "Something that is owed and claimed neither passed nor failed: no pass (exit code 7).",
    "unsupported": "The implementation said that it cannot do this; no pass, unless its limits said so before.",
}
"""What a conclusion, a grid, a gate and a page say."""

FAMILIES: Mapping[str, str] = {
    "case_file": "cases that somebody has in files of their own",
    "contract": "what a layer owes its net, pass after pass, and the shapes that it follows",
    "determinism": "the same case again, and with other numbers of threads",
    "exploration": "rows of a loss's space that a seed draws",
    "extremes": "saturation, ties, kinks, floors, subnormal numbers, NaN, infinities",
    "forms": "nets on which forks differ that mean several things by one type",
    "formula_free": "what can be asked of a layer whose formula nobody stated",
    "golden": "cases with recorded or exactly computed answers",
    "gradients": "diffs beside differences of the reported total",
    "labels": "labels, targets and similarities that are fractions, ignored, or all ignored",
    "loss_weight": "weights given, implied, zero, negative, tiny and huge; the total; the top's diff",
    "multi_top": "several tops and several losses in one net",
    "options": "which fields of a net each layer reads, and which layers its rules choose",
    "passes": "batches that differ from the one before",
    "properties": "relations between runs, and generated cases",
    "quirks": "nets that each touch one place where Caffe departs from its documentation",
    "refusals": "nets that Caffe refuses, each at its stage",
    "rows": "rows of thousands of classes: a score far above, the maximum last or twice, masks of minus infinity",
    "siblings": "several layers of one type, or of two types in turn, in one net, unlike in everything",
    "sizes": "thousands of items, entries and positions, and sums of tens of thousands of terms",
    "space": "rows in which every pair of a loss's options, roles and shapes meets",
    "training": "twenty steps of a tiny net, each with its own batch and parameters",
}
"""The columns of the grid: what a family of checks is about."""
