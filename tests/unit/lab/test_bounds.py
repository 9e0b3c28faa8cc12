"""Exact bounds of a rate, against published and hand-made values."""

import pytest

from tokenward.lab.bounds import clopper_pearson


@pytest.mark.parametrize(
    ("seen", "units", "low", "high"),
    [
        (0, 10, 0.0, 1 - 0.025 ** (1 / 10)),  # closed form at no event
        (10, 10, 0.025 ** (1 / 10), 1.0),
        (5, 10, 0.18709, 0.81291),
        (1, 20, 0.00127, 0.24873),
        (3, 4_056, 0.000153, 0.002160),
        (10, 10_000, 0.000480, 0.001838),
        (100, 10_000, 0.008145, 0.012147),
    ],
)
def test_bounds_are_the_published_ones(seen: int, units: int, low: float, high: float) -> None:
    found = clopper_pearson(seen, units)
    assert found == pytest.approx((low, high), rel=5e-3, abs=1e-6)


def test_no_alarm_in_n_units_proves_about_three_in_n() -> None:
    _, high = clopper_pearson(0, 3_000, confidence=0.90)  # its upper half is a one-sided 95 %
    assert high == pytest.approx(3 / 3_000, rel=0.01)


def test_without_a_unit_nothing_is_known() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_more_units_make_the_bounds_narrower() -> None:
    few, many = clopper_pearson(1, 100), clopper_pearson(100, 10_000)
    assert few[0] < many[0] < 0.01 < many[1] < few[1]
