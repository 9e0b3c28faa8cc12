"""Does the key do far more calls a minute than it ever did here?

Class E4: honest keys surge, so this says little and never freezes a key by itself. Cold start:
unknown until the key has been watched for an hour.
"""

from typing import Final

from tokenward.detectors.odds import Odds, weighed
from tokenward.detectors.signs import Sign

NAME: Final = "limits"
MINUTE_MS: Final = 60_000
WATCHED_MS: Final = 3_600_000
TIMES: Final = 30
CALLS_LEAST: Final = 300
GROWTH: Final = 2
"""After the first hour a minute raises the largest one at most so much: who keeps up a flood for
a minute has not made it usual."""

# Of ServeGen's key-days (arXiv 2505.09999) 0.3 % pass 30 times their last week's maximum and 1.3 %
# ten times; against a maximum of hours it is more. Launch days are days of the owner, so
# a move changes nothing. A thief who drains bursts, one who resells or goes slow does not.
ODDS: Final = Odds(ordinary=0.02, moved=0.02, thief=0.3)


class Pace:
    """Clean calls by the minute: 40 bytes of numbers."""

    __slots__ = ("_calls", "_largest", "_minute")

    def __init__(self) -> None:
        self._minute, self._calls, self._largest = 0, 0, 0

    def note(self, now: int, since: int) -> None:
        """A clean call is over. One that took long counts in the minute that runs now."""
        minute = now // MINUTE_MS
        if minute > self._minute:
            self._raise_largest(since)
            self._minute, self._calls = minute, 0
        self._calls += 1

    def _raise_largest(self, since: int) -> None:
        largest = self._calls
        if self._minute * MINUTE_MS - since >= WATCHED_MS:
            largest = min(largest, GROWTH * max(self._largest, CALLS_LEAST // TIMES))
        self._largest = max(self._largest, largest)

    def signs(self, now: int, since: int) -> tuple[Sign, ...]:
        """One sign at most."""
        calls = self._calls + 1
        if calls < CALLS_LEAST or now // MINUTE_MS != self._minute:
            return ()
        if calls < TIMES * self._largest or now - since < WATCHED_MS:
            return ()
        reason = (
            f"{calls} calls within a minute, where the busiest minute before had {self._largest}"
        )
        return (weighed("E4", NAME, "limits:minute", reason, ODDS),)
