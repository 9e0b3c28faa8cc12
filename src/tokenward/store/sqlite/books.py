"""What people ask of the ledger, beside the path of a request."""

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from tokenward.kernel.clock import Clock
from tokenward.kernel.events import Event
from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.ledger.records import Account, Finding, Project, UsageRow
from tokenward.ledger.recount import (
    CounterName,
    Miscount,
    Recount,
    caps_of,
    find_miscount,
)
from tokenward.ledger.statement import Head
from tokenward.store.book_rows import (
    ACCOUNT_COLUMNS,
    COUNTERS,
    LAST_EVENT,
    LIST_MAX,
    PROJECT_COLUMNS,
    check_by,
    read_account,
    read_event,
    read_project,
    read_usage,
)
from tokenward.store.reconciling import catch_up, reconcile
from tokenward.store.sqlite.counters import Counters
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.journal import Journal, read_head
from tokenward.store.sqlite.keys import add_account
from tokenward.store.sqlite.reader import Reader
from tokenward.store.sqlite.statements import (
    audit_file,
    caps_with_ids,
    stored_caps,
    stream_entries,
)

_ACCOUNTS: Final = ACCOUNT_COLUMNS + (
    "WHERE (created_ms, name) > (?, ?) ORDER BY created_ms, name LIMIT ?"
)
_ACCOUNT: Final = ACCOUNT_COLUMNS + "WHERE name = ?"
_PROJECT: Final = PROJECT_COLUMNS + "WHERE name = ?"
_SUMS: Final = (
    "coalesce(sum(nusd), 0), coalesce(sum(calls), 0), coalesce(sum(input_tokens), 0), "
    "coalesce(sum(output_tokens), 0), coalesce(sum(cached_tokens), 0), coalesce(sum(estimate), 0) "
    "FROM entries WHERE kind IN ('settle', 'expire', 'overrun') "
    "AND at_ms >= :since_ms AND at_ms < :until_ms "
)
_SPENT: Final = f"SELECT '', {_SUMS}"
_NAME: Final = (
    "CASE :by WHEN 'key' THEN key WHEN 'project' THEN project WHEN 'account' THEN account "
    "WHEN 'model' THEN model ELSE strftime('%Y-%m-%d', at_ms / 1000, 'unixepoch') END"
)
_USAGE: Final = (
    f"SELECT {_NAME}, {_SUMS}"
    f"AND (:after IS NULL OR {_NAME} > :after) GROUP BY 1 ORDER BY 1 LIMIT :limit"
)
_EVENTS: Final = (
    "SELECT number, ts, kind, subject, facts FROM events WHERE number > ? ORDER BY number LIMIT ?"
)
_HASH: Final = "SELECT hash FROM entries WHERE seq = ?"
_CORRECT: Final = (
    "INSERT INTO counters (cap, start_ms, resets_ms, spent, held, running, told) "
    "VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT (cap, start_ms) DO UPDATE SET "
    "spent = excluded.spent, held = excluded.held, running = excluded.running"
)


