"""Which alert thresholds has a cap just crossed? Each is told once a window."""

from typing import Final

WHOLE: Final = 1000
"""Thresholds are integers per mille of the limit: 500 is half, 1000 the whole of it."""
THRESHOLDS: Final = (500, 800, WHOLE)


def crossed(spent: int, limit: int, told: int, thresholds: tuple[int, ...]) -> tuple[int, ...]:
    """The thresholds above `told` (the highest told so far) that `spent` has now reached.

    `thresholds` ascend. A limit of 0 is never crossed, only refused.
    """
    if limit <= 0 or spent * WHOLE < limit * (told + 1):
        return ()
    return tuple(t for t in thresholds if t > told and spent * WHOLE >= t * limit)


def still_told(spent: int, limit: int, told: int) -> int:
    """What counts as told after the limit was changed: nothing above where the cap now stands."""
    return min(told, spent * WHOLE // limit) if limit > 0 else told
