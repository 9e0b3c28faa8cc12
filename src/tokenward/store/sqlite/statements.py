"""What the file says, read for the audit."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tokenward.ledger.audit import audit
from tokenward.ledger.chain import GENESIS, Entry
from tokenward.ledger.records import Cap, Finding
from tokenward.ledger.statement import Head, Stated, StatedCounter, StatedKey
from tokenward.store.cap_rows import CAP_COLUMNS, read_cap
from tokenward.store.sqlite.folder import open_reader
from tokenward.store.sqlite.open_holds import ENTRY_ROWS
from tokenward.store.sqlite.reader import snapshot

_ENTRIES: Final = ENTRY_ROWS + "WHERE seq > ? ORDER BY seq"
_HEAD: Final = "SELECT value FROM meta WHERE name = 'head'"
_HOLDS: Final = "SELECT id FROM holds"
_CAPS: Final = CAP_COLUMNS + "ORDER BY id"
_COUNTERS: Final = "SELECT cap, start_ms, spent, held, running FROM counters"
_KEYS: Final = "SELECT id, project, account, state FROM keys"
_PROJECTS: Final = "SELECT name, account FROM projects"
_CREDITS: Final = "SELECT name, credit_nusd FROM accounts WHERE credit_nusd IS NOT NULL"


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
    return [read_cap(row) for row in connection.execute(_CAPS)]


def stream_entries(connection: sqlite3.Connection, after: int = 0) -> Iterator[tuple[Entry, bytes]]:
    """Entries after a number, each with the hash it carries."""
    for row in connection.execute(_ENTRIES, (after,)):
        yield Entry(*row[:-1]), row[-1]


def _stated(connection: sqlite3.Connection, now_ms: int, known: tuple[Head, ...]) -> Stated:
    execute = connection.execute
    return Stated(
        now_ms=now_ms,
        head=stored_head(connection),
        open_holds=frozenset(row[0] for row in execute(_HOLDS)),
        caps=stored_caps(connection),
        counters=[StatedCounter(*row) for row in execute(_COUNTERS)],
        keys={row[0]: StatedKey(*row[1:]) for row in execute(_KEYS)},
        projects=dict(execute(_PROJECTS)),
        credits_nusd=dict(execute(_CREDITS)),
        known=known,
    )
