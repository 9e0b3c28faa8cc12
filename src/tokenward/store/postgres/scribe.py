"""Writes what nobody waits for: records and last uses, a batch from time to time.

In transactions of their own, without the lock of the books and without waiting for the disk: no
hold is ever late because of them. A database that is away loses only the oldest excess, counted by
whoever brought it.
"""

import asyncio
from typing import Any, Final, Protocol

from psycopg import AsyncConnection

from tokenward.kernel.errors import StoreError
from tokenward.store.postgres.database import Database

RIDE_DELAY_S: Final = 0.05
PAUSE_S: Final = 1.0
"""After the database did not take a batch."""
_NO_WAIT: Final = "SET LOCAL synchronous_commit = off"


class Rider(Protocol):
    """Rows that join a batch."""

    @property
    def waiting(self) -> int:
        """Rows that are not kept yet."""
        ...

    @property
    def is_due(self) -> bool:
        """Whether it is time to write them."""
        ...

    async def board(self, connection: AsyncConnection[Any]) -> None:
        """Write a bounded number of waiting rows. May be called again before it was said whether
        they arrived or not: then with the same rows."""
        ...

    def arrive(self) -> None:
        """What boarded is kept."""
        ...

    def miss(self) -> None:
        """What boarded was rolled back and waits again."""
        ...


class Scribe:
    """One batch at a time, for as long as riders have rows. Lives on one event loop."""

    def __init__(self, database: Database) -> None:
        self.riders: list[Rider] = []
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ride: asyncio.Task[None] | None = None
        self._is_closed = False

    def expect(self, in_s: float = RIDE_DELAY_S) -> None:
        """A rider has rows: a batch takes them along, no later than this."""
        at_s = self._loop.time() + in_s
        if self._is_closed or (self._timer is not None and self._timer.when() <= at_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at_s, self._start)

    async def close(self) -> None:
        """Write what waits, as long as the database takes it."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._ride is not None:
            await self._ride
        before, left = -1, self._waiting
        while left and left != before:
            await self._write(is_last=True)
            before, left = left, self._waiting

    @property
    def _waiting(self) -> int:
        return sum(rider.waiting for rider in self.riders)

    def _start(self) -> None:
        self._timer = None
        if self._ride is None or self._ride.done():
            self._ride = self._loop.create_task(self._write())

    async def _write(self, is_last: bool = False) -> None:
        riders = [each for each in self.riders if each.is_due or (is_last and each.waiting)]
        if not riders:
            return

        async def board(connection: AsyncConnection[Any]) -> None:
            await connection.execute(_NO_WAIT)
            for rider in riders:
                await rider.board(connection)

        try:
            await self._database.write(board)
        except StoreError:
            for rider in riders:
                rider.miss()
            self.expect(PAUSE_S)
            return
        for rider in riders:
            rider.arrive()
