"""How items are cut into shares: of about equal time, shorter towards the end and where workers are lost."""

from __future__ import annotations

from collections import Counter

import pytest

from conformance.contract.errors import Stopped
from conformance.engine.deal import Deal

ITEMS = [f"golden/{number}[float32]" for number in range(500)] + [f"slow/{number}[float32]" for number in range(500)]


def handed_out(deal: Deal, hands: int = 1, slow: float = 0.1) -> list[tuple[str, ...]]:
    """The shares of a run in which nothing is lost."""
    shares = []
    while deal:
        shares.append(deal.next(hands))
        deal.took(2.0, {name: slow if name.startswith("slow") else 0.01 for name in shares[-1]})
    return shares


def seconds(share: tuple[str, ...], slow: float = 0.1) -> float:
    return sum(slow if name.startswith("slow") else 0.01 for name in share)


def test_every_item_is_handed_out_once() -> None:
    shares = handed_out(Deal(ITEMS))
    assert sorted(name for share in shares for name in share) == sorted(ITEMS)


@pytest.mark.parametrize("slow", [0.1, 1.0])
def test_a_share_takes_ten_times_its_start_and_the_last_ones_less(slow: float) -> None:
    shares = handed_out(Deal(ITEMS), slow=slow)
    times = [seconds(share, slow) for share in shares]
    assert max(times) < 20 + 2 * slow  # ten starts of 2 s, and the item it ends with
    assert times[-1] < 4
    assert sum(times) / len(times) > 4  # starts cost less than half of it, on the whole


def test_many_hands_get_shorter_shares_than_one() -> None:
    assert len(handed_out(Deal(ITEMS), hands=8)) > len(handed_out(Deal(ITEMS)))


def test_what_was_lost_comes_again_in_halves_and_what_follows_is_shorter() -> None:
    deal = Deal(ITEMS)
    deal.took(2.0, {name: 0.05 for name in deal.next(1)})
    share = deal.next(1)
    deal.lost(share)
    halves = [deal.next(1), deal.next(1)]
    assert sorted(halves[0] + halves[1]) == sorted(share)
    assert max(map(len, halves)) <= (len(share) + 1) // 2
    assert len(deal.next(1)) <= len(share) // 2 + 1


def test_what_nobody_ran_comes_again_as_it_was() -> None:
    deal = Deal(ITEMS)
    share = deal.next(1)
    deal.back(share)
    deal.back(())
    assert deal.next(1) == share


def test_an_item_that_takes_every_worker_with_it_ends_the_run_and_is_named() -> None:
    deal = Deal(["a/b[float32]"])
    with pytest.raises(Stopped, match=r"every worker that ran a/b\[float32\] was lost") as ended:
        for _ in range(100):
            deal.lost(deal.next(1))
    assert ended.value.code == 5


def test_a_check_is_in_one_share_in_all_types() -> None:
    items = [f"golden/{number}[{dtype}]" for dtype in ("float32", "float64") for number in range(300)]
    for share in handed_out(Deal(items), hands=3):
        checks = Counter(name.partition("[")[0] for name in share)
        assert set(checks.values()) == {2}
