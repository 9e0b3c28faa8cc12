"""May this gateway still act on what it knows of keys?

A gateway that hears of revocations from elsewhere knows them only up to its last refresh. It may
act for `lease_s` after a refresh was *sent*, and no longer: whatever was revoked before the answer
was made is in the answer, whatever was revoked later is at most `lease_s` old when the gateway
stops by itself (R1, R3). Counting from the reply would add however long the reply was on its way.
Time is monotonic: a wall clock that steps cannot stretch a lease, and it runs on while a process
is stopped.
"""

from typing import Final

from tokenward.kernel.clock import Clock
from tokenward.keys.interfaces import View

LEASE_S: Final = 0.8
"""Less than the promised second: the rest is for a forward that was decided just before."""


class Lease:
    """Fulfils `keys.interfaces.View` for a gateway that hears of changes from elsewhere."""

    def __init__(self, clock: Clock, lease_s: float = LEASE_S) -> None:
        self._clock = clock
        self._lease_s = lease_s
        self._until_s = float("-inf")

    def is_fresh(self) -> bool:
        """Whether a refresh that was sent within the lease has been taken in."""
        return self._clock.monotonic_s() < self._until_s

    def refresh(self, sent_s: float) -> None:
        """Everything that an answer to a refresh sent at `sent_s` said has been taken in."""
        self._until_s = max(self._until_s, sent_s + self._lease_s)

    def end(self) -> None:
        """Nothing is known any more, until the next refresh."""
        self._until_s = float("-inf")


class Sight:
    """Fulfils `keys.interfaces.View` over another one, and can be shut for good: when what the
    gateway knows turns out to be wrong, not just old."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.why_shut = ""

    def is_fresh(self) -> bool:
        """Whether the other view is, unless this one was shut."""
        return not self.why_shut and self._view.is_fresh()

    def shut(self, why: str) -> None:
        """From now on nothing is fresh."""
        self.why_shut = why


class Always:
    """Fulfils `keys.interfaces.View` where the keys are kept in this very process."""

    def is_fresh(self) -> bool:
        """There is nowhere else that a change could come from."""
        return True
