"""What time is it at the guard? This machine's clock, corrected where the guard refused it.

Safe, because the guard only takes proofs that carry its own newest nonce: one made for a wrong
time is of no use at another. Who can change `Date` on the way could as well drop the request.
"""

from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

APART_S_MAX: Final = 5.0
"""As far ahead as a guard takes a proof; `Date` has whole seconds and a way to travel."""


class GuardClock:
    """Unix time in seconds as the guard counts it; `now_s` is this machine's."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.ahead_s = 0
        """How far the guard's clock is ahead of this machine's, as far as is known."""

    def now_s(self) -> float:
        """The time to sign with."""
        return self._now_s() + self.ahead_s

    def learn(self, date: str, signed_s: float) -> bool:
        """Take over the time of a `Date` header (RFC 9110 section 6.6.1) if what was signed at
        `signed_s` was too far from it; whether it was.

        Only for the answer to a proof that was refused for its time.
        """
        try:
            moment = parsedate_to_datetime(date)
            guard_s = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        except (ValueError, OverflowError):
            return False
        if abs(guard_s - signed_s) <= APART_S_MAX:
            return False
        self.ahead_s = round(guard_s - self._now_s())
        return True
