"""When was it? The one way a moment is written for people and scripts."""

from datetime import UTC, datetime, timedelta
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@overload
def rfc3339(at_ms: int) -> str:
    """A moment that is known."""


@overload
def rfc3339(at_ms: None) -> None:
    """A moment that never was."""


@overload
def rfc3339(at_ms: int | None) -> str | None:
    """A moment that may never have been."""


def rfc3339(at_ms: int | None) -> str | None:
    """Unix milliseconds as RFC 3339 in UTC, `2026-01-02T03:04:05.678Z`; None stays None."""
    if at_ms is None:
        return None
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
