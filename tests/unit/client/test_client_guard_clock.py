"""The guard's time, where this machine's is wrong."""

from email.utils import formatdate

import pytest

from tokenward.client.guard_clock import GuardClock
from unit.client.holders import NOW_S


@pytest.mark.parametrize("ahead_s", [-90_000, -61, -6, 6, 61, 90_000])
def test_a_refused_time_is_put_right_by_the_guards_date(ahead_s: int) -> None:
    clock = GuardClock(lambda: NOW_S)
    signed_s = clock.now_s()
    assert clock.learn(formatdate(NOW_S + ahead_s, usegmt=True), signed_s)
    assert clock.now_s() == NOW_S + ahead_s
    assert not clock.learn(formatdate(NOW_S + ahead_s, usegmt=True), clock.now_s())


def test_two_calls_refused_together_both_learn() -> None:
    clock = GuardClock(lambda: NOW_S)
    date = formatdate(NOW_S + 600, usegmt=True)
    assert clock.learn(date, NOW_S)
    assert clock.learn(date, NOW_S)
    assert clock.ahead_s == 600


@pytest.mark.parametrize("apart_s", [-5, -1, 0, 1, 5])
def test_a_clock_that_is_right_is_left_alone(apart_s: int) -> None:
    clock = GuardClock(lambda: NOW_S)
    assert not clock.learn(formatdate(NOW_S + apart_s, usegmt=True), NOW_S)
    assert clock.ahead_s == 0


@pytest.mark.parametrize(
    "date",
    ["", "now", "0", "Sat, 99 Nov 2026 25:61:00 GMT", "1e999", "Sat, 21 Nov 99999 1:1:1 GMT"],
)
def test_a_date_that_is_none_teaches_nothing(date: str) -> None:
    clock = GuardClock(lambda: NOW_S)
    assert not clock.learn(date, NOW_S)
    assert clock.ahead_s == 0
