"""Moments as people and scripts read them."""

from tokenward.kernel.moments import rfc3339


def test_a_moment_is_written_in_utc_with_milliseconds() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_767_322_800_678) == "2026-01-02T03:00:00.678Z"
    assert rfc3339(-1) == "1969-12-31T23:59:59.999Z"


def test_no_moment_stays_none() -> None:
    assert rfc3339(None) is None
