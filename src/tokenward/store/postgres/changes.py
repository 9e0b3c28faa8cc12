"""What other gateways changed: heard within a fraction of a second, or this gateway stops.

Every change to a key, and every revoked name, has a number; the numbers have no gaps, because they
are given under the lock of the books. A gateway asks five times a second, and at once when it is
poked, for what came after the last number it knows; the same question says that the gateway is
there. What it knows is fresh for a while from the moment such a question was *sent*, if everything
in the answer was taken in (`keys.lease`). It asks on a connection of its own, so that nothing that
is stuck can delay it.

After a break (a new connection: the server may have been restored to an earlier moment, or
another one may have taken over) and after a gap it starts anew: everything in memory is compared
with the store before it counts as known again.
"""

import asyncio
import math
from contextlib import suppress
from functools import partial
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreError
from tokenward.keys.lease import Lease
from tokenward.keys.records import KeyRecord
from tokenward.store.key_rows import KEY_COLUMNS, read_key
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.faults import as_fault
from tokenward.store.postgres.gateways import Gateway, leave, register, say_here, write_down
from tokenward.store.postgres.grants import PostgresGrants
from tokenward.store.postgres.keys import PostgresKeys
from tokenward.store.postgres.line import BY_INDEX, Line
from tokenward.store.postgres.look_ups import shut_key

REFRESH_EVERY_S: Final = 0.2
ANSWER_LIMIT_S: Final = 0.7
"""An answer that comes later says nothing fresh."""
ANEW_LIMIT_S: Final = 10.0
PAUSE_S_MIN: Final = 0.05
PAUSE_S_MAX: Final = 0.5
NEWS_MAX: Final = 1_000
"""Changes in one answer; if there are more the next question follows at once."""
COMPARE_STEP: Final = 500
SEEN_EVERY_S: Final = 2
KEPT_S: Final = 3_600
PRUNE_BATCH: Final = 10_000
_SETTINGS: Final = {**BY_INDEX, "synchronous_commit": "off"}
"""Nothing that is said here needs the disk."""
_NEWS: Final = """
WITH here AS (
    UPDATE gateways SET seen = clock_timestamp() WHERE id = %(me)s
    AND seen < clock_timestamp() - make_interval(secs => %(seen_every_s)s)
)
SELECT book.change, EXISTS (SELECT FROM gateways WHERE id = %(me)s), news.number, news.name,
    revoked.until_ms, keys.id, keys.digest, keys.account, keys.project, keys.name, keys.state,
    keys.caveats, keys.created_ms, keys.expires_ms, keys.last_used_ms, keys.frozen_why,
    keys.revoked_why, keys.old_secrets, keys.holder, keys.enrolment, keys.cleared, keys.barred
FROM book
LEFT JOIN LATERAL (
    SELECT * FROM changes WHERE number > %(after)s ORDER BY number LIMIT %(most)s
) AS news ON true
LEFT JOIN keys ON news.what = 'key' AND keys.id = news.name
LEFT JOIN revoked_tokens AS revoked ON news.what = 'name' AND revoked.name = news.name
ORDER BY news.number
"""
_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_LAST: Final = "SELECT change FROM book"
_REVOKED: Final = "SELECT name, until_ms FROM revoked_tokens WHERE until_ms >= %s"
_KEYS: Final = KEY_COLUMNS + "WHERE id = ANY(%s)"
_PRUNE: Final = (
    "DELETE FROM changes WHERE number IN (SELECT number FROM changes "
    "WHERE at < clock_timestamp() - make_interval(secs => %s) "
    "ORDER BY number LIMIT %s FOR UPDATE SKIP LOCKED)"
)


class _GapError(Exception):
    """Changes are missing between what is known and what there is."""


