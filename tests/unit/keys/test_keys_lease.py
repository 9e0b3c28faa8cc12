import pytest

from ledger_world import MovingClock
from tokenward.keys.lease import LEASE_S, Always, Lease


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


def test_nothing_is_fresh_before_the_first_refresh(clock: MovingClock) -> None:
    assert not Lease(clock).is_fresh()


@pytest.mark.req("K-1")
def test_a_lease_counts_from_when_the_refresh_was_sent(clock: MovingClock) -> None:
    lease, sent_s = Lease(clock), clock.monotonic_s()
    clock.at_ms += round(LEASE_S * 1000) - 1
    lease.refresh(sent_s)
    assert lease.is_fresh(), "the answer came just in time"
    clock.at_ms += 1
    assert not lease.is_fresh(), "however lately the answer came"


def test_an_answer_that_comes_after_its_lease_makes_nothing_fresh(clock: MovingClock) -> None:
    lease, sent_s = Lease(clock), clock.monotonic_s()
    clock.at_ms += round(LEASE_S * 1000)
    lease.refresh(sent_s)
    assert not lease.is_fresh()


def test_answers_out_of_order_never_shorten_a_lease(clock: MovingClock) -> None:
    lease, first_s = Lease(clock), clock.monotonic_s()
    clock.at_ms += 500
    lease.refresh(clock.monotonic_s())
    lease.refresh(first_s)
    clock.at_ms += 500
    assert lease.is_fresh()


def test_a_lease_can_be_ended(clock: MovingClock) -> None:
    lease = Lease(clock)
    lease.refresh(clock.monotonic_s())
    lease.end()
    assert not lease.is_fresh()


def test_who_keeps_the_keys_is_always_fresh() -> None:
    assert Always().is_fresh()
