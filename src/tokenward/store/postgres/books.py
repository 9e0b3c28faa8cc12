"""What people ask of the ledger, beside the path of a request."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreBusyError
from tokenward.kernel.events import Event
from tokenward.kernel.names import valid_name
from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.ledger.records import Account, Finding, Project, UsageRow
from tokenward.ledger.recount import CounterName, Miscount, caps_of
from tokenward.ledger.statement import Head
from tokenward.store.book_rows import (
    ACCOUNT_COLUMNS,
    LAST_EVENT,
    LIST_MAX,
    PROJECT_COLUMNS,
    USAGE_BY,
    check_by,
    read_account,
    read_event,
    read_project,
    read_usage,
)
from tokenward.store.postgres.accounts import add_account
from tokenward.store.postgres.database import LONG_S, Database
from tokenward.store.postgres.statements import (
    audit_books,
    caps_with_ids,
    count_books,
    count_on,
    entries_since,
    stored_head,
)
from tokenward.store.postgres.transaction import Transaction
from tokenward.store.reconciling import catch_up, reconcile

_ACCOUNTS: Final = ACCOUNT_COLUMNS + (
    "WHERE (created_ms, name) > (%s, %s) ORDER BY created_ms, name LIMIT %s"
)
_ACCOUNT: Final = ACCOUNT_COLUMNS + "WHERE name = %s"
_PROJECT: Final = PROJECT_COLUMNS + "WHERE name = %s"
_DAY: Final = "to_char(to_timestamp(at_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
_SUMS: Final = (
    "coalesce(sum(nusd), 0)::bigint, coalesce(sum(calls), 0)::bigint, "
    "coalesce(sum(input_tokens), 0)::bigint, coalesce(sum(output_tokens), 0)::bigint, "
    "coalesce(sum(cached_tokens), 0)::bigint, coalesce(sum(estimate), 0)::bigint "
    "FROM entries WHERE kind IN ('settle', 'expire', 'overrun') "
    "AND at_ms >= %(since)s AND at_ms < %(until)s "
)
_SPENT: Final = f"SELECT '', {_SUMS}"
_USAGE: Final = {
    by: (
        f"SELECT {name}, {_SUMS}"
        f"AND (%(after)s::text IS NULL OR {name} > %(after)s) GROUP BY 1 ORDER BY 1 LIMIT %(limit)s"
    )
    for by in USAGE_BY
    for name in (f'{_DAY if by == "day" else by} COLLATE "C"',)
}
_EVENTS: Final = (
    "SELECT number, ts, kind, subject, facts FROM events WHERE number > %s ORDER BY number LIMIT %s"
)
_HASH: Final = "SELECT hash FROM entries WHERE seq = %s"
_CORRECT: Final = (
    "INSERT INTO counters (cap, start_ms, resets_ms, spent, held, running, told) "
    "VALUES (%s, %s, %s, %s, %s, %s, 0) ON CONFLICT (cap, start_ms) DO UPDATE SET "
    "spent = excluded.spent, held = excluded.held, running = excluded.running"
)


class PostgresBooks:
    """Fulfils `ledger.interfaces.Books`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._is_counting = False

    async def create_account(self, name: str, at_ms: int) -> bool:
        """False if it exists already."""
        return await self._database.change(partial(add_account, name, at_ms))

    async def accounts(self, after: Seen = BEGINNING, limit: int = PAGE_MAX) -> list[Account]:
        """The oldest accounts after that one, each with its credit."""
        rows = await self._database.fetch_long(_ACCOUNTS, (*after, limit))
        return [read_account(row) for row in rows]

    async def find_account(self, name: str) -> Account | None:
        """The account with this name."""
        rows = await self._database.fetch(_ACCOUNT, (name,)) if valid_name(name) else []
        return read_account(rows[0]) if rows else None

    async def find_project(self, name: str) -> Project | None:
        """The project with this name."""
        rows = await self._database.fetch(_PROJECT, (name,)) if valid_name(name) else []
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
        asked = {"since": since_ms, "until": until_ms, "after": after, "limit": limit}
        return [read_usage(row) for row in await self._database.fetch_long(_USAGE[by], asked)]

    async def spent(self, since_ms: int, until_ms: int) -> UsageRow:
        """What all calls taken on in [since, until) cost."""
        asked = {"since": since_ms, "until": until_ms}
        (row,) = await self._database.fetch_long(_SPENT, asked)
        return read_usage(row)

    async def events(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """Events with their numbers, oldest first, after the given number; at most 10,000."""
        rows = await self._database.fetch(_EVENTS, (after, min(limit, LIST_MAX)))
        return [read_event(row) for row in rows]

    async def last_event(self) -> int:
        """The number of the newest event, 0 if there is none."""
        ((number,),) = await self._database.fetch(LAST_EVENT)
        return int(number)

    async def head(self) -> Head:
        """Number and hash of the last entry; kept elsewhere it proves everything up to it."""
        return await self._database.read(stored_head)

    async def hash_of(self, seq: int) -> bytes | None:
        """The hash that the entry carries; None if there is none."""
        rows = await self._database.fetch(_HASH, (seq,))
        return bytes(rows[0][0]) if rows else None

    async def audit(self, known: tuple[Head, ...] = ()) -> list[Finding]:
        """Prove the chain, the holds and every balance; an empty list is the proof."""
        prove = partial(audit_books, self._clock.now_ms(), known)
        with self._alone():
            return await self._database.read(prove, limit_s=LONG_S)

    async def reconcile(self, now_ms: int) -> int:
        """Rebuild every counter from the entries; how many were wrong (F-3).

        Wrong ones are found in a snapshot and corrected under the lock, where only the entries
        written meanwhile are counted.
        """
        with self._alone():
            return await reconcile(
                partial(self._database.read, count_books, limit_s=LONG_S),
                self._catch_up,
                lambda miscount, names: self._database.change(
                    partial(_correct, miscount, names, now_ms)
                ),
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time: it reads all entries, and lists and changes of caps must find a turn
        beside it. Raises `StoreBusyError`."""
        if self._is_counting:
            raise StoreBusyError("all entries are being counted already; ask when that is over")
        self._is_counting = True
        try:
            yield
        finally:
            self._is_counting = False

    async def _catch_up(self, miscount: Miscount) -> None:
        await catch_up(partial(self._database.read, partial(count_on, miscount), limit_s=LONG_S))


async def _correct(
    miscount: Miscount, names: Sequence[CounterName], now_ms: int, transaction: Transaction
) -> int | None:
    """None: caps were changed since they were counted."""
    connection = transaction.connection
    caps = await caps_with_ids(connection, caps_of(names))
    since = await entries_since(connection, miscount.upto)
    corrections = miscount.corrections(names, caps, since)
    if corrections is None:
        return None
    for correction in corrections:
        await connection.execute(_CORRECT, correction)
    transaction.journal.note("reconciled", now_ms, detail={"counters": len(corrections)})
    return len(corrections)
