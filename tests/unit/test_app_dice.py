"""Ids are drawn evenly, and from the system's randomness."""

from collections import Counter

import pytest

from tokenward.machine import IdDice


@pytest.mark.parametrize("limit", [1, 2, 62, 256, 257, 62**20])
def test_every_number_is_below_its_limit(limit: int) -> None:
    dice = IdDice()
    drawn = [dice.below(limit) for _ in range(5_000)]
    assert all(0 <= number < limit for number in drawn)
    assert len(set(drawn)) > min(limit, 4_000) * 0.9


def test_numbers_are_drawn_evenly() -> None:
    dice = IdDice()
    counts = Counter(dice.below(3) for _ in range(30_000))
    assert all(9_000 < counts[number] < 11_000 for number in range(3))


def test_two_guards_draw_different_ids() -> None:
    assert IdDice().below(62**20) != IdDice().below(62**20)
