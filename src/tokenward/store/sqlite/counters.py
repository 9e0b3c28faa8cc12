"""Caps and where they stand, in memory while they are used; the file is told at every commit."""

import sqlite3
from typing import Final

from tokenward.ledger.counter import Counter
from tokenward.ledger.records import Cap
from tokenward.ledger.recount import covers
from tokenward.ledger.windows import window_bounds
from tokenward.store.cap_rows import CAP_COLUMNS, read_cap
from tokenward.store.sqlite.database import Database

SUBJECTS_MAX: Final = 50_000
"""Subjects kept in memory; when there are more all are dropped and read anew as needed."""
SETS_MAX: Final = 20_000
_OF_SUBJECT: Final = CAP_COLUMNS + "WHERE subject = ? ORDER BY created_ms, id"
_COUNTER: Final = "SELECT spent, held, running, told FROM counters WHERE cap = ? AND start_ms = ?"
_KEEP: Final = (
    "INSERT INTO counters (cap, start_ms, resets_ms, spent, held, running, told) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (cap, start_ms) DO UPDATE SET "
    "spent = excluded.spent, held = excluded.held, running = excluded.running, "
    "told = excluded.told"
)


class CapState:
    """A cap as stored. `since_ms` is the start of the first window it counts."""

    __slots__ = ("_current", "_others", "cap", "since_ms")

    def __init__(self, cap: Cap, since_ms: int) -> None:
        self.cap = cap
        self.since_ms = since_ms
        self._current: Counter | None = None
        self._others: dict[int, Counter] = {}

    def counter(self, at_ms: int, connection: sqlite3.Connection) -> Counter:
        """The cap in the window that holds `at_ms`; always the same object for a window."""
        current = self._current
        if current is not None and current.start_ms <= at_ms < current.end_ms:
            return current
        start_ms, resets_ms = window_bounds(self.cap.window, self.cap.zone, at_ms)
        counter = self._others.pop(start_ms, None)
        if counter is None:
            counter = Counter(self.cap, start_ms, resets_ms)
            row = connection.execute(_COUNTER, (self.cap.id, start_ms)).fetchone()
            if row is not None:
                counter.spent, counter.held, counter.running, counter.told = row
        # An older window stays in memory only while an open hold or the next flush needs it.
        self._others = {
            start: other for start, other in self._others.items() if other.running or other.is_dirty
        }
        if current is not None and (current.running or current.is_dirty):
            self._others[current.start_ms] = current
        self._current = counter
        return counter


class Counters:
    """Finds the counters that a call moves. `version` changes whenever objects are replaced, so
    that whoever keeps some knows when to ask again."""

    def __init__(self, database: Database) -> None:
        self._connection = database.connection
        self._by_subject: dict[str, tuple[CapState, ...]] = {}
        self._sets: dict[tuple[str, str, str, str], tuple[CapState, ...]] = {}
        self._dirty: list[Counter] = []
        self.version = 0
        database.caches.append(self)

    def legs(
        self, account: str, project: str, key: str, model: str, at_ms: int
    ) -> tuple[Counter, ...]:
        """Every counter that a call of this key to this model at this moment moves."""
        owner = (account, project, key, model)
        states = self._sets.get(owner)
        if states is None:
            states = self._find(owner)
        connection = self._connection
        return tuple(
            [state.counter(at_ms, connection) for state in states if at_ms >= state.since_ms]
        )

    def _find(self, owner: tuple[str, str, str, str]) -> tuple[CapState, ...]:
        if len(self._sets) >= SETS_MAX:
            self._sets.clear()
        if len(self._by_subject) >= SUBJECTS_MAX:
            self.renew()
        account, project, key, model = owner
        states = tuple(
            state
            for subject in (f"key:{key}", f"project:{project}", f"account:{account}")
            for state in self.of_subject(subject)
            if covers(state.cap, model)
        )
        self._sets[owner] = states
        return states

    def of_subject(self, subject: str) -> tuple[CapState, ...]:
        """The subject's caps, oldest first."""
        states = self._by_subject.get(subject)
        if states is None:
            rows = self._connection.execute(_OF_SUBJECT, (subject,)).fetchall()
            states = tuple(CapState(*read_cap(row)) for row in rows)
            self._by_subject[subject] = states
        return states

    def touch(self, counter: Counter) -> None:
        """The counter was moved: tell the file with the next commit."""
        if not counter.is_dirty:
            counter.is_dirty = True
            self._dirty.append(counter)

    def renew(self) -> None:
        """Caps were changed: tell the file what was moved, then read everything anew."""
        self.flush()
        self.forget()

    def flush(self) -> None:
        """Tell the file what was moved."""
        if self._dirty:
            self._connection.executemany(_KEEP, [c.row() for c in self._dirty])
            for counter in self._dirty:
                counter.is_dirty = False
            self._dirty = []

    def forget(self) -> None:
        """Drop everything; it is read anew as needed."""
        self._by_subject.clear()
        self._sets.clear()
        self._dirty = []
        self.version += 1
