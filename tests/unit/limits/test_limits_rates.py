"""Requests and tokens a minute."""

import tracemalloc

import pytest

from tokenward.kernel.refusals import Refusal
from tokenward.limits.rates import Rates


def refused(outcome: Refusal | None) -> Refusal:
    assert outcome is not None
    assert (outcome.code, outcome.status, outcome.should_retry) == ("rate:exceeded", 429, True)
    return outcome


def test_exactly_the_limit_passes_in_a_minute() -> None:
    rates = Rates()
    outcomes = [rates.take_request("k", 5, 100.0) for _ in range(50)]
    assert [outcome is None for outcome in outcomes] == [True] * 5 + [False] * 45


def test_the_refusal_says_how_long_to_wait_and_the_wait_is_enough() -> None:
    rates = Rates()
    rates.take_request("k", 2, 100.2)
    rates.take_request("k", 2, 130.9)
    refusal = refused(rates.take_request("k", 2, 140.0))
    assert refusal.retry_after_s == 21
    assert dict(refusal.facts) == {
        "unit": "requests",
        "limit": 2,
        "used": 2,
        "window": "minute",
    }
    assert rates.take_request("k", 2, 160.9) is not None
    assert rates.take_request("k", 2, 140.0 + 21) is None
    assert refused(rates.take_request("k", 2, 161.0)).retry_after_s == 30


def test_refused_requests_are_not_counted() -> None:
    rates = Rates()
    rates.take_request("k", 1, 100.0)
    for tenth in range(600):
        assert rates.take_request("k", 1, 100.0 + tenth / 10) is not None
    assert rates.take_request("k", 1, 161.0) is None


def test_no_limit_counts_nothing_and_keeps_nothing() -> None:
    rates = Rates()
    assert all(rates.take_request("k", None, 1.0) is None for _ in range(1_000))
    assert rates.may_use_tokens("k", None, 1.0) is None
    assert len(rates) == 0


def test_keys_do_not_share_their_minutes() -> None:
    rates = Rates()
    assert rates.take_request("a", 1, 1.0) is None
    assert rates.take_request("b", 1, 1.0) is None
    assert rates.take_request("a", 1, 1.0) is not None


def test_a_changed_limit_holds_from_the_next_request_on() -> None:
    rates = Rates()
    for _ in range(5):
        rates.take_request("k", 5, 1.0)
    assert rates.take_request("k", 6, 1.0) is None
    assert rates.take_request("k", 3, 2.0) is not None


def test_after_a_long_silence_the_whole_limit_is_free_again() -> None:
    rates = Rates()
    for second in (0.0, 61.0, 1e6, 1e9):
        assert [rates.take_request("k", 2, second) is None for _ in range(3)] == [True, True, False]


def test_tokens_are_counted_when_used_and_stop_the_next_call() -> None:
    rates = Rates()
    assert rates.may_use_tokens("k", 1_000, 10.0) is None
    rates.add_tokens("k", 999, 10.5)
    assert rates.may_use_tokens("k", 1_000, 11.0) is None
    rates.add_tokens("k", 5_000, 12.0)
    refusal = refused(rates.may_use_tokens("k", 1_000, 13.0))
    assert refusal.retry_after_s == 60
    assert dict(refusal.facts)["used"] == 5_999
    assert rates.may_use_tokens("k", 1_000, 73.0) is None


def test_asking_about_tokens_takes_none() -> None:
    rates = Rates()
    assert all(rates.may_use_tokens("k", 1, 1.0) is None for _ in range(100))


def test_requests_and_tokens_are_counted_apart() -> None:
    rates = Rates()
    rates.add_tokens("k", 10**12, 1.0)
    assert rates.take_request("k", 1, 1.0) is None


def test_a_call_that_outlived_its_minute_is_still_counted() -> None:
    rates = Rates()
    rates.may_use_tokens("k", 10, 0.0)
    rates.may_use_tokens("other", 10, 500.0)
    rates.add_tokens("k", 10, 501.0)
    assert rates.may_use_tokens("k", 10, 502.0) is not None


def test_idle_keys_are_forgotten() -> None:
    rates = Rates()
    for number in range(1_000):
        rates.take_request(f"key{number}", 5, 1.0)
    assert len(rates) == 1_000
    for _ in range(600):
        rates.take_request("busy", 10**6, 100.0)
    assert len(rates) == 1


def test_beyond_the_keys_it_can_count_it_refuses_and_recovers_by_itself() -> None:
    rates = Rates(keys_max=2)
    rates.take_request("a", 5, 1.0)
    rates.take_request("b", 5, 2.0)
    assert refused(rates.take_request("c", 5, 3.0)).retry_after_s == 5
    assert rates.take_request("a", 5, 3.0) is None
    assert rates.take_request("c", 5, 63.0) is None
    assert len(rates) == 2


def test_memory_a_key_stays_below_what_is_stated() -> None:
    rates = Rates()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2_000):
            rates.take_request(f"key{number:09d}", 5, 1.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 2_000 < 1_000


@pytest.mark.parametrize("limit", [1, 60, 10**9])
def test_messages_name_the_limit_and_the_way_out(limit: int) -> None:
    rates = Rates()
    rates.add_tokens("k", limit, 1.0)
    message = refused(rates.may_use_tokens("k", limit, 1.0)).message
    assert f"{limit:,} tokens" in message
    assert "--tpm" in message
