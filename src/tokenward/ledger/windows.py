"""When did this window start, and when does it start anew? Closed form, in any time zone.

A window starts at a calendar boundary of its zone: a minute, an hour, midnight, Monday, the first
of the month. Every instant falls in exactly one window, and a window ends where the next one
starts, also where clocks change: a day then has 23 or 25 hours, a repeated hour is two windows,
and a window that a change of clocks cuts in two ends and starts at the change.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from tokenward.ledger.records import Window

_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_WEEK_S: Final = 7 * _DAY_S
_MONDAY_S: Final = 3 * _DAY_S
"""1970-01-01 was a Thursday: three days after a Monday."""
_FIXED_S: Final = {
    Window.MINUTE: _MINUTE_S,
    Window.HOUR: _HOUR_S,
    Window.DAY: _DAY_S,
    Window.WEEK: _WEEK_S,
}


def find_zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name; ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ValueError(
            f"{name[:64]!r} is not a time zone; use a name like Europe/Berlin"
        ) from None


def window_bounds(window: Window, zone: str, at_ms: int) -> tuple[int, int | None]:
    """Start and end (exclusive) in Unix milliseconds of the window that holds `at_ms`.

    A `total` window starts at 0 and has no end. ValueError if there is no such zone.
    """
    if window is Window.TOTAL:
        return 0, None
    at_s = at_ms // 1000
    if zone == "UTC" and window is not Window.MONTH:
        start_s, end_s = _fixed(window, at_s)
    elif window in (Window.MINUTE, Window.HOUR):
        start_s, end_s = _short(_FIXED_S[window], find_zone(zone), at_s)
    else:
        start_s, end_s = _calendar(window, find_zone(zone), at_s)
    return start_s * 1000, end_s * 1000


def _fixed(window: Window, at_s: int) -> tuple[int, int]:
    size_s = _FIXED_S[window]
    shift_s = _MONDAY_S if window is Window.WEEK else 0
    start_s = (at_s + shift_s) // size_s * size_s - shift_s
    return start_s, start_s + size_s


def _short(size_s: int, zone: ZoneInfo, at_s: int) -> tuple[int, int]:
    """Minutes and hours: even steps of local time, cut where the zone's offset changes."""
    offset_s = _offset_s(zone, at_s)
    start_s = (at_s + offset_s) // size_s * size_s - offset_s
    end_s = start_s + size_s
    if _offset_s(zone, start_s) != offset_s:
        start_s = _change_s(zone, start_s, at_s)
    if _offset_s(zone, end_s - 1) != offset_s:
        end_s = _change_s(zone, at_s, end_s - 1)
    return start_s, end_s


def _calendar(window: Window, zone: ZoneInfo, at_s: int) -> tuple[int, int]:
    """Days, weeks and months: from one local midnight to another."""
    local = datetime.fromtimestamp(at_s, zone)
    day = datetime(local.year, local.month, local.day)  # noqa: DTZ001 - a boundary on the wall
    if window is Window.WEEK:
        day -= timedelta(days=day.weekday())
    elif window is Window.MONTH:
        day = day.replace(day=1)
    following = _following(window, day)
    end_s = _instant_s(following, zone)
    if at_s < end_s:
        return _instant_s(day, zone), end_s
    # Clocks went back over midnight: what follows began when they showed it for the first time.
    return end_s, _instant_s(_following(window, following), zone)


def _following(window: Window, day: datetime) -> datetime:
    """The boundary after this one."""
    if window is Window.MONTH:
        return (day + timedelta(days=31)).replace(day=1)
    return day + timedelta(days=7 if window is Window.WEEK else 1)


@lru_cache(maxsize=1024)
def _instant_s(wall: datetime, zone: ZoneInfo) -> int:
    """The first instant at which clocks in the zone show `wall` or later."""
    early_s = int(wall.replace(tzinfo=zone, fold=0).timestamp())
    if datetime.fromtimestamp(early_s, zone).replace(tzinfo=None) == wall:
        return early_s
    # Clocks jump over `wall`: the jump itself is the boundary.
    late_s = int(wall.replace(tzinfo=zone, fold=1).timestamp())
    return _change_s(zone, min(early_s, late_s) - 1, max(early_s, late_s))


def _change_s(zone: ZoneInfo, low_s: int, high_s: int) -> int:
    """The first second in (low, high] with the offset of `high`; at most 17 halvings."""
    after_s = _offset_s(zone, high_s)
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        if _offset_s(zone, middle_s) == after_s:
            high_s = middle_s
        else:
            low_s = middle_s
    return high_s


def _offset_s(zone: ZoneInfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, UTC).astimezone(zone).utcoffset()
    assert offset is not None, "an aware time has an offset"
    return offset.days * _DAY_S + offset.seconds


def show_wall(zone: str, at_ms: int) -> tuple[str, str]:
    """Date and time that clocks in the zone show: `("2026-01-02", "15:04")`."""
    local = datetime.fromtimestamp(at_ms // 1000, find_zone(zone))
    return f"{local:%Y-%m-%d}", f"{local:%H:%M}"