class ChangeFeed:
    """Keeps keys and grants of one gateway fresh. Lives on one event loop."""

    def __init__(
        self,
        database: Database,
        me: Gateway,
        lease: Lease,
        keys: PostgresKeys,
        grants: PostgresGrants,
        clock: Clock,
    ) -> None:
        self.trouble = ""
        """Why there is no fresh view now; "" while there is one."""
        self._database = database
        self._me = me
        self._lease = lease
        self._keys = keys
        self._grants = grants
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._heard_since_s = math.inf
        self._line: Line | None = None
        self._poked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def start(self) -> None:
        """Write the gateway down, know what there is to know, and go on listening. Raises
        `StoreError`, also where this gateway may not run beside another one."""
        await self._database.change(partial(register, self._me))
        await self._connect()
        await self._refresh()
        self._task = self._loop.create_task(self._listen())

    async def stop(self) -> None:
        """Hear nothing more and say that the gateway is gone. A second time does nothing."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self._poked.set()
        if self._line is not None:  # cancelled in mid-question it would ask the server for leave
            self._line.cut()
        elif self._task is not None:  # it waits, or connects
            self._task.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self._hang_up()
        self._lease.end()
        with suppress(StoreError):
            await self._database.write(partial(leave, gateway_id=self._me.id))

    @property
    def heard_since_s(self) -> float:
        """Since when, by the clock, it hears all without a break and on one connection; `inf`
        while it does not."""
        return self._heard_since_s if self._lease.is_fresh() else math.inf

    def poke(self) -> None:
        """Somebody says that there is news: ask now. Only a hint, so losing it does no harm."""
        self._poked.set()

    async def prune(self) -> None:
        """Forget changes of more than an hour ago; who was away for longer starts anew."""
        await self._database.write(_prune)

    # -- inside ---------------------------------------------------------------------------------

    async def _listen(self) -> None:
        pause_s = 0.0
        while not self._is_stopping:
            try:
                if self._line is None:
                    await self._connect()
                await self._refresh()
                self.trouble, pause_s = "", 0.0
                with suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH_EVERY_S):
                        await self._poked.wait()
            except Exception as error:  # noqa: BLE001 - our own bug, too: refuse, and try again
                is_fault = isinstance(error, StoreError)
                self.trouble = f"{error}" if is_fault else f"news cannot be taken in: {error!r}"
                self._hang_up()
                pause_s = min(PAUSE_S_MAX, max(PAUSE_S_MIN, pause_s * 2))
                await asyncio.sleep(pause_s)

    async def _connect(self) -> None:
        line = await Line.open(self._database.url, "feed", ANSWER_LIMIT_S, _SETTINGS)
        self._line, self._heard_since_s = line, math.inf
        # First of all: to compare takes long, and who is not seen is taken for dead.
        await self._in_time(say_here(line.connection, self._me.id), ANSWER_LIMIT_S)
        await self._in_time(self._start_anew(line.connection), ANEW_LIMIT_S)

    def _hang_up(self) -> None:
        if self._line is not None:
            line, self._line = self._line, None
            line.close()

    async def _refresh(self) -> None:
        """Ask until nothing is missing; then everything was known when the last question was
        sent. Raises `StoreError`."""
        assert self._line is not None, "connected"
        connection = self._line.connection
        self._poked.clear()
        is_behind = True
        while is_behind:
            sent_s = self._clock.monotonic_s()
            rows = await self._in_time(self._ask(connection), ANSWER_LIMIT_S)
            try:
                is_behind = self._take_in(rows)
            except _GapError:
                self._lease.end()
                await self._in_time(self._start_anew(connection), ANEW_LIMIT_S)
                continue
            if not rows[0][1]:  # it was taken for dead: its holds may have been closed
                await self._in_time(write_down(connection, self._me), ANSWER_LIMIT_S)
        self._heard_since_s = min(self.heard_since_s, self._clock.monotonic_s())
        self._lease.refresh(sent_s)

    async def _ask(self, connection: AsyncConnection[Any]) -> list[tuple[Any, ...]]:
        values = {
            "me": self._me.id,
            "after": self._number,
            "most": NEWS_MAX,
            "seen_every_s": SEEN_EVERY_S,
        }
        cursor = await connection.execute(_NEWS, values, prepare=True)
        return await cursor.fetchall()

    def _take_in(self, rows: list[tuple[Any, ...]]) -> bool:
        """Hear everything in one answer; whether there is more."""
        last: int = rows[0][0]
        news = [row for row in rows if row[2] is not None]
        expected = range(self._number + 1, min(last, self._number + NEWS_MAX) + 1)
        if last < self._number or [row[2] for row in news] != list(expected):
            raise _GapError
        for _, _, number, name, until_ms, *key in news:
            if key[0] is not None:
                record, is_readable = _read(tuple(key))
                self._keys.hear(record, number, as_of=last)
                if not is_readable:
                    self._keys.compare(record.id, None, last)
            elif until_ms is not None:
                self._grants.hear(name, until_ms)
            self._number = number
        return self._number < last

    async def _start_anew(self, connection: AsyncConnection[Any]) -> None:
        """Compare everything in memory with the store as it is at one moment."""
        newest = max(self._number, self._keys.newest)
        await connection.execute(_SNAPSHOT)
        ((last,),) = await (await connection.execute(_LAST)).fetchall()
        cursor = await connection.execute(_REVOKED, (self._clock.now_ms(),))
        self._grants.compare(await cursor.fetchall())
        ids = self._keys.begin_anew(last, is_past=last < newest)
        for start in range(0, len(ids), COMPARE_STEP):
            step = ids[start : start + COMPARE_STEP]
            rows = await (await connection.execute(_KEYS, (step,))).fetchall()
            stored = {row[0]: _read(row) for row in rows}
            for key_id in step:
                record, is_readable = stored.get(key_id, (None, False))
                if record is not None:
                    self._keys.compare(key_id, record, last)
                if not is_readable:
                    self._keys.compare(key_id, None, last)
        await connection.execute("COMMIT")
        self._number = last

    async def _in_time(self, answer: Any, limit_s: float) -> Any:
        """Wait for it, and cut the connection when it is late. Raises `StoreError`."""
        assert self._line is not None, "connected"
        timer = self._loop.call_later(limit_s, self._line.cut)
        try:
            return await answer
        except (psycopg.Error, OSError) as error:
            raise as_fault(error, "say what changed") from error
        finally:
            timer.cancel()


def _read(row: tuple[Any, ...]) -> tuple[KeyRecord, bool]:
    """The key, and whether it can be read. One that cannot is told of as shut and not kept in
    memory, so that who shows it is told why, and it alone is refused."""
    try:
        return read_key(row), True
    except StoreError:
        return shut_key(row), False


async def _prune(connection: AsyncConnection[Any]) -> None:
    await connection.execute(_PRUNE, (KEPT_S, PRUNE_BATCH))
