"""The record of every request: nobody waits for it, and a disk that is away loses only the
oldest excess, counted."""

import sqlite3
from collections import deque
from functools import partial
from typing import Final

from tokenward.kernel.events import Record
from tokenward.store.record_rows import LIST_MAX, Row, read_record, row_of
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.reader import Reader

WAITING_MAX: Final = 20_000
BOARD_MAX: Final = 256
SWEEP_BATCH: Final = 500
SWEEP_MAX: Final = 20_000
"""So many records, and events, go at one sweep: what else is swept does not wait for all."""
_INSERT: Final = "INSERT INTO records (ts, key, document) VALUES (?, ?, ?)"
_RECENT: Final = "SELECT document FROM records WHERE ts >= ? ORDER BY ts DESC, id DESC LIMIT ?"
_RECENT_OF_KEY: Final = (
    "SELECT document FROM records WHERE key = ? AND ts >= ? ORDER BY ts DESC, id DESC LIMIT ?"
)
_SWEEP_RECORDS: Final = (
    "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE ts < ? LIMIT ?)"
)
_SWEEP_EVENTS: Final = (
    "DELETE FROM events WHERE number IN "
    "(SELECT number FROM events ORDER BY number LIMIT ?2) AND ts < ?1"
)


class SqliteRecords:
    """Keeps one record a request, and serves them to people."""

    def __init__(self, database: Database, reader: Reader) -> None:
        self._database = database
        self._reader = reader
        self._rows: deque[Row] = deque()
        self._boarded: list[Row] = []
        self.dropped = 0
        database.riders.append(self)

    def write_record(self, record: Record) -> None:
        """Keep the record with one of the next commits. Never blocks, never raises; beyond
        20,000 waiting records `dropped` counts the ones that are lost."""
        if len(self._rows) >= WAITING_MAX:
            self.dropped += 1
        else:
            self.write_row(row_of(record))

    def write_row(self, row: Row) -> None:
        """The same for a record that is written down already."""
        if len(self._rows) >= WAITING_MAX:
            self.dropped += 1
            return
        self._rows.append(row)
        self._database.expect_rider()

    async def recent(self, key: str, since_ms: int, limit: int) -> list[Record]:
        """Records since then, newest first, of one key or (with "") of all; at most 10,000."""
        return await self._reader.read(partial(_recent, key, since_ms, min(limit, LIST_MAX)))

    async def sweep(self, before_ms: int) -> int:
        """Delete records and events from before that moment, in small steps, at most 20,000 of
        each; how many were. The rest goes next time. The ledger's entries stay."""
        return sum(
            [await self._sweep(sweep, before_ms) for sweep in (_SWEEP_RECORDS, _SWEEP_EVENTS)]
        )

    async def _sweep(self, statement: str, before_ms: int) -> int:
        def delete_some() -> int:
            return self._database.connection.execute(statement, (before_ms, SWEEP_BATCH)).rowcount

        deleted = 0
        while deleted < SWEEP_MAX and (count := await self._database.submit(delete_some)):
            deleted += count
        return deleted

    @property
    def waiting(self) -> int:
        """Records that are not on the disk yet."""
        return len(self._rows) + len(self._boarded)

    def board(self, connection: sqlite3.Connection) -> None:
        """Write a bounded number of records."""
        if self._rows:
            rows = self._rows
            self._boarded = [rows.popleft() for _ in range(min(len(rows), BOARD_MAX))]
            connection.executemany(_INSERT, self._boarded)

    def arrive(self) -> None:
        """Records are on the disk."""
        self._boarded = []
        if self._rows:
            self._database.expect_rider()

    def miss(self) -> None:
        """Records wait again, before the newer ones."""
        self._rows.extendleft(reversed(self._boarded))
        self._boarded = []
        if self._rows:
            self._database.expect_rider()


def _recent(key: str, since_ms: int, limit: int, connection: sqlite3.Connection) -> list[Record]:
    if key:
        rows = connection.execute(_RECENT_OF_KEY, (key, since_ms, limit))
    else:
        rows = connection.execute(_RECENT, (since_ms, limit))
    return [read_record(row[0]) for row in rows]
