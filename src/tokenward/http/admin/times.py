"""Moments as people write them: RFC 3339, or how long ago."""

from datetime import datetime
from typing import Final

from tokenward.keys.caveats import parse_duration_ms

LATEST_MS: Final = 253_402_300_799_000
"""9999-12-31T23:59:59Z, the last second that RFC 3339 can write; some zones have later ones."""


def parse_moment_ms(text: str, now_ms: int) -> int:
    """`2026-03-01T00:00:00Z` or `24h` (that long before now) → Unix ms; ValueError otherwise."""
    if text[:1].isdigit() and "-" not in text:
        return max(0, now_ms - parse_duration_ms(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text[:40]!r} is not a time; write 2026-03-01T00:00:00Z, or 24h or 7d for ago"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"{text[:40]!r} names no time zone; end it with Z for UTC")
    return min(max(0, round(moment.timestamp() * 1000)), LATEST_MS)
