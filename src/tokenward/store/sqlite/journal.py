"""The append-only ledger and the events, as the writer adds to them."""

import sqlite3
from typing import Final

from tokenward.kernel.events import Event
from tokenward.ledger.chain import GENESIS, Entry, chain_hash
from tokenward.ledger.notes import Notebook, to_json
from tokenward.store.sqlite.database import Database

_INSERT: Final = "INSERT INTO entries VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_KEEP_HEAD: Final = (
    "INSERT INTO meta (name, value) VALUES ('head', ?) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_LAST: Final = "SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1"
_INSERT_EVENT: Final = "INSERT INTO events (ts, kind, subject, facts) VALUES (?, ?, ?, ?)"


class Journal(Notebook):
    """Writes entries, each chained to the one before, and events in the same transaction.

    Entries go to the file together, when the transaction ends or somebody reads (`flush`).
    The head (number and hash of the last entry) is kept beside the entries too, so that entries
    cut off at the end are missed by the audit.
    """

    def __init__(self, database: Database) -> None:
        self._connection = database.connection
        self._seq = -1  # -1: not read from the file yet
        self._hash = GENESIS
        self._unwritten: list[tuple[object, ...]] = []
        database.caches.append(self)

    def next_seq(self) -> int:
        """The number that the next entry will have."""
        if self._seq < 0:
            self._seq, self._hash = read_head(self._connection)
        return self._seq + 1

    def write(self, entry: Entry) -> None:
        """Append an entry; its `seq` is `next_seq()`."""
        assert entry.seq == self._seq + 1, "entries are numbered without gaps"
        digest = chain_hash(self._hash, entry)
        self._unwritten.append((*entry, digest))
        self._seq, self._hash = entry.seq, digest

    def tell(self, event: Event) -> None:
        """Keep an event for people and pagers."""
        facts = to_json(event.facts).decode("utf-8")
        self._connection.execute(_INSERT_EVENT, (event.ts, event.kind, event.subject, facts))

    def flush(self) -> None:
        """Write what was appended, and the head."""
        if self._unwritten:
            self._connection.executemany(_INSERT, self._unwritten)
            self._connection.execute(_KEEP_HEAD, (b"%d:" % self._seq + self._hash,))
            self._unwritten.clear()

    def forget(self) -> None:
        """Read the head anew at the next entry."""
        self._seq = -1
        self._unwritten.clear()


def read_head(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """Number and hash of the last entry; `(0, GENESIS)` of an empty ledger."""
    row = connection.execute(_LAST).fetchone()
    return (row[0], row[1]) if row is not None else (0, GENESIS)
