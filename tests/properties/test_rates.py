"""Rates: never more than the limit in any minute, and never longer shut than said."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.limits.rates import Rates

gaps_s = st.lists(
    st.one_of(st.just(0.0), st.floats(0, 2), st.floats(0, 90)), min_size=1, max_size=120
)


@settings(deadline=None)
@given(gaps_s, st.integers(1, 8), st.floats(0, 1e6))
def test_no_sixty_seconds_see_more_than_the_limit(
    gaps: list[float], rpm: int, start_s: float
) -> None:
    rates, now_s, passed = Rates(), start_s, []
    for gap in gaps:
        now_s += gap
        if rates.take_request("k", rpm, now_s) is None:
            passed.append(now_s)
    for place, first in enumerate(passed):
        assert sum(1 for later in passed[place:] if later - first < 60) <= rpm


@settings(deadline=None)
@given(gaps_s, st.integers(1, 8), st.floats(0, 1e6))
def test_whoever_waits_as_told_gets_in_and_nobody_is_shut_out_without_cause(
    gaps: list[float], rpm: int, start_s: float
) -> None:
    rates, now_s, passed = Rates(), start_s, []
    for gap in gaps:
        now_s += gap
        refusal = rates.take_request("k", rpm, now_s)
        if refusal is not None:
            assert sum(1 for at in passed if now_s - at <= 61) >= rpm
            assert refusal.retry_after_s is not None
            assert 1 <= refusal.retry_after_s <= 61
            now_s += refusal.retry_after_s
            assert rates.take_request("k", rpm, now_s) is None
        passed.append(now_s)
