"""What the file says, read for the audit."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tokenward.ledger.audit import audit
from tokenward.ledger.chain import GENESIS, Entry
from tokenward.ledger.records import Cap, Finding
from tokenward.ledger.statement import Head, Stated
from tokenward.store.book_rows import CAPS, CLAIMS, stated
from tokenward.store.cap_rows import CAP_COLUMNS, read_cap
from tokenward.store.entry_rows import ENTRY_ROWS, read_entry
from tokenward.store.sqlite.folder import open_reader
from tokenward.store.sqlite.reader import snapshot

_ENTRIES: Final = ENTRY_ROWS + "WHERE seq > ? ORDER BY seq"
_CAP: Final = CAP_COLUMNS + "WHERE id = ?"
_HEAD: Final = "SELECT value FROM meta WHERE name = 'head'"


def audit_file(
    connection: sqlite3.Connection, now_ms: int, known: tuple[Head, ...]
) -> list[Finding]:
    """Prove the file's books from its entries, which are streamed."""
    return audit(stream_entries(connection), _stated(connection, now_ms, known))


def audit_folder(folder: Path, now_ms: int, known: tuple[Head, ...] = ()) -> list[Finding]:
    """Prove the books in a data folder, also while a guard writes to it; an empty list is the
    proof. `known` are heads kept elsewhere. Raises `StoreError` if the file cannot be read."""
    connection = open_reader(folder)
    try:
        return snapshot(connection, lambda reading: audit_file(reading, now_ms, known))
    finally:
        connection.close()


def stored_head(connection: sqlite3.Connection) -> Head:
    """The head that is kept beside the entries."""
    row = connection.execute(_HEAD).fetchone()
    if row is None:
        return Head(0, GENESIS)
    number, _, digest = row[0].partition(b":")
    return Head(int(number), digest)


def stored_caps(connection: sqlite3.Connection) -> list[tuple[Cap, int]]:
    """Every cap, and the start of the first window it counts."""
    return [read_cap(row) for row in connection.execute(CAPS)]


def caps_with_ids(connection: sqlite3.Connection, ids: Iterable[str]) -> Iterator[tuple[Cap, int]]:
    """Those of these caps that there are, as `stored_caps`."""
    for cap_id in ids:
        yield from (read_cap(row) for row in connection.execute(_CAP, (cap_id,)))


def stream_entries(connection: sqlite3.Connection, after: int = 0) -> Iterator[tuple[Entry, bytes]]:
    """Entries after a number, each with the hash it carries."""
    for row in connection.execute(_ENTRIES, (after,)):
        yield read_entry(row), row[-1]


def _stated(connection: sqlite3.Connection, now_ms: int, known: tuple[Head, ...]) -> Stated:
    answers = [connection.execute(claim).fetchall() for claim in CLAIMS]
    return stated(now_ms, stored_head(connection), known, answers)
