"""Campaign: a folder with a report for each block of seeds, and what all of them are about.

Nothing is kept beside the reports: what is done, what was met and what was found is read from them. So a campaign goes
on wherever it was killed; at most the checks that were running then are run again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.contract.errors import UsageError, one_line
from conformance.contract.intake import Malformed, decoding, json_of
from conformance.contract.paths import content_of, failed, put
from conformance.contract.version import SUITE, VERSION
from conformance.engine.order import Order
from conformance.engine.stopped_run import StoppedRun, stopped_run
from conformance.exploration.explored import Explored
from conformance.record.reader import read_report
from conformance.suite.outside import digest_of

__all__ = ["BLOCK", "FINDS", "PAGE", "Campaign"]

NAME, PAGE, FINDS = "campaign.json", "campaign.md", "finds"

BLOCK = 140
"""Checks in each type that a block of seeds has, or a few more: minutes of work, beside seconds to start."""

_TOLD = ("spec", "dialect", "selection", "declines", "losses")
"""Fields of an order that are the campaign's."""


@dataclass(frozen=True)
class Campaign:
    """``order`` is about all its seeds, which are explored in blocks of ``block``."""

    folder: Path
    order: Order
    block: int

    @classmethod
    def at(cls, folder: Path, order: Order, losses: int) -> Campaign:
        """The campaign of a folder, which is made where it is not there; an order about so many losses.

        Raises `UsageError` where the folder holds something else, or another campaign that has begun.
        """
        campaign = cls(folder, order, max(1, -(-BLOCK // max(losses, 1))))
        mine: dict[str, Any] = json.loads(json.dumps(campaign._told()))
        there = (folder / NAME).exists()
        if there and campaign._has_begun:
            _refuse_another(folder, mine)
            return campaign
        if not there and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} holds no campaign and is not empty: explore in a folder of its own")
        try:
            (folder / "blocks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise failed(f"cannot make {folder}", error) from None
        put(folder / NAME, json.dumps(mine, indent=1) + "\n")
        return campaign

    def _told(self) -> dict[str, Any]:
        order = self.order
        whole = {name: value for name, value in order.to_json().items() if name in _TOLD}
        return {
            "schema": 1,
            "suite": {"version": VERSION, "requirements": SUITE},
            **whole,
            "losses": digest_of(order.losses) if order.losses else "",
            "seeds": [order.seed, order.seed + order.explore - 1],
            "block": self.block,
        }

    def blocks(self) -> Iterator[tuple[Order, Path]]:
        """Each block's order, and where its report lies."""
        first, last = self.order.seed, self.order.seed + self.order.explore - 1
        for seed in range(first, last + 1, self.block):
            count = min(self.block, last + 1 - seed)
            name = f"seeds-{seed:07}-{seed + count - 1:07}.jsonl"
            yield replace(self.order, seed=seed, explore=count), self.folder / "blocks" / name

    def explored(self) -> Iterator[tuple[Path, Explored]]:
        """What the reports hold that are there, to their end or not. Raises as `read_report` does."""
        yield from ((path, Explored.of(read_report(path))) for _, path in self.blocks() if _has_begun(path))

    def stopped(self, path: Path) -> StoppedRun | None:
        """What a block goes on from. Raises as `stopped_run` does."""
        return stopped_run(path) if _has_begun(path) else None

    @property
    def _has_begun(self) -> bool:
        return any(map(_has_begun, (self.folder / "blocks").glob("*.jsonl")))


def _has_begun(path: Path) -> bool:
    """Whether a report holds a whole line; with less than its header it was killed before it began."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return file.readline().endswith(b"\n")


def _refuse_another(folder: Path, mine: Mapping[str, Any]) -> None:
    path = folder / NAME
    try:
        with decoding():
            there = dict(json_of(content_of(path, "the campaign")))
    except Malformed as error:
        raise UsageError(f"{path} is no campaign: {one_line(str(error), 120)}") from None
    for name, value in mine.items():
        if there.get(name) != value:
            was, now = (one_line(json.dumps(each), 80) for each in (there.get(name), value))
            told = f"its {name} is {was}, and {now} is asked for"
            raise UsageError(f"{folder} holds another campaign: {told}; ask for the same, or explore in another folder")
