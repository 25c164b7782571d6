"""Page: a campaign as Markdown: what it found, and what its cases met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from conformance.contract.errors import UsageError
from conformance.exploration.campaign import FINDS, Campaign
from conformance.exploration.coverage import Coverage
from conformance.exploration.explored import Explored
from conformance.exploration.finds import Find
from conformance.losses import KNOWN
from conformance.losses.space import Space
from conformance.suite.exploration import mark_of
from conformance.views.text import markdown

__all__ = ["campaign_page", "conclusion_of", "coverage_of"]

_READ = (
    "Counted from the cases that were run and decided, not from what was planned. Of each dimension the classes, with",
    "the cases that had them; then, for every two dimensions, the cases of the pair of classes that had the fewest. A",
    "weight of 0 and labels that are all ignored hide what is wrong elsewhere: their cases count for no other pair.",
    "Some that were never met cannot be: one item follows no smaller batch, and of one label not some are ignored.",
)

_REASONS = 12
"""Reasons why musts were not decided that are listed; the rest are counted."""


def conclusion_of(campaign: Campaign, explored: Explored, finds: Sequence[Find]) -> str:
    """How far a campaign is and what it found, in a sentence."""
    count = campaign.order.explore
    seeds = f"{explored.over} of {count} seeds explored" if explored.over < count else f"all {count} seeds explored"
    musts = f"{len(finds)} find{'s' * (len(finds) != 1)}"
    undecided = f", {len(explored.undecided)} musts not decided" if explored.undecided else ""
    errors = f", {len(explored.errors)} errors of the suite itself" if explored.errors else ""
    return (
        f"{explored.name or campaign.order.spec}: {seeds}, {explored.cases} cases decided, {musts}{undecided}{errors}"
    )


def campaign_page(campaign: Campaign, explored: Explored, finds: Sequence[Find]) -> str:
    """The page; every number on it is counted in the campaign's reports."""
    return "".join(f"{line}\n" for line in _lines(campaign, explored, finds))


def coverage_of(explored: Explored, stem: str) -> Coverage:
    """What the decided cases of a loss met, in all types together.

    Raises `UsageError` where the cases are from a space that this suite does not have.
    """
    space = Space(KNOWN[stem])
    marks = {mark for (of, mark), _ in explored.rows if of == stem} - {mark_of(space)}
    if marks:
        raise UsageError(f"{stem} was explored in a space that is another one now: explore in a folder of its own")
    return Coverage(space, [row for ((of, _), _), rows in explored.rows.items() if of == stem for row in rows])


def _lines(campaign: Campaign, explored: Explored, finds: Sequence[Find]) -> Iterator[str]:
    first, last = campaign.order.seed, campaign.order.seed + campaign.order.explore - 1
    yield f"# {markdown(conclusion_of(campaign, explored, finds), 600)}"
    yield ""
    yield f"Seeds {first} to {last}; {explored.seconds:.0f} s of the implementation's time."
    yield ""
    yield from _finds(campaign, finds)
    yield from _undecided(explored)
    if explored.errors:
        yield "## Errors of the suite itself"
        yield ""
        yield from (f"- {markdown(error, 600)}" for error in explored.errors)
        yield ""
    yield "## What was met"
    yield ""
    yield from _READ
    yield ""
    for stem in sorted(explored.checks):
        if stem in KNOWN:
            yield from _met(explored, stem)


def _finds(campaign: Campaign, finds: Sequence[Find]) -> Iterator[str]:
    yield "## Finds"
    yield ""
    if not finds:
        yield "None."
        yield ""
        return
    yield "Of each loss once for each likely cause, with the simplest case that was found for it."
    yield ""
    for find in finds:
        yield f"- **{markdown(find.stem)}: {markdown(find.cause.sentence)}** ({find.cases} failing cases, "
        yield f"  {markdown(', '.join(find.dtypes))}; {markdown(', '.join(find.requirements))})  "
        yield f"  {markdown(find.first.reason)}  "
        if find.file:
            told = ", ".join(f"{name} {one}" for name, one in find.row.items()) or "nothing but defaults"
            yield f"  The simplest case, from seed {find.seed}: {markdown(told, 600)}.  "
            yield f"  `lossconf run IMPLEMENTATION --case-file {campaign.folder / FINDS / find.file}`"
        else:
            yield f"  Nobody knows the case: the process died with it, at seed {find.seed}."
    yield ""


