"""Caps and credit as people set, change, list and remove them."""

import json
import sqlite3
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreBusyError, StoreError
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
from tokenward.store.sqlite.counters import Counters
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.journal import Journal
from tokenward.store.sqlite.open_holds import OpenHolds
from tokenward.store.sqlite.reader import Reader

FORGET_CAPS_MAX: Final = 500
TRIES_MAX: Final = 5
_SAME: Final = CAP_COLUMNS + (
    "WHERE subject = ? AND model = ? AND window = ? AND unit = ? AND is_credit = 0"
)
_BY_ID: Final = CAP_COLUMNS + "WHERE id = ?"
_PAGE: Final = CAP_COLUMNS + "WHERE (created_ms, id) > (?, ?) ORDER BY created_ms, id LIMIT ?"
_PAGE_OF: Final = CAP_COLUMNS + (
    "WHERE subject = ? AND (created_ms, id) > (?, ?) ORDER BY created_ms, id LIMIT ?"
)
_CURRENT: Final = (
    "SELECT cap, start_ms, spent, held, running FROM json_each(?) AS running_now "
    "JOIN counters ON cap = running_now.value ->> 0 AND start_ms = running_now.value ->> 1"
)
_INSERT: Final = "INSERT INTO caps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CHANGE: Final = 'UPDATE caps SET "limit" = ?, throttles = ?, zone = ?, since_ms = ? WHERE id = ?'
_COUNT: Final = "INSERT INTO counters VALUES (?, ?, ?, ?, ?, ?, 0)"
_TOLD: Final = "SELECT start_ms, spent, told FROM counters WHERE cap = ? AND told > 0"
_TELL: Final = "UPDATE counters SET told = ? WHERE cap = ? AND start_ms = ?"
_UNCOUNT: Final = "DELETE FROM counters WHERE cap = ?"
_DELETE: Final = "DELETE FROM caps WHERE id = ?"
_OLD: Final = (
    "SELECT DISTINCT cap FROM counters INDEXED BY counters_age WHERE resets_ms <= ? LIMIT ?"
)
_FORGET: Final = "DELETE FROM counters WHERE cap = ? AND start_ms < ?"
_ADVANCE: Final = "UPDATE caps SET since_ms = ? WHERE id = ?"
_CREDIT: Final = "SELECT credit_nusd FROM accounts WHERE name = ?"
_ADD_CREDIT: Final = "UPDATE accounts SET credit_nusd = ? WHERE name = ?"
_LAST: Final = "SELECT coalesce(max(seq), 0) FROM entries"
_SUM: Final = (
    "SELECT model, CASE WHEN at_ms < :end_ms THEN :since_ms ELSE at_ms END AS moment, "
    "sum(nusd), sum(tokens), sum(calls) FROM entries "
    "WHERE kind IN ('settle', 'expire', 'overrun') AND "
    "CASE :kind WHEN 'key' THEN key WHEN 'project' THEN project ELSE account END = :name "
)
# The unary plus keeps SQLite on the other column: a window's postings, or the newest entries.
_SUM_WINDOW: Final = _SUM + "AND at_ms >= :since_ms AND +seq > :after GROUP BY 1, 2"
_SUM_NEWEST: Final = _SUM + "AND +at_ms >= :since_ms AND seq > :after GROUP BY 1, 2"


