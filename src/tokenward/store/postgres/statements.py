"""What the database says, read in one snapshot for the audit.

Of a hundred thousand rows a few are fetched at a time, and what they say is counted in a thread: a
loop that did it at once would answer no call for a second, and outlive its lease.
"""

from asyncio import to_thread
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final, LiteralString

from psycopg import AsyncConnection

from tokenward.ledger.audit import Auditor
from tokenward.ledger.chain import Entry
from tokenward.ledger.records import Cap, Finding
from tokenward.ledger.recount import Miscount, Recount, find_miscount
from tokenward.ledger.statement import Head
from tokenward.store.book_rows import CAPS, CLAIMS, COUNTERS, stated
from tokenward.store.cap_rows import CAP_COLUMNS, read_cap
from tokenward.store.entry_rows import ENTRY_ROWS, read_entry

PAGE_ROWS: Final = 500
Rows = list[tuple[Any, ...]]
_ENTRIES: Final = ENTRY_ROWS + "WHERE seq > %s ORDER BY seq"
_CAPS_WITH_IDS: Final = CAP_COLUMNS + "WHERE id = ANY(%s)"
_HEAD: Final = "SELECT seq, hash FROM book"


async def audit_books(
    now_ms: int, known: tuple[Head, ...], connection: AsyncConnection[Any]
) -> list[Finding]:
    """Prove the books from the entries, which are streamed."""
    answers = [await _all(connection, claim) for claim in CLAIMS]
    head = await stored_head(connection)
    auditor = await to_thread(lambda: Auditor(stated(now_ms, head, known, answers)))
    async with aclosing(_pages(connection, _ENTRIES, (0,))) as pages:
        async for rows in pages:
            if not await to_thread(_see, auditor, rows):
                break
    return await to_thread(auditor.conclude)


async def count_books(connection: AsyncConnection[Any]) -> Miscount | None:
    """Which counters do not say what the entries do? None if all do."""
    caps = await _all(connection, CAPS)
    recount = await to_thread(lambda: Recount(read_cap(row) for row in caps))
    upto = await _feed(recount.feed, connection, 0)
    stated_rows = await _all(connection, COUNTERS)
    return await to_thread(find_miscount, recount, upto, stated_rows)


async def count_on(miscount: Miscount, connection: AsyncConnection[Any]) -> int:
    """Feed it what was written since; how many entries that were."""
    before = miscount.upto
    return await _feed(miscount.feed, connection, before) - before


async def stored_head(connection: AsyncConnection[Any]) -> Head:
    """The head that is kept beside the entries."""
    row = await (await connection.execute(_HEAD)).fetchone()
    assert row is not None, "the layout puts it there"
    return Head(*row)


async def caps_with_ids(
    connection: AsyncConnection[Any], ids: Sequence[str]
) -> list[tuple[Cap, int]]:
    """Those of these caps that there are, and the start of the first window each counts."""
    cursor = await connection.execute(_CAPS_WITH_IDS, (list(ids),))
    return [read_cap(row) for row in await cursor.fetchall()]


async def entries_since(connection: AsyncConnection[Any], seq: int) -> list[Entry]:
    """The entries after that one, which are few."""
    cursor = await connection.execute(_ENTRIES, (seq,))
    return [read_entry(row) for row in await cursor.fetchall()]


def _see(auditor: Auditor, rows: Rows) -> bool:
    return all(auditor.see(read_entry(row), row[-1]) for row in rows)


async def _feed(feed: Callable[[Entry], None], connection: AsyncConnection[Any], after: int) -> int:
    """Entries after a number, a few at a time; the number of the last."""

    def feed_page() -> None:
        for row in rows:
            feed(read_entry(row))

    async with aclosing(_pages(connection, _ENTRIES, (after,))) as pages:
        async for rows in pages:
            await to_thread(feed_page)
            after = rows[-1][0]
    return after


async def _all(connection: AsyncConnection[Any], question: LiteralString) -> Rows:
    async with aclosing(_pages(connection, question, ())) as pages:
        return [row async for page in pages for row in page]


async def _pages(
    connection: AsyncConnection[Any], question: LiteralString, values: tuple[Any, ...]
) -> AsyncGenerator[Rows, None]:
    async with connection.cursor(name="pages") as cursor:
        await cursor.execute(question, values)
        while page := await cursor.fetchmany(PAGE_ROWS):
            yield page