def _undecided(explored: Explored) -> Iterator[str]:
    if not explored.undecided:
        return
    yield "## Not decided"
    yield ""
    counts = Counter(f"{v.status.value}: {v.reason}" for v in explored.undecided).most_common()
    yield from (f"- {count} x {markdown(reason)}" for reason, count in counts[:_REASONS])
    if len(counts) > _REASONS:
        yield f"- and {sum(count for _, count in counts[_REASONS:])} more"
    yield ""


def _met(explored: Explored, stem: str) -> Iterator[str]:
    coverage = coverage_of(explored, stem)
    space = coverage.space
    by_type = Counter[str]()
    for ((of, _), dtype), rows in explored.rows.items():
        by_type[dtype] += len(rows) * (of == stem)
    yield f"### {space.loss.type if stem == space.loss.stem else stem} ({stem})"
    yield ""
    types = ", ".join(f"{count} in {markdown(dtype)}" for dtype, count in sorted(by_type.items()) if count)
    pairs, threes = list(coverage.pairs.values()), coverage.threes
    visited, possible = sum(met.visited for met in pairs), sum(met.possible for met in pairs)
    told = f"{coverage.cases} cases ({types or 'none'}) of {coverage.different} different rows, "
    told += f"{visited} of {possible} pairs of classes"
    if threes:
        told += f", {sum(m.visited for m in threes)} of {sum(m.possible for m in threes)} threes of size, option, pass"
    yield f"{told}."
    yield ""
    undecided = explored.others.get(stem, Counter[str]()).most_common(_REASONS)
    if undecided:
        yield f"Drawn and not decided: {', '.join(f'{count} x {markdown(reason)}' for reason, count in undecided)}."
        yield ""
    yield "| | dimension | cases by class |"
    yield "|---|---|---|"
    for number, name in enumerate(coverage.names, 1):
        told = ", ".join(f"{one} {n}" for one, n in zip(space.dimensions[name], coverage.classes[name], strict=True))
        yield f"| {number} | {markdown(name)} | {markdown(told, 600)} |"
    yield ""
    yield f"| | {' | '.join(str(number) for number in range(2, len(coverage.names) + 1))} |"
    yield f"|---|{'--:|' * (len(coverage.names) - 1)}"
    for row, one in enumerate(coverage.names[:-1]):
        others = coverage.names[1:]
        cells = (str(coverage.pairs[one, other].least) if (one, other) in coverage.pairs else "" for other in others)
        yield f"| {row + 1} {markdown(one)} | {' | '.join(cells)} |"
    yield ""
    yield from _never(coverage)


def _never(coverage: Coverage) -> Iterator[str]:
    """Everything that may meet and never did, by name."""
    space = coverage.space
    alone = {
        name: {one for one, n in zip(space.dimensions[name], counts, strict=True) if not n}
        for name, counts in coverage.classes.items()
    }
    lines = [f"- {markdown(name)}: {markdown(', '.join(sorted(ones)))}" for name, ones in alone.items() if ones]
    for one, other in combinations(coverage.names, 2):
        unmet = coverage.pairs[one, other].never(space)
        left = [f"{a} / {b}" for a, b in unmet if a not in alone[one] and b not in alone[other]]
        lines += [f"- {markdown(one)} with {markdown(other)}: {markdown(', '.join(left), 100_000)}"] if left else []
    for met in coverage.threes:
        left = [" / ".join(each) for each in met.never(space)]
        named = " with ".join(met.names)
        lines += [f"- {markdown(named)}: {markdown(', '.join(left), 100_000)}"] if left else []
    if not lines:
        yield "Every class, every pair and every such three that may meet was met."
    else:
        yield "Never met:"
        yield ""
        yield from lines
    yield ""
