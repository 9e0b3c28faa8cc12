"""The holds that are open, in memory while they are; the file keeps each as an entry and a row."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from tokenward.ledger.chain import Entry
from tokenward.ledger.counter import Counter
from tokenward.store.entry_rows import ENTRY_COLUMNS, read_entry
from tokenward.store.sqlite.counters import Counters
from tokenward.store.sqlite.database import Database

_OPEN: Final = ENTRY_COLUMNS + (
    ", expires_ms FROM holds CROSS JOIN entries ON seq = id ORDER BY id"
)
"""CROSS JOIN makes SQLite start from the few open holds, not from all entries."""
_INSERT: Final = "INSERT INTO holds (id, expires_ms) VALUES (?, ?)"
_DELETE: Final = "DELETE FROM holds WHERE id = ?"


class OpenHold:
    """A hold's entry, when it expires, and the counters it stands on."""

    __slots__ = ("entry", "expires_ms", "legs", "version")

    def __init__(
        self, entry: Entry, expires_ms: int, legs: tuple[Counter, ...], version: int
    ) -> None:
        self.entry = entry
        self.expires_ms = expires_ms
        self.legs = legs
        self.version = version


class OpenHolds:
    """Which holds are open, and the counters that each stands on."""

    def __init__(self, database: Database, counters: Counters) -> None:
        self._connection: sqlite3.Connection = database.connection
        self._counters = counters
        self._open: dict[int, OpenHold] | None = None
        self._opened: dict[int, int] = {}  # when each expires; not in the file yet
        self._closed: list[tuple[int]] = []  # still in the file
        database.caches.append(self)

    def open(
        self, entry: Entry, legs: tuple[Counter, ...], request_id: str, expires_ms: int
    ) -> None:
        """The hold of this entry is open."""
        self._opened[entry.seq] = expires_ms
        self._all()[entry.seq] = OpenHold(entry, expires_ms, legs, self._counters.version)

    def close(self, seq: int) -> tuple[Entry, tuple[Counter, ...]] | None:
        """The hold is no longer open: its entry and counters. None if it is not open."""
        hold = self._all().pop(seq, None)
        if hold is None:
            return None
        if self._opened.pop(seq, None) is None:
            self._closed.append((seq,))
        entry, legs = hold.entry, hold.legs
        if hold.version != self._counters.version:
            legs = self._counters.legs(
                entry.account, entry.project, entry.key, entry.model, entry.at_ms
            )
        return entry, legs

    def is_open(self, seq: int) -> bool:
        """Has the hold not ended yet?"""
        return seq in self._all()

    def expired(self, now_ms: int | None, limit: int) -> list[int]:
        """At most `limit` holds past their time (None: all of them), oldest first."""
        found = []
        for seq, hold in self._all().items():
            if now_ms is None or hold.expires_ms <= now_ms:
                found.append(seq)
                if len(found) == limit:
                    break
        return found

    def entries(self) -> Iterator[Entry]:
        """The entries of all open holds, oldest first."""
        return (hold.entry for hold in self._all().values())

    def flush(self) -> None:
        """Write which holds were taken and which ended."""
        if self._opened:
            self._connection.executemany(_INSERT, self._opened.items())
            self._opened.clear()
        if self._closed:
            self._connection.executemany(_DELETE, self._closed)
            self._closed.clear()

    def forget(self) -> None:
        """Read the open holds anew when needed."""
        self._open = None
        self._opened.clear()
        self._closed.clear()

    def _all(self) -> dict[int, OpenHold]:
        if self._open is None:
            rows = self._connection.execute(_OPEN).fetchall()
            # Version -1: the counters are looked up when the hold ends.
            self._open = {row[0]: OpenHold(read_entry(row), row[-1], (), -1) for row in rows}
        return self._open
