"""Caps and credit as people set, change, list and remove them."""

from dataclasses import replace
from functools import partial
from typing import Any, Final, LiteralString

from psycopg import AsyncConnection

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreBusyError
from tokenward.kernel.pages import Seen
from tokenward.ledger.chain import Entry
from tokenward.ledger.counter import NEVER_MS
from tokenward.ledger.desk import (
    FORGET_EVERY_MS,
    KEPT_MS,
    Counted,
    check_cap,
    check_credit,
    counters_of,
    credit_cap,
    note_change,
    note_credit,
    posting,
    running_windows,
    status_of,
)
from tokenward.ledger.records import Cap, CapStatus
from tokenward.ledger.thresholds import still_told
from tokenward.ledger.windows import window_bounds
from tokenward.store.cap_rows import CAP_COLUMNS, cap_row, counts_of, read_cap
from tokenward.store.entry_rows import ENTRY_ROWS, read_entry
from tokenward.store.postgres.database import LONG_S, Database
from tokenward.store.postgres.transaction import Transaction
from tokenward.store.postgres.writing import integers

FORGET_CAPS_MAX: Final = 500
TRIES_MAX: Final = 5
_SAME: Final = CAP_COLUMNS + (
    'WHERE subject = %s AND model = %s AND "window" = %s AND unit = %s AND NOT is_credit'
)
_BY_ID: Final = CAP_COLUMNS + "WHERE id = %s"
_BY_IDS: Final = CAP_COLUMNS + "WHERE id = ANY(%s)"
_PAGE: Final = CAP_COLUMNS + "WHERE (created_ms, id) > (%s, %s) ORDER BY created_ms, id LIMIT %s"
_PAGE_OF: Final = CAP_COLUMNS + (
    "WHERE subject = %s AND (created_ms, id) > (%s, %s) ORDER BY created_ms, id LIMIT %s"
)
_CURRENT: Final = (
    "SELECT counters.cap, start_ms, spent, held, counters.running "
    "FROM unnest(%s::text[], %s::bigint[]) AS running (cap, start) "
    "JOIN counters ON counters.cap = running.cap AND start_ms = start"
)
_INSERT: Final = "INSERT INTO caps VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_CHANGE: Final = (
    'UPDATE caps SET "limit" = %s, throttles = %s, zone = %s, since_ms = %s WHERE id = %s'
)
_COUNT: Final = "INSERT INTO counters VALUES (%s, %s, %s, %s, %s, %s, 0)"
_TOLD: Final = "SELECT start_ms, spent, told FROM counters WHERE cap = %s AND told > 0"
_TELL: Final = "UPDATE counters SET told = %s WHERE cap = %s AND start_ms = %s"
_UNCOUNT: Final = "DELETE FROM counters WHERE cap = %s"
_DELETE: Final = "DELETE FROM caps WHERE id = %s"
_OLD: Final = "SELECT DISTINCT cap FROM counters WHERE resets_ms <= %s LIMIT %s"
_OLD_HOLD: Final = "SELECT FROM holds JOIN entries ON seq = id WHERE at_ms <= %s LIMIT 1"
_FORGET: Final = (
    "DELETE FROM counters USING unnest(%s::text[], %s::bigint[]) AS old (id, start) "
    "WHERE cap = old.id AND start_ms < old.start"
)
_ADVANCE: Final = (
    "UPDATE caps SET since_ms = old.start FROM unnest(%s::text[], %s::bigint[]) AS old (id, start) "
    "WHERE caps.id = old.id"
)
_CREDIT: Final = "SELECT credit_nusd FROM accounts WHERE name = %s"
_ADD_CREDIT: Final = "UPDATE accounts SET credit_nusd = %s WHERE name = %s"
_LAST: Final = "SELECT seq FROM book"
_HELD: Final = ENTRY_ROWS + "WHERE seq IN (SELECT id FROM holds)"
_SUMS: Final[dict[str, LiteralString]] = {
    kind: (
        "SELECT model, CASE WHEN at_ms < %(end)s THEN %(since)s::bigint ELSE at_ms END, "
        "sum(nusd)::bigint, sum(tokens)::bigint, sum(calls)::bigint FROM entries "
        "WHERE kind IN ('settle', 'expire', 'overrun') "
        f"AND {kind} = %(name)s AND at_ms >= %(since)s AND seq > %(after)s GROUP BY 1, 2"
    )
    for kind in ("key", "project", "account")
}


