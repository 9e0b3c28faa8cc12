"""Windows by example: days of 23 and 25 hours, half-hour zones, weeks, months."""

from datetime import datetime

import pytest

from tokenward.ledger.records import Window
from tokenward.ledger.windows import find_zone, show_wall, window_bounds


def ms(text: str) -> int:
    """A moment in UTC."""
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1000)


@pytest.mark.req("Z-3", "Z-4")
@pytest.mark.parametrize(
    ("window", "zone", "at", "start", "end"),
    [
        ("minute", "UTC", "2026-03-01T10:20:30.500", "2026-03-01T10:20", "2026-03-01T10:21"),
        ("hour", "UTC", "2026-03-01T10:20:30", "2026-03-01T10:00", "2026-03-01T11:00"),
        ("hour", "Asia/Kolkata", "2026-03-01T10:20", "2026-03-01T09:30", "2026-03-01T10:30"),
        ("day", "UTC", "2026-03-01T23:59:59.999", "2026-03-01T00:00", "2026-03-02T00:00"),
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("day", "Pacific/Tongatapu", "2026-01-01T11:00", "2026-01-01T11:00", "2026-01-02T11:00"),
        ("week", "UTC", "2026-03-01T12:00", "2026-02-23T00:00", "2026-03-02T00:00"),
        ("week", "America/New_York", "2026-03-08T12:00", "2026-03-02T05:00", "2026-03-09T04:00"),
        ("month", "UTC", "2028-02-29T12:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("month", "Asia/Tokyo", "2026-01-31T15:00", "2026-01-31T15:00", "2026-02-28T15:00"),
        ("hour", "Europe/Berlin", "2026-10-25T00:30", "2026-10-25T00:00", "2026-10-25T01:00"),
        ("hour", "Europe/Berlin", "2026-10-25T01:30", "2026-10-25T01:00", "2026-10-25T02:00"),
    ],
)  # fmt: skip
def test_a_window_starts_and_ends_where_its_zone_says(
    window: str, zone: str, at: str, start: str, end: str
) -> None:
    assert window_bounds(Window(window), zone, ms(at)) == (ms(start), ms(end))


def test_a_total_window_never_ends() -> None:
    assert window_bounds(Window.TOTAL, "Europe/Berlin", 5) == (0, None)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../secrets", "/etc/hosts", "UTC\x00", "é"])
def test_a_zone_that_does_not_exist_is_a_plain_error(name: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        find_zone(name)


def test_the_wall_shows_the_zones_own_time() -> None:
    assert show_wall("Asia/Tokyo", ms("2026-01-31T15:04:59")) == ("2026-02-01", "00:04")
