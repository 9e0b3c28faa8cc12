"""When keys were last used: written a batch at a time, and nobody waits for it."""

from typing import Any, Final

from psycopg import AsyncConnection

from tokenward.kernel.clock import Clock
from tokenward.store.postgres.scribe import RIDE_DELAY_S, Scribe
from tokenward.store.postgres.writing import integers

USED_EVERY_S: Final = 2.0
"""Last uses are written at most this often."""
# A key that somebody changes at this moment is left out: the scribe waits for nobody, so nobody
# ever waits for the scribe and it for them.
_USED: Final = (
    "WITH used AS (SELECT keys.id, at_ms FROM keys "
    "JOIN unnest(%s::text[], %s::bigint[]) AS noted (id, at_ms) ON noted.id = keys.id "
    "FOR UPDATE OF keys SKIP LOCKED) "
    "UPDATE keys SET last_used_ms = greatest(last_used_ms, at_ms) FROM used WHERE used.id = keys.id"
)


class LastUses:
    """Rides with the scribe."""

    def __init__(self, scribe: Scribe, clock: Clock) -> None:
        self._scribe = scribe
        self._clock = clock
        self._used: dict[str, int] = {}
        self._boarded: dict[str, int] = {}
        self._boarded_s = clock.monotonic_s()
        scribe.riders.append(self)

    def note(self, key_id: str, at_ms: int) -> None:
        """The key was used."""
        self._used[key_id] = at_ms
        self._scribe.expect(RIDE_DELAY_S if self.is_due else USED_EVERY_S)

    @property
    def waiting(self) -> int:
        """Last uses that are not kept yet."""
        return len(self._used) + len(self._boarded)

    @property
    def is_due(self) -> bool:
        """Whether it is time to write them."""
        return self.waiting > 0 and self._clock.monotonic_s() - self._boarded_s >= USED_EVERY_S

    async def board(self, connection: AsyncConnection[Any]) -> None:
        """Write what was noted."""
        self._boarded = {**self._boarded, **self._used}
        self._used = {}
        ids, moments = list(self._boarded), integers(self._boarded.values())
        await connection.execute(_USED, (ids, moments), prepare=True)

    def arrive(self) -> None:
        """What boarded is kept."""
        self._boarded = {}
        self._boarded_s = self._clock.monotonic_s()
        if self._used:
            self._scribe.expect(USED_EVERY_S)

    def miss(self) -> None:
        """What boarded waits again; newer uses win."""
        self._used = {**self._boarded, **self._used}
        self._boarded = {}
