"""The connections there are, and whose turn it is.

A call owns one of `max_connections` places from `take` until its connection is free again. Whoever
finds none waits in line; a place that becomes free goes to the first in line, never to a newcomer.
"""

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from typing import Final

from tokenward.http.provider.address import Origin
from tokenward.http.provider.connection import Connection, Waits
from tokenward.http.provider.dialling import Dialler
from tokenward.kernel.errors import UnsentError

_STOPPING: Final = "the guard is stopping; nothing is sent any more"
_CLOSE_WAIT_S: Final = 1.0


class Pool:
    """Belongs to one event loop."""

    def __init__(
        self,
        trust: ssl.SSLContext,
        waits: Waits,
        *,
        connect_timeout_s: float,
        pool_wait_s: float,
        max_connections: int,
    ) -> None:
        self._waits = waits
        self._connect_timeout_s = connect_timeout_s
        self._pool_wait_s = pool_wait_s
        self._dialler = Dialler(trust)
        self._places = max_connections  # free ones; none while anybody waits in line
        self._line: deque[asyncio.Future[None]] = deque()
        self._busy: set[Connection] = set()
        self._idle: dict[Origin, dict[Connection, None]] = {}  # the longest idle first
        self._is_closed = False

    async def take(self, origin: Origin) -> Connection:
        """A connection that is ready: bring it back by `put_back`, or by a call on it. Raises
        `UnsentError` when there is none in time."""
        if self._places and not self._is_closed:
            self._places -= 1
        else:
            await self._wait_in_line(origin)
        try:
            connection = self._idle_one(origin) or await self._new_one(origin)
        except BaseException:
            self._leave()
            raise
        self._busy.add(connection)
        return connection

    def put_back(self, connection: Connection) -> None:
        """It is free again; kept if it can still be used."""
        self._busy.discard(connection)
        if connection.is_open:
            self._idle.setdefault(connection.origin, {})[connection] = None
        self._leave()

    async def close(self) -> None:
        """Close every connection; running calls break, waiting ones are not sent."""
        self._is_closed = True
        for turn in self._line:
            if not turn.done():
                turn.set_exception(UnsentError(_STOPPING))
        self._line.clear()
        ours = [*self._busy, *(each for idle in self._idle.values() for each in idle)]
        for connection in ours:
            connection.hang_up()
        if ours:
            await asyncio.wait([each.gone for each in ours], timeout=_CLOSE_WAIT_S)

    async def _wait_in_line(self, origin: Origin) -> None:
        if self._is_closed:
            raise UnsentError(_STOPPING)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            async with asyncio.timeout(self._pool_wait_s):
                await turn
        except BaseException as error:
            if not turn.done() or turn.cancelled():
                with suppress(ValueError):  # it may have been skipped already
                    self._line.remove(turn)
            elif turn.exception() is None:
                self._leave()  # the place came in the moment of leaving the line
            if isinstance(error, TimeoutError):
                raise UnsentError(
                    f"no connection to {origin.authority} was free for {self._pool_wait_s:g} s"
                ) from None
            raise

    def _leave(self) -> None:
        """A place is free."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._places += 1

    def _idle_one(self, origin: Origin) -> Connection | None:
        """The one used last: it is the least likely to be closed by the provider just now."""
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if not idle:
                del self._idle[origin]
            if connection.is_quiet():
                return connection
            connection.hang_up()
        return None

    async def _new_one(self, origin: Origin) -> Connection:
        self._make_room()
        connection = Connection(origin, self._waits, self.put_back, self._forget)
        try:
            await self._connect(connection)
        except BaseException:
            connection.hang_up()
            raise
        return connection

    async def _connect(self, connection: Connection) -> None:
        where = connection.origin.authority
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._dialler.dial(connection.origin, connection)
        except OSError as error:  # TimeoutError too
            why = str(error) or f"it took longer than {self._connect_timeout_s:g} s"
            raise UnsentError(f"{where} could not be reached: {why}") from None
        if self._is_closed:
            raise UnsentError(_STOPPING)
        if not connection.is_open:
            raise UnsentError(f"{where} could not be reached: it closed at once")

    def _make_room(self) -> None:
        """Idle connections to other origins give way: all together are as many as allowed."""
        while sum(map(len, self._idle.values())) > self._places:
            others = next(iter(self._idle.values()))
            next(iter(others)).hang_up()

    def _forget(self, connection: Connection) -> None:
        """One was lost between two calls."""
        idle = self._idle.get(connection.origin, {})
        if connection in idle:
            del idle[connection]
            if not idle:
                del self._idle[connection.origin]
