"""What people ask of the ledger, beside the path of a request."""

import sqlite3
from copy import deepcopy
from functools import partial
from typing import Final

import msgspec

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreBusyError
from tokenward.kernel.events import Event
from tokenward.ledger.records import Account, Cap, Finding, UsageRow
from tokenward.ledger.recount import Recount
from tokenward.ledger.statement import Head
from tokenward.store.sqlite.counters import Counters
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.journal import Journal, read_head
from tokenward.store.sqlite.keys import add_account
from tokenward.store.sqlite.reader import Reader
from tokenward.store.sqlite.statements import audit_file, stored_caps, stream_entries

LIST_MAX: Final = 10_000
TRIES_MAX: Final = 5
_ACCOUNTS: Final = "SELECT name, created_ms, credit_nusd FROM accounts ORDER BY created_ms, name"
_USAGE: Final = (
    "SELECT CASE :by WHEN 'key' THEN key WHEN 'project' THEN project WHEN 'account' THEN account "
    "WHEN 'model' THEN model ELSE strftime('%Y-%m-%d', at_ms / 1000, 'unixepoch') END AS name, "
    "sum(nusd), sum(calls), sum(input_tokens), sum(output_tokens), sum(cached_tokens), "
    "sum(estimate) FROM entries WHERE kind IN ('settle', 'expire', 'overrun') "
    "AND at_ms >= :since_ms AND at_ms < :until_ms GROUP BY 1 ORDER BY 1"
)
_EVENTS: Final = (
    "SELECT number, ts, kind, subject, facts FROM events WHERE number > ? ORDER BY number LIMIT ?"
)
_LAST_EVENT: Final = "SELECT coalesce(max(number), 0) FROM events"
_HASH: Final = "SELECT hash FROM entries WHERE seq = ?"
_COUNTERS: Final = "SELECT cap, start_ms, spent, held, running FROM counters"
_CORRECT: Final = (
    "INSERT INTO counters (cap, start_ms, resets_ms, spent, held, running, told) "
    "VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT (cap, start_ms) DO UPDATE SET "
    "spent = excluded.spent, held = excluded.held, running = excluded.running"
)
_ZERO: Final = "UPDATE counters SET spent = 0, held = 0, running = 0 WHERE cap = ? AND start_ms = ?"
USAGE_BY: Final = ("key", "project", "account", "model", "day")
_facts: Final = msgspec.json.Decoder(dict[str, str | int | None])


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

    async def accounts(self) -> list[Account]:
        """Every account with its credit, oldest first."""
        rows = await self._reader.read(lambda reading: reading.execute(_ACCOUNTS).fetchall())
        return [Account(name=row[0], created_ms=row[1], credit_nusd=row[2]) for row in rows]

    async def usage(self, by: str, since_ms: int, until_ms: int) -> list[UsageRow]:
        """What calls taken on in [since, until) cost; `day` is the day in UTC.

        A call counts when it was taken on, as for caps. ValueError for another `by`.
        """
        if by not in USAGE_BY:
            raise ValueError(f"usage is by {', '.join(USAGE_BY)}")
        values = {"by": by, "since_ms": since_ms, "until_ms": until_ms}
        rows = await self._reader.read(lambda reading: reading.execute(_USAGE, values).fetchall())
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
            for row in rows
        ]

    async def events(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """Events with their numbers, oldest first, after the given number; at most 10,000."""
        values = (after, min(limit, LIST_MAX))
        rows = await self._reader.read(lambda reading: reading.execute(_EVENTS, values).fetchall())
        return [
            (row[0], Event(ts=row[1], kind=row[2], subject=row[3], facts=_facts.decode(row[4])))
            for row in rows
        ]

    async def last_event(self) -> int:
        """The number of the newest event, 0 if there is none."""
        row = await self._reader.read(lambda reading: reading.execute(_LAST_EVENT).fetchone())
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

        Entries are added up in the reading thread; those written meanwhile in the transaction.
        """
        for _ in range(TRIES_MAX):
            caps, upto, recount = await self._reader.read(_recount)
            wrong = await self._database.submit(partial(self._correct, caps, upto, recount, now_ms))
            if wrong is not None:
                return wrong
        raise StoreBusyError("caps were changed while they were counted; try again")

    def _correct(
        self, caps: list[tuple[Cap, int]], upto: int, recount: Recount, now_ms: int
    ) -> int | None:
        """None: caps were changed since they were counted."""
        connection = self._connection
        self._counters.renew()
        if stored_caps(connection) != caps:
            return None
        recount = deepcopy(recount)  # an operation may be run twice
        for entry, _ in stream_entries(connection, upto):
            recount.feed(entry)
        stated = {row[:2]: row[2:] for row in connection.execute(_COUNTERS)}
        wrong = 0
        for (cap_id, start_ms), sums in recount.sums.items():
            amounts = (sums.spent, sums.held, sums.running)
            if stated.pop((cap_id, start_ms), (0, 0, 0)) != amounts:
                wrong += 1
                connection.execute(_CORRECT, (cap_id, start_ms, sums.resets_ms, *amounts))
        for counted, amounts in stated.items():
            if amounts != (0, 0, 0):
                wrong += 1
                connection.execute(_ZERO, counted)
        if wrong:
            self._journal.note("reconciled", now_ms, detail={"counters": wrong})
        return wrong


def _recount(connection: sqlite3.Connection) -> tuple[list[tuple[Cap, int]], int, Recount]:
    caps = stored_caps(connection)
    recount = Recount(caps)
    upto = 0
    for entry, _ in stream_entries(connection):
        recount.feed(entry)
        upto = entry.seq
    return caps, upto, recount
