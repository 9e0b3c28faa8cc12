"""A key that was used for some minutes, made one that was used like that for weeks.

A drill cannot wait for weeks. Only the calendar is invented: every value in the past was really
seen by the guard, in calls that it took.
"""

from tokenward.detectors.past import Past, pack, unpack


def aged(blob: bytes, days: int) -> bytes:
    """The packed past as it would be had its first day been seen again on each of `days` days,
    the last of them today. What cannot be read, or fewer than two days, stays as it is."""
    past = unpack(blob)
    if past is None or days < 2 or not past.calls:
        return blob
    _spread(past, days)
    return pack(past)


def _spread(past: Past, days: int) -> None:
    """Folding keeps it (`detectors.merging`): first days only get earlier, numbers only larger."""
    past.first, past.days = past.last - days + 1, days
    for values in past.values.values():
        for seen in values.values():
            seen.first, seen.last, seen.days = past.first, past.last, days
    for origin in past.origins.values():
        origin.first, origin.last, origin.days = past.first, past.last, days
