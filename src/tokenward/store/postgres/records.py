"""The record of every request: nobody waits for it, and a database that is away loses only the
oldest excess, counted."""

from collections import deque
from typing import Any, Final, LiteralString

from psycopg import AsyncConnection

from tokenward.kernel.events import Record
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.scribe import Scribe
from tokenward.store.postgres.writing import integers
from tokenward.store.record_rows import LIST_MAX, Row, read_record, row_of

WAITING_MAX: Final = 20_000
BOARD_MAX: Final = 512
SWEEP_BATCH: Final = 2_000
SWEEP_MAX: Final = 20_000
"""So many records, and events, go at one sweep: what else is swept does not wait for all."""
_INSERT: Final = (
    "INSERT INTO records (ts, key, document) "
    "SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bytea[])"
)
_RECENT: Final = "SELECT document FROM records WHERE ts >= %s ORDER BY ts DESC, id DESC LIMIT %s"
_RECENT_OF_KEY: Final = (
    "SELECT document FROM records WHERE key = %s AND ts >= %s ORDER BY ts DESC, id DESC LIMIT %s"
)
# What another gateway deletes at this moment is left to it: nobody waits for anybody.
_SWEEP_RECORDS: Final = (
    "DELETE FROM records WHERE id IN "
    "(SELECT id FROM records WHERE ts < %(before)s ORDER BY ts LIMIT %(limit)s "
    "FOR UPDATE SKIP LOCKED)"
)
_SWEEP_EVENTS: Final = (
    "DELETE FROM events WHERE number IN (SELECT number FROM "
    "(SELECT number, ts FROM events ORDER BY number LIMIT %(limit)s FOR UPDATE SKIP LOCKED) "
    "AS oldest WHERE ts < %(before)s)"
)


class PostgresRecords:
    """Keeps one record a request, and serves them to people."""

    def __init__(self, database: Database, scribe: Scribe) -> None:
        self._database = database
        self._scribe = scribe
        self._rows: deque[Row] = deque()
        self._boarded: list[Row] = []
        self.dropped = 0
        scribe.riders.append(self)

    def write_record(self, record: Record) -> None:
        """Keep the record with one of the next batches. Never blocks, never raises; beyond
        20,000 waiting records `dropped` counts the ones that are lost."""
        if len(self._rows) >= WAITING_MAX:
            self.dropped += 1
            return
        self._rows.append(row_of(record))
        self._scribe.expect()

    async def recent(self, key: str, since_ms: int, limit: int) -> list[Record]:
        """Records since then, newest first, of one key or (with "") of all; at most 10,000."""
        limit = min(limit, LIST_MAX)
        if key:
            rows = await self._database.fetch(_RECENT_OF_KEY, (_key(key), since_ms, limit))
        else:
            rows = await self._database.fetch(_RECENT, (since_ms, limit))
        return [read_record(row[0]) for row in rows]

    async def sweep(self, before_ms: int) -> int:
        """Delete records and events from before that moment, in small steps, at most 20,000 of
        each; how many were. The rest goes next time. The ledger's entries stay."""
        return sum(
            [await self._sweep(sweep, before_ms) for sweep in (_SWEEP_RECORDS, _SWEEP_EVENTS)]
        )

    async def _sweep(self, statement: LiteralString, before_ms: int) -> int:
        asked = {"before": before_ms, "limit": SWEEP_BATCH}

        async def delete_some(connection: AsyncConnection[Any]) -> int:
            return (await connection.execute(statement, asked)).rowcount

        deleted = 0
        while deleted < SWEEP_MAX and (count := await self._database.write(delete_some)):
            deleted += count
        return deleted

    # -- as the scribe asks ---------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Records that are not kept yet."""
        return len(self._rows) + len(self._boarded)

    @property
    def is_due(self) -> bool:
        """They always are."""
        return self.waiting > 0

    async def board(self, connection: AsyncConnection[Any]) -> None:
        """Write a bounded number of records."""
        if not self._boarded:  # else the same are tried again
            rows = self._rows
            self._boarded = [rows.popleft() for _ in range(min(len(rows), BOARD_MAX))]
        if self._boarded:
            moments, keys, documents = zip(*self._boarded, strict=True)
            columns = (integers(moments), [_key(key) for key in keys], list(documents))
            await connection.execute(_INSERT, columns, prepare=True)

    def arrive(self) -> None:
        """Records are kept."""
        self._boarded = []
        if self._rows:
            self._scribe.expect(0)

    def miss(self) -> None:
        """Records wait again, before the newer ones."""
        self._rows.extendleft(reversed(self._boarded))
        self._boarded = []


def _key(key: str) -> str:
    """The server takes no text with this character in it; no key has one."""
    return key.replace("\0", "?")
