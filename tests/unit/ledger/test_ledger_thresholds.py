"""Thresholds are crossed once, in order, and told anew when the limit grows."""

import pytest

from tokenward.ledger.thresholds import THRESHOLDS, crossed, still_told


@pytest.mark.parametrize(
    ("spent", "limit", "told", "expected"),
    [
        (49, 100, 0, ()),
        (50, 100, 0, (500,)),
        (50, 100, 500, ()),
        (100, 100, 0, (500, 800, 1000)),
        (250, 100, 800, (1000,)),
        (1, 3, 0, ()),
        (2, 3, 0, (500,)),
        (5, 0, 0, ()),
    ],
)
def test_what_is_crossed(spent: int, limit: int, told: int, expected: tuple[int, ...]) -> None:
    assert crossed(spent, limit, told, THRESHOLDS) == expected


def test_a_raised_limit_takes_back_what_was_told() -> None:
    assert still_told(100, 100, 1000) == 1000
    assert still_told(100, 200, 1000) == 500
    assert still_told(100, 1_000, 1000) == 100
    assert still_told(0, 0, 500) == 500