class SqliteBooks:
    """Fulfils `ledger.interfaces.Books`."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        counters: Counters,
        reader: Reader,
        clock: Clock,
    ) -> None:
        self._database = database
        self._connection = database.connection
        self._journal = journal
        self._counters = counters
        self._reader = reader
        self._clock = clock

    async def create_account(self, name: str, at_ms: int) -> bool:
        """False if it exists already."""
        return await self._database.submit(
            partial(add_account, self._connection, self._journal, name, at_ms)
        )

    async def accounts(self, after: Seen = BEGINNING, limit: int = PAGE_MAX) -> list[Account]:
        """The oldest accounts after that one, each with its credit."""
        return [read_account(row) for row in await self._fetch(_ACCOUNTS, (*after, limit))]

    async def find_account(self, name: str) -> Account | None:
        """The account with this name."""
        rows = await self._fetch(_ACCOUNT, (name,))
        return read_account(rows[0]) if rows else None

    async def find_project(self, name: str) -> Project | None:
        """The project with this name."""
        rows = await self._fetch(_PROJECT, (name,))
        return read_project(rows[0]) if rows else None

    async def usage(
        self,
        by: str,
        since_ms: int,
        until_ms: int,
        after: str | None = None,
        limit: int = PAGE_MAX,
    ) -> list[UsageRow]:
        """What calls taken on in [since, until) cost; `day` is the day in UTC.

        A call counts when it was taken on, as for caps. ValueError for another `by`.
        """
        check_by(by)
        span = {"since_ms": since_ms, "until_ms": until_ms}
        rows = await self._fetch(_USAGE, {**span, "by": by, "after": after, "limit": limit})
        return [read_usage(row) for row in rows]

    async def spent(self, since_ms: int, until_ms: int) -> UsageRow:
        """What all calls taken on in [since, until) cost."""
        (row,) = await self._fetch(_SPENT, {"since_ms": since_ms, "until_ms": until_ms})
        return read_usage(row)

    async def events(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """Events with their numbers, oldest first, after the given number; at most 10,000."""
        values = (after, min(limit, LIST_MAX))
        rows = await self._reader.read(lambda reading: reading.execute(_EVENTS, values).fetchall())
        return [read_event(row) for row in rows]

    async def last_event(self) -> int:
        """The number of the newest event, 0 if there is none."""
        row = await self._reader.read(lambda reading: reading.execute(LAST_EVENT).fetchone())
        number: int = row[0]
        return number

    async def head(self) -> Head:
        """Number and hash of the last entry; kept elsewhere it proves everything up to it."""
        return Head(*await self._reader.read(read_head))

    async def hash_of(self, seq: int) -> bytes | None:
        """The hash that the entry carries; None if there is none."""

        def read(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute(_HASH, (seq,)).fetchone()
            return None if row is None else row[0]

        return await self._reader.read(read)

    async def audit(self, known: tuple[Head, ...] = ()) -> list[Finding]:
        """Prove the chain, the holds and every balance; an empty list is the proof."""
        now_ms = self._clock.now_ms()
        return await self._reader.read(lambda reading: audit_file(reading, now_ms, known))

    async def reconcile(self, now_ms: int) -> int:
        """Rebuild every counter from the entries; how many were wrong (F-3).

        Wrong ones are found in the reading thread and corrected in a transaction, in which only
        the entries written meanwhile are counted.
        """
        return await reconcile(
            partial(self._reader.read, _count),
            self._catch_up,
            lambda miscount, names: self._database.submit(
                partial(self._correct, miscount, names, now_ms)
            ),
        )

    async def _fetch(
        self, question: str, values: tuple[Any, ...] | dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        return await self._reader.read(lambda reading: reading.execute(question, values).fetchall())

    async def _catch_up(self, miscount: Miscount) -> None:
        await catch_up(partial(self._reader.read, partial(_feed, miscount)))

    def _correct(self, miscount: Miscount, names: Sequence[CounterName], now_ms: int) -> int | None:
        """None: caps were changed since they were counted."""
        connection = self._connection
        self._counters.renew()
        caps = caps_with_ids(connection, caps_of(names))
        since = (entry for entry, _ in stream_entries(connection, miscount.upto))
        corrections = miscount.corrections(names, caps, since)
        if corrections is None:
            return None
        connection.executemany(_CORRECT, corrections)
        self._journal.note("reconciled", now_ms, detail={"counters": len(corrections)})
        return len(corrections)


def _feed(miscount: Miscount, connection: sqlite3.Connection) -> int:
    before = miscount.upto
    for entry, _ in stream_entries(connection, before):
        miscount.feed(entry)
    return miscount.upto - before


def _count(connection: sqlite3.Connection) -> Miscount | None:
    recount = Recount(stored_caps(connection))
    upto = 0
    for entry, _ in stream_entries(connection):
        recount.feed(entry)
        upto = entry.seq
    return find_miscount(recount, upto, connection.execute(COUNTERS))
