"""What the database says, read in one snapshot for the audit."""

from collections.abc import AsyncIterator
from typing import Any, Final

from psycopg import AsyncConnection

from tokenward.ledger.audit import Auditor
from tokenward.ledger.chain import Entry
from tokenward.ledger.records import Cap, Finding
from tokenward.ledger.statement import Head, Stated, StatedCounter, StatedKey
from tokenward.store.cap_rows import CAP_COLUMNS, read_cap
from tokenward.store.postgres.facts import ENTRY_ROWS

STREAM_ROWS: Final = 500
_ENTRIES: Final = ENTRY_ROWS + "WHERE seq > %s ORDER BY seq"
_HEAD: Final = "SELECT seq, hash FROM book"
_HOLDS: Final = "SELECT id FROM holds"
_CAPS: Final = CAP_COLUMNS + "ORDER BY id"
_COUNTERS: Final = "SELECT cap, start_ms, spent, held, running FROM counters"
_KEYS: Final = "SELECT id, project, account, state FROM keys"
_PROJECTS: Final = "SELECT name, account FROM projects"
_CREDITS: Final = "SELECT name, credit_nusd FROM accounts WHERE credit_nusd IS NOT NULL"
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
    return [read_cap(row) for row in await _all(connection, _CAPS)]


async def stream_entries(
    connection: AsyncConnection[Any], after: int = 0
) -> AsyncIterator[tuple[Entry, bytes]]:
    """Entries after a number, each with the hash it carries, a few at a time."""
    await connection.execute(_PATIENT)
    async with connection.cursor(name="entries") as cursor:
        cursor.itersize = STREAM_ROWS
        await cursor.execute(_ENTRIES, (after,))
        async for row in cursor:
            yield Entry(*row[:-1]), row[-1]


async def _stated(connection: AsyncConnection[Any], now_ms: int, known: tuple[Head, ...]) -> Stated:
    return Stated(
        now_ms=now_ms,
        head=await stored_head(connection),
        open_holds=frozenset(row[0] for row in await _all(connection, _HOLDS)),
        caps=await stored_caps(connection),
        counters=[StatedCounter(*row) for row in await _all(connection, _COUNTERS)],
        keys={row[0]: StatedKey(*row[1:]) for row in await _all(connection, _KEYS)},
        projects=dict(await _all(connection, _PROJECTS)),
        credits_nusd=dict(await _all(connection, _CREDITS)),
        known=known,
    )


async def _all(connection: AsyncConnection[Any], question: Any) -> list[Any]:
    return await (await connection.execute(question)).fetchall()
