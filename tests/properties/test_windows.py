"""Every instant has one window, and windows follow each other, in any zone and on any day."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokenward.ledger.records import Window
from tokenward.ledger.windows import window_bounds

ZONES = sorted(zone for zone in available_timezones() if zone not in ("localtime", "Factory"))
ODD = [
    "Pacific/Apia",  # skipped 2011-12-30
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "America/Sao_Paulo",  # midnight that did not exist
    "America/Havana",  # midnight twice
    "Asia/Kathmandu",  # +05:45
    "Pacific/Kiritimati",  # +14
    "Africa/Monrovia",  # seconds in its offset until 1972
    "America/St_Johns",  # changed clocks at one minute past midnight
    "Asia/Pyongyang",
    "Europe/Berlin",
]
FINITE = [window for window in Window if window is not Window.TOTAL]
moments = st.integers(0, 4_102_444_800_000)
zones = st.one_of(st.sampled_from(ODD), st.sampled_from(ZONES))


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.req("Z-3")
@settings(max_examples=1_500, deadline=None)
@given(window=st.sampled_from(FINITE), zone=zones, at_ms=moments)
@example(window=Window.DAY, zone="Pacific/Apia", at_ms=ms("2011-12-30T09:59:59+00:00"))
@example(window=Window.DAY, zone="Pacific/Apia", at_ms=ms("2011-12-30T10:00:00+00:00"))
@example(window=Window.WEEK, zone="Pacific/Apia", at_ms=ms("2011-12-30T10:00:00+00:00"))
@example(window=Window.HOUR, zone="Australia/Lord_Howe", at_ms=ms("2024-04-06T15:10:00+00:00"))
@example(window=Window.HOUR, zone="Australia/Lord_Howe", at_ms=ms("2024-04-06T14:45:00+00:00"))
@example(window=Window.HOUR, zone="Australia/Lord_Howe", at_ms=ms("2024-10-05T15:35:00+00:00"))
@example(window=Window.DAY, zone="America/Sao_Paulo", at_ms=ms("2018-11-04T03:00:00+00:00"))
@example(window=Window.DAY, zone="America/Havana", at_ms=ms("2024-11-03T05:30:00+00:00"))
@example(window=Window.MINUTE, zone="Africa/Monrovia", at_ms=ms("1972-01-07T00:44:10+00:00"))
@example(window=Window.DAY, zone="America/St_Johns", at_ms=ms("2006-10-29T02:30:30+00:00"))
@example(window=Window.DAY, zone="America/St_Johns", at_ms=719_980_260_000)  # back over midnight
@example(window=Window.MONTH, zone="America/St_Johns", at_ms=ms("1992-10-25T02:31:00+00:00"))
def test_windows_cover_time_without_gap_or_overlap(window: Window, zone: str, at_ms: int) -> None:
    start_ms, end_ms = window_bounds(window, zone, at_ms)
    assert end_ms is not None
    assert start_ms <= at_ms < end_ms
    assert window_bounds(window, zone, start_ms) == (start_ms, end_ms)
    assert window_bounds(window, zone, end_ms - 1) == (start_ms, end_ms)
    assert window_bounds(window, zone, end_ms)[0] == end_ms
    before_ms = window_bounds(window, zone, start_ms - 1)[1]
    assert before_ms == start_ms


@pytest.mark.req("Z-3")
@settings(max_examples=500, deadline=None)
@given(zone=zones, at_ms=moments)
def test_longer_windows_start_where_the_wall_says(zone: str, at_ms: int) -> None:
    """Midnight, Monday, the first: unless clocks jumped over it, then right behind the jump."""
    for window in (Window.DAY, Window.WEEK, Window.MONTH):
        start_ms, _ = window_bounds(window, zone, at_ms)
        start = datetime.fromtimestamp(start_ms // 1000, ZoneInfo(zone))
        before = datetime.fromtimestamp(start_ms // 1000 - 1, ZoneInfo(zone))
        assert (start.date(), start.fold) != (before.date(), before.fold) or start.hour == 0
        if (start.hour, start.minute, start.second) != (0, 0, 0):
            assert start.utcoffset() != before.utcoffset()
        elif start.utcoffset() == before.utcoffset():
            assert window is not Window.WEEK or start.weekday() == 0
            assert window is not Window.MONTH or start.day == 1


@pytest.mark.req("Z-3")
@pytest.mark.timeout(60)
def test_a_moment_far_away_is_placed_as_one_today() -> None:
    """Closed form: a loop over the windows between would not end in time."""
    for year in (1970, 2026, 3026, 9000):
        for window in FINITE:
            at = datetime(year, 3, 29, 1, 30, tzinfo=UTC)
            for step in range(48):
                at_ms = int((at + timedelta(minutes=30 * step)).timestamp() * 1000)
                start_ms, end_ms = window_bounds(window, "Europe/Berlin", at_ms)
                assert end_ms is not None
                assert start_ms <= at_ms < end_ms
