"""When does a price apply? From a day on, or in certain hours of every day, always in UTC."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final

from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

DAY_MS: Final = 86_400_000
NEVER_MS: Final = 2**62


@dataclass(frozen=True, slots=True)
class When:
    """From `since_ms` (Unix) on, and between two milliseconds of the day; a span whose end is
    before its start passes midnight."""

    since_ms: int = 0
    from_ms: int = 0
    until_ms: int = DAY_MS

    def holds(self, at_ms: int) -> bool:
        """Does it apply at this moment?"""
        of_day = at_ms % DAY_MS
        if self.until_ms < self.from_ms:
            is_hour = of_day >= self.from_ms or of_day < self.until_ms
        else:
            is_hour = self.from_ms <= of_day < self.until_ms
        return is_hour and at_ms >= self.since_ms

    def next_turn(self, at_ms: int) -> int:
        """The first moment after `at_ms` at which the answer may change; `NEVER_MS` if none."""
        turns = [self.since_ms] if self.since_ms > at_ms else []
        if (self.from_ms, self.until_ms) != (0, DAY_MS):
            midnight = at_ms - at_ms % DAY_MS
            edges = (midnight + self.from_ms, midnight + self.until_ms)
            turns += [edge if edge > at_ms else edge + DAY_MS for edge in edges]
        return min(turns, default=NEVER_MS)


ALWAYS: Final = When()


def to_when(constraint: StartDateConstraint | TimeOfDateConstraint | None) -> When:
    """The library's constraint in milliseconds."""
    match constraint:
        case None:
            return ALWAYS
        case StartDateConstraint():
            return When(since_ms=_day_ms(constraint.start_date))
        case TimeOfDateConstraint():
            start, end = _of_day_ms(constraint.start_time), _of_day_ms(constraint.end_time)
            return When(from_ms=start, until_ms=end)


def _day_ms(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_MS


def _of_day_ms(moment: time) -> int:
    """Times without a zone are UTC, as the library has it."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    utc = datetime.combine(date(1970, 1, 2), aware).astimezone(UTC)
    seconds = utc.hour * 3600 + utc.minute * 60 + utc.second
    return seconds * 1000 + utc.microsecond // 1000
