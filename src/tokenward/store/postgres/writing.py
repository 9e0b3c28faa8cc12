"""Rows on their way to the server: columns as arrays, so that many rows are one statement."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, LiteralString

from psycopg import AsyncConnection, AsyncCursor

from tokenward.kernel.events import Event
from tokenward.ledger.chain import Entry
from tokenward.ledger.notes import to_json
from tokenward.store.postgres.journal import Journal

BOOK_LOCK: Final = 0x746F6B01
"""The lock of the books: who writes money, keys or anything that is told holds it."""
LOCK: Final = (
    f"SELECT pg_advisory_xact_lock({BOOK_LOCK}), "
    "set_config('transaction_timeout', current_setting('tokenward.lock_ms'), true)"
)
"""Takes the lock, and from then on the transaction has so long: who stops with it is ended. (The
limit on idle sessions does not do it: the flush that ends a pipeline turns its clock off.)"""
_ENTRIES: Final = (
    "INSERT INTO entries SELECT * FROM unnest("
    "%s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[], "
    "%s::text[], %s::text[], %s::text[], %s::text[], "
    "%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], "
    "%s::bigint[], %s::text[], %s::bytea[])"
)
_TEXTS: Final = frozenset({2, 5, 6, 7, 8, 16, 17})
"""The columns of an entry that are not numbers."""
_EVENTS: Final = (
    "INSERT INTO events (ts, kind, subject, facts) "
    "SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[])"
)
_BOOK: Final = "UPDATE book SET seq = %s, hash = %s"


def integers(values: Iterable[int | None]) -> str:
    """An array of numbers as the server reads it. Written as text, because the type of a list
    would change with the size of its numbers, and with it the prepared statement."""
    return "{" + ",".join(["NULL" if each is None else str(each) for each in values]) + "}"


async def write_journal(connection: AsyncConnection[Any], journal: Journal) -> None:
    """Keep entries, events and the head. Inside a pipeline: nothing is waited for here."""
    if journal.entries:
        await execute(connection, _ENTRIES, _entry_columns(journal.entries))
        await execute(connection, _BOOK, (journal.seq, journal.hash))
    if journal.events:
        await execute(connection, _EVENTS, _event_columns(journal.events))


class Committing:
    """A commit that was sent, also inside a pipeline; `check` when it was answered."""

    def __init__(self, cursor: AsyncCursor[Any]) -> None:
        self._cursor = cursor

    def check(self) -> None:
        """The server answers a commit of what failed before with a friendly `ROLLBACK`: that is
        no answer to rely on."""
        said = self._cursor.statusmessage
        assert said == "COMMIT", f"a transaction that failed was committed: {said}"


async def commit(connection: AsyncConnection[Any]) -> Committing:
    """Ask for the commit."""
    return Committing(await connection.execute("COMMIT"))


async def execute(
    connection: AsyncConnection[Any], statement: LiteralString, values: Sequence[Any]
) -> None:
    """One of the statements that are worth preparing."""
    await connection.execute(statement, values, prepare=True)


def _entry_columns(rows: Sequence[tuple[Entry, bytes]]) -> list[Any]:
    columns: list[Any] = [
        list(column) if number in _TEXTS else integers(column)
        for number, column in enumerate(zip(*(entry for entry, _ in rows), strict=True))
    ]
    columns.append([digest for _, digest in rows])
    return columns


def _event_columns(events: Sequence[Event]) -> list[Any]:
    return [
        integers(event.ts for event in events),
        [event.kind for event in events],
        [event.subject for event in events],
        [to_json(event.facts).decode("utf-8") for event in events],
    ]
