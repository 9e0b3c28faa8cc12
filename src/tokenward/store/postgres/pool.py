"""A few connections that are used in turn, opened when they are needed and never more."""

import asyncio
from typing import Final

from tokenward.kernel.errors import StoreBusyError
from tokenward.store.postgres.line import Line

LINES_MAX: Final = 4
WAITING_MAX: Final = 256


class Pool:
    """Lends connections to whoever reads or changes something; at most 256 wait for one."""

    def __init__(self, url: str, role: str, statement_limit_s: float, size: int) -> None:
        self._url = url
        self._role = role
        self._statement_limit_s = statement_limit_s
        self._idle: list[Line] = []
        self._lent: set[Line] = set()
        self._places = asyncio.Semaphore(size)
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Who waits for a connection."""
        return self._waiting

    async def take(self, limit_s: float) -> tuple[Line, bool]:
        """A connection, and whether it was used before: it may have been lost since.

        Raises `StoreBusyError` if none is free within the limit, `StoreError` if a new one
        cannot be had.
        """
        if self._waiting >= WAITING_MAX:
            raise StoreBusyError("too many wait for a connection to the database")
        self._waiting += 1
        try:
            async with asyncio.timeout(limit_s):
                await self._places.acquire()
        except TimeoutError:
            raise StoreBusyError("no connection to the database is free") from None
        finally:
            self._waiting -= 1
        try:
            was_used = bool(self._idle)
            line = self._idle.pop() if was_used else await self.open()
        except BaseException:
            self._places.release()
            raise
        self._lent.add(line)
        return line, was_used

    async def open(self) -> Line:
        """A new connection, not yet one of the pool's. Raises `StoreError`."""
        return await Line.open(self._url, self._role, self._statement_limit_s)

    def give(self, line: Line) -> None:
        """Bring a connection back; one that is of no more use is let go."""
        self._lent.discard(line)
        self._places.release()
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