class CapDesk:
    """Changes caps. What a new cap must count is added up in the reading thread; only what was
    posted meanwhile is added in the transaction, so that running calls do not wait for it."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        counters: Counters,
        holds: OpenHolds,
        reader: Reader,
        clock: Clock,
    ) -> None:
        self._database = database
        self._connection = database.connection
        self._journal = journal
        self._counters = counters
        self._holds = holds
        self._reader = reader
        self._clock = clock
        self._forgot_ms = 0

    def now_ms(self) -> int:
        """Wall time."""
        return self._clock.now_ms()

    async def set_cap(self, cap: Cap) -> Cap:
        """Create the cap or change the one that counts the same; ValueError if it cannot be."""
        check_cap(cap)
        for _ in range(TRIES_MAX):
            now_ms = self.now_ms()
            start_ms, resets_ms = window_bounds(cap.window, cap.zone, now_ms)
            counted = await self._reader.read(partial(_count_new, cap, start_ms, resets_ms))
            kept = await self._database.submit(partial(self._set, cap, counted, now_ms))
            if kept is not None:
                return kept
        raise StoreBusyError(f"the caps of {cap.subject} were changed by others; try again")

    async def remove_cap(self, subject: str, model: str, window: str, unit: str) -> bool:
        """False if there is none. What it counted is forgotten; the entries stay."""
        return await self._database.submit(partial(self._remove, (subject, model, window, unit)))

    async def add_credit(self, account: str, amount_nusd: int, at_ms: int, why: str) -> int:
        """Prepaid money. What is spent from the first credit on counts against it."""
        cap = credit_cap(account, amount_nusd, at_ms)
        counted = await self._reader.read(partial(_count_credit, cap))
        return await self._database.submit(partial(self._credit, cap, counted, why))

    async def caps(self, now_ms: int, subject: str, after: Seen, limit: int) -> list[CapStatus]:
        """A page of caps (of the subject, if one is given) in the window that holds `now_ms`.

        It shows every hold and settlement that was asked for before, or, while the disk takes
        nothing, what is on it.
        """
        with suppress(StoreError):
            await self._database.submit(_nothing)  # its turn comes after theirs
        return await self._reader.read(partial(_list_caps, now_ms, subject, after, limit))

    def forget_windows(self, now_ms: int) -> None:
        """Drop the counters of windows that ended two days ago; runs inside a transaction."""
        if now_ms - self._forgot_ms < FORGET_EVERY_MS:
            return
        cutoff_ms = now_ms - KEPT_MS
        if any(entry.at_ms <= cutoff_ms for entry in self._holds.entries()):
            return
        execute = self._connection.execute
        old = execute(_OLD, (cutoff_ms, FORGET_CAPS_MAX)).fetchall()
        if old:
            self._counters.renew()
        for (cap_id,) in old:
            cap, since_ms = read_cap(execute(_BY_ID, (cap_id,)).fetchone())
            start_ms, _ = window_bounds(cap.window, cap.zone, cutoff_ms)
            if start_ms > since_ms:
                execute(_FORGET, (cap_id, start_ms))
                execute(_ADVANCE, (start_ms, cap_id))
        if len(old) < FORGET_CAPS_MAX:
            self._forgot_ms = now_ms

    # -- inside a transaction -------------------------------------------------------------------

    def _set(self, cap: Cap, counted: Counted | None, now_ms: int) -> Cap | None:
        """None: the cap that was there is gone since it was looked up; count again."""
        row = self._connection.execute(_SAME, counts_of(cap)).fetchone()
        self._counters.renew()
        if row is None:
            cap = replace(cap, id=f"cap:{self._journal.next_seq()}", created_ms=now_ms)
        else:
            old, since_ms = read_cap(row)
            cap = replace(cap, id=old.id, created_ms=old.created_ms)
            if old.zone == cap.zone:
                self._change(cap, since_ms)
                note_change(self._journal, "cap_set", cap, since_ms, now_ms)
                return cap
        if counted is None:
            return None
        if row is None:
            self._insert(cap, counted.since_ms, is_credit=False)
        else:
            self._connection.execute(_UNCOUNT, (cap.id,))
            self._update(cap, counted.since_ms)
        self._recount(cap, counted)
        note_change(self._journal, "cap_set", cap, counted.since_ms, now_ms)
        return cap

    def _change(self, cap: Cap, since_ms: int) -> None:
        """Another limit, the same windows. Thresholds above where it now stands are told anew."""
        self._update(cap, since_ms)
        for start_ms, spent, told in self._connection.execute(_TOLD, (cap.id,)).fetchall():
            lowered = still_told(spent, cap.limit, told)
            if lowered != told:
                self._connection.execute(_TELL, (lowered, cap.id, start_ms))

    def _remove(self, counts: tuple[str, str, str, str]) -> bool:
        row = self._connection.execute(_SAME, counts).fetchone()
        if row is None:
            return False
        cap, since_ms = read_cap(row)
        self._counters.renew()
        self._connection.execute(_UNCOUNT, (cap.id,))
        self._connection.execute(_DELETE, (cap.id,))
        note_change(self._journal, "cap_removed", cap, since_ms, self.now_ms())
        return True

    def _credit(self, added: Cap, counted: Counted | None, why: str) -> int:
        account = added.subject.partition(":")[2]
        row = self._connection.execute(_CREDIT, (account,)).fetchone()
        if row is None:
            raise ValueError(f"there is no account {account!r}")
        cap = replace(added, limit=(row[0] or 0) + added.limit)
        check_credit(cap.limit)
        self._counters.renew()
        self._connection.execute(_ADD_CREDIT, (cap.limit, account))
        stored = self._connection.execute(_BY_ID, (cap.id,)).fetchone()
        if stored is None:
            assert counted is not None, "credit that was there is never taken away"
            since_ms = counted.since_ms
            self._insert(cap, since_ms, is_credit=True)
            self._recount(cap, counted)
        else:
            since_ms = read_cap(stored)[1]
            self._change(cap, since_ms)
        note_credit(self._journal, added, cap, since_ms, why)
        return cap.limit

    def _insert(self, cap: Cap, since_ms: int, *, is_credit: bool) -> None:
        self._connection.execute(_INSERT, cap_row(cap, since_ms, is_credit=is_credit))

    def _update(self, cap: Cap, since_ms: int) -> None:
        self._connection.execute(_CHANGE, (cap.limit, cap.throttles, cap.zone, since_ms, cap.id))

    def _recount(self, cap: Cap, counted: Counted) -> None:
        """Counters of a new cap: what was counted, what was posted since then, what is held."""
        newest = _postings(
            self._connection, _SUM_NEWEST, cap, counted.since_ms, counted.end_ms, counted.upto
        )
        counters = counters_of(cap, counted, newest, self._holds.entries())
        self._connection.executemany(_COUNT, counters)


def _nothing() -> None:
    pass


def _count_credit(cap: Cap, connection: sqlite3.Connection) -> Counted | None:
    """What is spent from the first credit on; None if there was credit before."""
    if connection.execute(_BY_ID, (cap.id,)).fetchone() is not None:
        return None
    return _count(cap, cap.created_ms, NEVER_MS, connection)


def _count_new(
    cap: Cap, start_ms: int, resets_ms: int | None, connection: sqlite3.Connection
) -> Counted | None:
    """What the cap has spent in its window; None if its counters go on unchanged."""
    row = connection.execute(_SAME, counts_of(cap)).fetchone()
    if row is not None and read_cap(row)[0].zone == cap.zone:
        return None
    return _count(cap, start_ms, NEVER_MS if resets_ms is None else resets_ms, connection)


def _count(cap: Cap, since_ms: int, end_ms: int, connection: sqlite3.Connection) -> Counted:
    (upto,) = connection.execute(_LAST).fetchone()
    postings = _postings(connection, _SUM_WINDOW, cap, since_ms, end_ms, 0)
    return Counted(since_ms, end_ms, upto, postings)


def _postings(
    connection: sqlite3.Connection, query: str, cap: Cap, since_ms: int, end_ms: int, after: int
) -> tuple[Entry, ...]:
    """What was posted to the cap's subject, summed by model, as entries to count."""
    kind, _, name = cap.subject.partition(":")
    values = {
        "kind": kind, "name": name, "since_ms": since_ms, "end_ms": end_ms, "after": after,
    }  # fmt: skip
    return tuple(
        posting(cap, at_ms, model, nusd, tokens, calls)
        for model, at_ms, nusd, tokens, calls in connection.execute(query, values)
    )


def _list_caps(
    now_ms: int, subject: str, after: Seen, limit: int, connection: sqlite3.Connection
) -> list[CapStatus]:
    if subject:
        rows = connection.execute(_PAGE_OF, (subject, *after, limit))
    else:
        rows = connection.execute(_PAGE, (*after, limit))
    caps = [read_cap(row)[0] for row in rows]
    windows = json.dumps(running_windows(caps, now_ms))
    sums = {row[:2]: row[2:] for row in connection.execute(_CURRENT, (windows,))}
    return [status_of(cap, now_ms, sums) for cap in caps]
