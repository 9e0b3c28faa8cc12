"""A few connections that are used in turn, opened when they are needed and never more.

Some of them are always left to what is quick: of what may take minutes only so much has a turn at
once, and the rest waits for it without a connection.
"""

import asyncio
from typing import Final

from tokenward.kernel.errors import StoreBusyError
from tokenward.store.postgres.line import Line

LINES_MAX: Final = 4
WAITING_MAX: Final = 256
LONG_SHARE: Final = 1 / 2
"""So much of the connections may serve what takes long."""
LONG_WAITING_MAX: Final = 32
LONG_WAIT_S: Final = 30.0


class Turns:
    """So many at once; of the others a bounded number waits, each for a bounded time, in order."""

    def __init__(self, size: int, waiting_max: int, too_many: str, too_late: str) -> None:
        self._places = asyncio.Semaphore(size)
        self._waiting_max = waiting_max
        self._too_many = too_many
        self._too_late = too_late
        self.waiting = 0
        """Who waits for a turn."""

    async def take(self, limit_s: float) -> None:
        """Raises `StoreBusyError` if there is none within the limit, or too many wait."""
        if self.waiting >= self._waiting_max:
            raise StoreBusyError(self._too_many)
        self.waiting += 1
        try:
            async with asyncio.timeout(limit_s):
                await self._places.acquire()
        except TimeoutError:
            raise StoreBusyError(self._too_late) from None
        finally:
            self.waiting -= 1

    def give(self) -> None:
        """To the next who waits."""
        self._places.release()


def long_turns(lines: int) -> Turns:
    """Turns of what may take minutes, where there are so many connections for everything."""
    return Turns(
        max(1, int(lines * LONG_SHARE)),
        LONG_WAITING_MAX,
        "too many wait for long readings of the database (audits, lists, sums); try again later",
        "others that read much of the database have not ended; try again later",
    )


class Pool:
    """Lends connections to whoever reads or changes something; at most 256 wait for one."""

    def __init__(self, url: str, role: str, statement_limit_s: float, size: int) -> None:
        self._url = url
        self._role = role
        self._statement_limit_s = statement_limit_s
        self._idle: list[Line] = []
        self._lent: set[Line] = set()
        self._turns = Turns(
            size,
            WAITING_MAX,
            "too many wait for a connection to the database",
            "no connection to the database is free",
        )

    @property
    def waiting(self) -> int:
        """Who waits for a connection."""
        return self._turns.waiting

    async def take(self, limit_s: float) -> tuple[Line, bool]:
        """A connection, and whether it was used before: it may have been lost since.

        Raises `StoreBusyError` if none is free within the limit, `StoreError` if a new one
        cannot be had.
        """
        await self._turns.take(limit_s)
        try:
            was_used = bool(self._idle)
            line = self._idle.pop() if was_used else await self.open()
        except BaseException:
            self._turns.give()
            raise
        self._lent.add(line)
        return line, was_used

    async def open(self) -> Line:
        """A new connection, not yet one of the pool's. Raises `StoreError`."""
        return await Line.open(self._url, self._role, self._statement_limit_s)

    def give(self, line: Line) -> None:
        """Bring a connection back; one that is of no more use is let go."""
        self._lent.discard(line)
        self._turns.give()
        if line.is_fit:
            self._idle.append(line)
        else:
            line.close()

    def drop_idle(self) -> None:
        """Those that nobody uses are not trusted any more."""
        for line in self._idle:
            line.close()
        self._idle = []

    def cut(self) -> None:
        """End every wait on every connection."""
        self.drop_idle()
        for line in self._lent:
            line.cut()
