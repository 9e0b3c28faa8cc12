"""What the database says, read in one snapshot for the audit."""

from collections.abc import AsyncIterator
from typing import Any, Final

from psycopg import AsyncConnection

from tokenward.ledger.audit import Auditor
from tokenward.ledger.chain import Entry
from tokenward.ledger.records import Cap, Finding
from tokenward.ledger.statement import Head, Stated
from tokenward.store.book_rows import CAPS, CLAIMS, stated
from tokenward.store.cap_rows import read_cap
from tokenward.store.entry_rows import ENTRY_ROWS, read_entry

STREAM_ROWS: Final = 500
_ENTRIES: Final = ENTRY_ROWS + "WHERE seq > %s ORDER BY seq"
_HEAD: Final = "SELECT seq, hash FROM book"
_PATIENT: Final = "SET LOCAL idle_in_transaction_session_timeout = '60s'"


async def audit_books(
    now_ms: int, known: tuple[Head, ...], connection: AsyncConnection[Any]
) -> list[Finding]:
    """Prove the books from the entries, which are streamed."""
    auditor = Auditor(await _stated(connection, now_ms, known))
    async for entry, digest in stream_entries(connection):
        if not auditor.see(entry, digest):
            break
    return auditor.conclude()


async def stored_head(connection: AsyncConnection[Any]) -> Head:
    """The head that is kept beside the entries."""
    (row,) = await _all(connection, _HEAD)
    return Head(*row)


async def stored_caps(connection: AsyncConnection[Any]) -> list[tuple[Cap, int]]:
    """Every cap, and the start of the first window it counts."""
    return [read_cap(row) for row in await _all(connection, CAPS)]


async def stream_entries(
    connection: AsyncConnection[Any], after: int = 0
) -> AsyncIterator[tuple[Entry, bytes]]:
    """Entries after a number, each with the hash it carries, a few at a time."""
    await connection.execute(_PATIENT)
    async with connection.cursor(name="entries") as cursor:
        cursor.itersize = STREAM_ROWS
        await cursor.execute(_ENTRIES, (after,))
        async for row in cursor:
            yield read_entry(row), row[-1]


async def _stated(connection: AsyncConnection[Any], now_ms: int, known: tuple[Head, ...]) -> Stated:
    answers = [await _all(connection, claim) for claim in CLAIMS]
    return stated(now_ms, await stored_head(connection), known, answers)


async def _all(connection: AsyncConnection[Any], question: Any) -> list[Any]:
    return await (await connection.execute(question)).fetchall()
