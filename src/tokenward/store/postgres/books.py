"""What people ask of the ledger, beside the path of a request."""

from copy import deepcopy
from functools import partial
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreBusyError
from tokenward.kernel.events import Event
from tokenward.ledger.records import Account, Cap, Finding, UsageRow
from tokenward.ledger.recount import Recount
from tokenward.ledger.statement import Head
from tokenward.store.postgres.accounts import add_account
from tokenward.store.postgres.database import LONG_S, Database
from tokenward.store.postgres.statements import (
    audit_books,
    stored_caps,
    stored_head,
    stream_entries,
)
from tokenward.store.postgres.transaction import Transaction

LIST_MAX: Final = 10_000
TRIES_MAX: Final = 5
_ACCOUNTS: Final = "SELECT name, created_ms, credit_nusd FROM accounts ORDER BY created_ms, name"
_BY: Final = {
    "key": "key",
    "project": "project",
    "account": "account",
    "model": "model",
    "day": "to_char(to_timestamp(at_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}
USAGE_BY: Final = tuple(_BY)
_USAGE: Final = {
    by: (
        f'SELECT {column} COLLATE "C", sum(nusd)::bigint, sum(calls)::bigint, '
        "sum(input_tokens)::bigint, sum(output_tokens)::bigint, sum(cached_tokens)::bigint, "
        "sum(estimate)::bigint FROM entries WHERE kind IN ('settle', 'expire', 'overrun') "
        "AND at_ms >= %s AND at_ms < %s GROUP BY 1 ORDER BY 1"
    )
    for by, column in _BY.items()
}
_EVENTS: Final = (
    "SELECT number, ts, kind, subject, facts FROM events WHERE number > %s ORDER BY number LIMIT %s"
)
_LAST_EVENT: Final = "SELECT coalesce(max(number), 0) FROM events"
_HASH: Final = "SELECT hash FROM entries WHERE seq = %s"
_COUNTERS: Final = "SELECT cap, start_ms, spent, held, running FROM counters"
_CORRECT: Final = (
    "INSERT INTO counters (cap, start_ms, resets_ms, spent, held, running, told) "
    "VALUES (%s, %s, %s, %s, %s, %s, 0) ON CONFLICT (cap, start_ms) DO UPDATE SET "
    "spent = excluded.spent, held = excluded.held, running = excluded.running"
)
_ZERO: Final = (
    "UPDATE counters SET spent = 0, held = 0, running = 0 WHERE cap = %s AND start_ms = %s"
)
_facts: Final = msgspec.json.Decoder(dict[str, str | int | None])


class PostgresBooks:
    """Fulfils `ledger.interfaces.Books`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create_account(self, name: str, at_ms: int) -> bool:
        """False if it exists already."""
        return await self._database.change(partial(add_account, name, at_ms))

    async def accounts(self) -> list[Account]:
        """Every account with its credit, oldest first."""
        rows = await self._database.fetch(_ACCOUNTS)
        return [Account(name=row[0], created_ms=row[1], credit_nusd=row[2]) for row in rows]

    async def usage(self, by: str, since_ms: int, until_ms: int) -> list[UsageRow]:
        """What calls taken on in [since, until) cost; `day` is the day in UTC.

        A call counts when it was taken on, as for caps. ValueError for another `by`.
        """
        if by not in _USAGE:
            raise ValueError(f"usage is by {', '.join(USAGE_BY)}")

        async def add_up(connection: AsyncConnection[Any]) -> list[tuple[Any, ...]]:
            return await (await connection.execute(_USAGE[by], (since_ms, until_ms))).fetchall()

        return [
            UsageRow(
                by=row[0],
                cost_nusd=row[1],
                calls=row[2],
                input_tokens=row[3],
                output_tokens=row[4],
                cached_tokens=row[5],
                estimates=row[6],
            )
            for row in await self._database.read(add_up, limit_s=LONG_S)
        ]

    async def events(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """Events with their numbers, oldest first, after the given number; at most 10,000."""
        rows = await self._database.fetch(_EVENTS, (after, min(limit, LIST_MAX)))
        return [
            (row[0], Event(ts=row[1], kind=row[2], subject=row[3], facts=_facts.decode(row[4])))
            for row in rows
        ]

    async def last_event(self) -> int:
        """The number of the newest event, 0 if there is none."""
        ((number,),) = await self._database.fetch(_LAST_EVENT)
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
        return await self._database.read(prove, limit_s=LONG_S)

    async def reconcile(self, now_ms: int) -> int:
        """Rebuild every counter from the entries; how many were wrong (F-3).

        Entries are added up in a snapshot; those written meanwhile under the lock.
        """
        for _ in range(TRIES_MAX):
            counted = await self._database.read(_recount, limit_s=LONG_S)
            wrong = await self._database.change(partial(_correct, *counted, now_ms))
            if wrong is not None:
                return wrong
        raise StoreBusyError("caps were changed while they were counted; try again")


async def _correct(
    caps: list[tuple[Cap, int]],
    upto: int,
    recount: Recount,
    now_ms: int,
    transaction: Transaction,
) -> int | None:
    """None: caps were changed since they were counted."""
    connection = transaction.connection
    if await stored_caps(connection) != caps:
        return None
    recount = deepcopy(recount)  # it may be run again
    async for entry, _ in stream_entries(connection, upto):
        recount.feed(entry)
    cursor = await connection.execute(_COUNTERS)
    stated = {row[:2]: row[2:] for row in await cursor.fetchall()}
    wrong = 0
    for (cap_id, start_ms), sums in recount.sums.items():
        amounts = (sums.spent, sums.held, sums.running)
        if stated.pop((cap_id, start_ms), (0, 0, 0)) != amounts:
            wrong += 1
            await connection.execute(_CORRECT, (cap_id, start_ms, sums.resets_ms, *amounts))
    for counted, amounts in stated.items():
        if amounts != (0, 0, 0):
            wrong += 1
            await connection.execute(_ZERO, counted)
    if wrong:
        transaction.journal.note("reconciled", now_ms, detail={"counters": wrong})
    return wrong


async def _recount(
    connection: AsyncConnection[Any],
) -> tuple[list[tuple[Cap, int]], int, Recount]:
    caps = await stored_caps(connection)
    recount = Recount(caps)
    upto = 0
    async for entry, _ in stream_entries(connection):
        recount.feed(entry)
        upto = entry.seq
    return caps, upto, recount