class CapDesk:
    """Changes caps. What a new cap must count is added up in a snapshot; only what was posted
    meanwhile is added under the lock, so that running calls do not wait for it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._forgot_ms = 0

    async def set_cap(self, cap: Cap) -> Cap:
        """Create the cap or change the one that counts the same; ValueError if it cannot be."""
        check_cap(cap)
        for _ in range(TRIES_MAX):
            now_ms = self._clock.now_ms()
            start_ms, resets_ms = window_bounds(cap.window, cap.zone, now_ms)
            count = partial(_count_new, cap, start_ms, resets_ms)
            counted = await self._database.read(count, limit_s=LONG_S)
            kept = await self._database.change(partial(_set, cap, counted, now_ms))
            if kept is not None:
                return kept
        raise StoreBusyError(f"the caps of {cap.subject} were changed by others; try again")

    async def remove_cap(self, subject: str, model: str, window: str, unit: str) -> bool:
        """False if there is none. What it counted is forgotten; the entries stay."""
        counts = (subject, model, window, unit)
        return await self._database.change(partial(_remove, counts, self._clock.now_ms()))

    async def add_credit(self, account: str, amount_nusd: int, at_ms: int, why: str) -> int:
        """Prepaid money. What is spent from the first credit on counts against it."""
        cap = credit_cap(account, amount_nusd, at_ms)
        counted = await self._database.read(partial(_count_credit, cap), limit_s=LONG_S)
        return await self._database.change(partial(_credit, cap, counted, why))

    async def caps(self, now_ms: int, subject: str, after: Seen, limit: int) -> list[CapStatus]:
        """A page of caps (of the subject, if one is given) in the window that holds `now_ms`."""
        work = partial(_list_caps, now_ms, subject, after, limit)
        return await self._database.read(work, limit_s=LONG_S)

    async def forget_windows(self, now_ms: int) -> None:
        """Drop the counters of windows that ended two days ago."""
        if now_ms - self._forgot_ms < FORGET_EVERY_MS:
            return
        forgot = await self._database.change(partial(_forget, now_ms - KEPT_MS))
        if forgot < FORGET_CAPS_MAX:
            self._forgot_ms = now_ms


# -- under the lock of the books ----------------------------------------------------------------


async def _set(
    cap: Cap, counted: Counted | None, now_ms: int, transaction: Transaction
) -> Cap | None:
    """None: the cap that was there is gone since it was looked up; count again."""
    row = await _one(transaction.connection, _SAME, counts_of(cap))
    if row is None:
        cap = replace(cap, id=f"cap:{transaction.journal.next_seq()}", created_ms=now_ms)
    else:
        old, since_ms = read_cap(row)
        cap = replace(cap, id=old.id, created_ms=old.created_ms)
        if old.zone == cap.zone:
            await _change(transaction, cap, since_ms)
            note_change(transaction.journal, "cap_set", cap, since_ms, now_ms)
            return cap
    if counted is None:
        return None
    if row is None:
        await _insert(transaction, cap, counted.since_ms, is_credit=False)
    else:
        await transaction.connection.execute(_UNCOUNT, (cap.id,))
        await _update(transaction, cap, counted.since_ms)
    await _recount(transaction, cap, counted)
    note_change(transaction.journal, "cap_set", cap, counted.since_ms, now_ms)
    return cap


async def _remove(counts: tuple[str, str, str, str], now_ms: int, transaction: Transaction) -> bool:
    row = await _one(transaction.connection, _SAME, counts)
    if row is None:
        return False
    cap, since_ms = read_cap(row)
    transaction.changed_caps()
    await transaction.connection.execute(_UNCOUNT, (cap.id,))
    await transaction.connection.execute(_DELETE, (cap.id,))
    note_change(transaction.journal, "cap_removed", cap, since_ms, now_ms)
    return True


async def _credit(added: Cap, counted: Counted | None, why: str, transaction: Transaction) -> int:
    account = added.subject.partition(":")[2]
    row = await _one(transaction.connection, _CREDIT, (account,))
    if row is None:
        raise ValueError(f"there is no account {account!r}")
    cap = replace(added, limit=(row[0] or 0) + added.limit)
    check_credit(cap.limit)
    await transaction.connection.execute(_ADD_CREDIT, (cap.limit, account))
    stored = await _one(transaction.connection, _BY_ID, (cap.id,))
    if stored is None:
        assert counted is not None, "credit that was there is never taken away"
        since_ms = counted.since_ms
        await _insert(transaction, cap, since_ms, is_credit=True)
        await _recount(transaction, cap, counted)
    else:
        since_ms = read_cap(stored)[1]
        await _change(transaction, cap, since_ms)
    note_credit(transaction.journal, added, cap, since_ms, why)
    return cap.limit


async def _change(transaction: Transaction, cap: Cap, since_ms: int) -> None:
    """Another limit, the same windows. Thresholds above where it now stands are told anew."""
    await _update(transaction, cap, since_ms)
    cursor = await transaction.connection.execute(_TOLD, (cap.id,))
    for start_ms, spent, told in await cursor.fetchall():
        lowered = still_told(spent, cap.limit, told)
        if lowered != told:
            await transaction.connection.execute(_TELL, (lowered, cap.id, start_ms))


async def _insert(transaction: Transaction, cap: Cap, since_ms: int, *, is_credit: bool) -> None:
    transaction.changed_caps()
    await transaction.connection.execute(_INSERT, cap_row(cap, since_ms, is_credit=is_credit))


async def _update(transaction: Transaction, cap: Cap, since_ms: int) -> None:
    transaction.changed_caps()
    values = (cap.limit, cap.throttles, cap.zone, since_ms, cap.id)
    await transaction.connection.execute(_CHANGE, values)


async def _recount(transaction: Transaction, cap: Cap, counted: Counted) -> None:
    """Counters of a new cap: what was counted, what was posted since then, what is held."""
    connection = transaction.connection
    newest = await _postings(connection, cap, counted.since_ms, counted.end_ms, counted.upto)
    held = [read_entry(row) for row in await (await connection.execute(_HELD)).fetchall()]
    for counter in counters_of(cap, counted, newest, held):
        await connection.execute(_COUNT, counter)


async def _forget(cutoff_ms: int, transaction: Transaction) -> int:
    connection = transaction.connection
    if await _one(connection, _OLD_HOLD, (cutoff_ms,)) is not None:
        return 0
    old = await (await connection.execute(_OLD, (cutoff_ms, FORGET_CAPS_MAX))).fetchall()
    if not old:
        return 0
    advanced = []
    for row in await (await connection.execute(_BY_IDS, ([row[0] for row in old],))).fetchall():
        cap, since_ms = read_cap(row)
        start_ms, _ = window_bounds(cap.window, cap.zone, cutoff_ms)
        if start_ms > since_ms:
            advanced.append((cap.id, start_ms))
    if advanced:
        ids, starts = zip(*advanced, strict=True)
        values = (list(ids), integers(starts))
        await connection.execute(_FORGET, values)
        await connection.execute(_ADVANCE, values)
        transaction.changed_caps()
    return len(old)


# -- in a snapshot ------------------------------------------------------------------------------


async def _count_credit(cap: Cap, connection: AsyncConnection[Any]) -> Counted | None:
    """What is spent from the first credit on; None if there was credit before."""
    if await _one(connection, _BY_ID, (cap.id,)) is not None:
        return None
    return await _count(cap, cap.created_ms, NEVER_MS, connection)


async def _count_new(
    cap: Cap, start_ms: int, resets_ms: int | None, connection: AsyncConnection[Any]
) -> Counted | None:
    """What the cap has spent in its window; None if its counters go on unchanged."""
    row = await _one(connection, _SAME, counts_of(cap))
    if row is not None and read_cap(row)[0].zone == cap.zone:
        return None
    return await _count(cap, start_ms, NEVER_MS if resets_ms is None else resets_ms, connection)


async def _count(cap: Cap, since_ms: int, end_ms: int, connection: AsyncConnection[Any]) -> Counted:
    last = await _one(connection, _LAST, ())
    assert last is not None, "the book has one row"
    return Counted(since_ms, end_ms, last[0], await _postings(connection, cap, since_ms, end_ms, 0))


async def _postings(
    connection: AsyncConnection[Any], cap: Cap, since_ms: int, end_ms: int, after: int
) -> tuple[Entry, ...]:
    """What was posted to the cap's subject, summed by model, as entries to count."""
    kind, _, name = cap.subject.partition(":")
    values = {"name": name, "since": since_ms, "end": end_ms, "after": after}
    cursor = await connection.execute(_SUMS[kind], values)
    return tuple(
        posting(cap, at_ms, model, nusd, tokens, calls)
        for model, at_ms, nusd, tokens, calls in await cursor.fetchall()
    )


async def _list_caps(
    now_ms: int, subject: str, after: Seen, limit: int, connection: AsyncConnection[Any]
) -> list[CapStatus]:
    if subject:
        cursor = await connection.execute(_PAGE_OF, (subject, *after, limit))
    else:
        cursor = await connection.execute(_PAGE, (*after, limit))
    caps = [read_cap(row)[0] for row in await cursor.fetchall()]
    windows = running_windows(caps, now_ms)
    starts = integers(start_ms for _, start_ms in windows)
    cursor = await connection.execute(_CURRENT, ([cap_id for cap_id, _ in windows], starts))
    sums = {row[:2]: row[2:] for row in await cursor.fetchall()}
    return [status_of(cap, now_ms, sums) for cap in caps]


async def _one(
    connection: AsyncConnection[Any], question: LiteralString, values: tuple[object, ...]
) -> tuple[Any, ...] | None:
    return await (await connection.execute(question, values)).fetchone()
