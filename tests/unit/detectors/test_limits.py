"""Far more calls a minute than ever before."""

from seen_calls import at, call, lived
from tokenward.detectors.recent import Recent
from tokenward.detectors.signs import Sign


def played(recent: Recent, start: float, calls: int, *, is_clean: bool = True) -> list[Sign]:
    found = []
    for index in range(calls):
        seen = call(at(second=start + index * 60 / calls))
        found += recent.signs(seen, lived(), "app")
        recent.note(seen, is_clean=is_clean, is_error=False)
    return found


def test_thirty_times_the_busiest_minute_is_told() -> None:
    recent = Recent()
    for minute in range(61):
        assert played(recent, minute * 60, 20) == []
    found = played(recent, 3_660, 610)
    assert len(found) == 11
    assert {(sign.kind, sign.detector) for sign in found} == {("E4", "limits")}
    assert "600 calls within a minute, where the busiest minute before had 20" in found[0].reason


def test_less_than_three_hundred_calls_are_no_flood() -> None:
    assert played(Recent(since_ms=at() - 7_200_000), 0, 299) == []
    assert len(played(Recent(since_ms=at() - 7_200_000), 0, 301)) == 2


def test_a_key_that_was_watched_for_less_than_an_hour_is_unknown() -> None:
    recent = Recent()
    played(recent, 0, 2)
    assert played(recent, 3_000, 500) == []


def test_what_a_key_does_every_hour_is_no_flood() -> None:
    recent = Recent()
    played(recent, 0, 700)
    assert played(recent, 7_200, 900) == []


def test_a_flood_of_a_minute_does_not_become_the_measure() -> None:
    recent = Recent()
    for minute in range(61):
        played(recent, minute * 60, 5)
    assert played(recent, 3_660, 700)
    assert played(recent, 3_720, 700)


def test_refused_calls_are_no_flood() -> None:
    recent = Recent(since_ms=at() - 7_200_000)
    assert played(recent, 0, 900, is_clean=False) == []


def test_a_flood_weighs_little() -> None:
    (sign, *_) = played(Recent(since_ms=at() - 7_200_000), 0, 400)
    assert sign.weight < 3
