"""When a price applies."""

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

from tokenward.prices.dates import ALWAYS, DAY_MS, NEVER_MS, to_when

HOUR_MS = 3_600_000
CONSTRAINTS = [
    StartDateConstraint(date(2026, 6, 1)),
    StartDateConstraint(date(1970, 1, 1)),
    TimeOfDateConstraint(time(0, 30, tzinfo=UTC), time(16, 30, tzinfo=UTC)),
    TimeOfDateConstraint(time(16, 30), time(0, 30)),
    TimeOfDateConstraint(time(22), time(3)),
    TimeOfDateConstraint(time(5), time(5)),
    TimeOfDateConstraint(
        time(1, tzinfo=timezone(timedelta(hours=8))), time(9, tzinfo=timezone(timedelta(hours=8)))
    ),
]


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_a_constraint_holds_exactly_when_the_library_says_so(
    constraint: StartDateConstraint | TimeOfDateConstraint,
) -> None:
    when = to_when(constraint)
    start = datetime(2026, 5, 30, tzinfo=UTC)
    for quarter in range(4 * 24 * 4):
        moment = start + timedelta(minutes=15 * quarter)
        at_ms = int(moment.timestamp()) * 1000
        assert when.holds(at_ms) == constraint.active(moment), moment


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_between_two_turns_nothing_changes(
    constraint: StartDateConstraint | TimeOfDateConstraint,
) -> None:
    when = to_when(constraint)
    at_ms = int(datetime(2026, 5, 30, 7, tzinfo=UTC).timestamp()) * 1000
    end_ms = at_ms + 4 * DAY_MS
    while at_ms < end_ms:
        turn_ms = when.next_turn(at_ms)
        assert turn_ms > at_ms
        steps = range(at_ms, min(turn_ms, end_ms), HOUR_MS // 2)
        assert len({when.holds(moment) for moment in steps}) == 1
        at_ms = turn_ms


def test_a_price_without_a_constraint_holds_always() -> None:
    assert ALWAYS.holds(0)
    assert ALWAYS.next_turn(0) == NEVER_MS
