"""Key records: in memory while they are used, every change with its entry in one transaction."""

import sqlite3
from collections import OrderedDict
from functools import partial
from typing import Final

from tokenward.kernel.clock import Clock
from tokenward.kernel.incidents import Incident, State
from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.keys import accusation
from tokenward.keys.accusation import Judged
from tokenward.keys.interfaces import Watcher
from tokenward.keys.records import Census, KeyRecord
from tokenward.store.census import questions, read_census
from tokenward.store.key_rows import (
    ENDING_DAYS,
    KEY_COLUMNS,
    changing_values,
    check_owner,
    check_step,
    decided_on,
    ending_event,
    key_row,
    note_change,
    read_key,
)
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.incidents import SqliteIncidents
from tokenward.store.sqlite.journal import Journal
from tokenward.store.sqlite.reader import Reader

CACHED_MAX: Final = 50_000
USED_EVERY_S: Final = 2
"""Last uses are written at most this often."""
_FIND: Final = KEY_COLUMNS + "WHERE id = ?"
_PAGE: Final = KEY_COLUMNS + "WHERE (created_ms, id) > (?, ?) ORDER BY created_ms, id LIMIT ?"
_CENSUS: Final = questions(":{}", "json_extract(caveats, '$.bind')")
_INSERT: Final = (
    "INSERT INTO keys (id, digest, account, project, name, state, caveats, created_ms, expires_ms, "
    "last_used_ms, frozen_why, revoked_why, old_secrets, holder, enrolment, cleared, barred) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE: Final = (
    "UPDATE keys SET digest = ?, name = ?, state = ?, caveats = ?, expires_ms = ?, "
    "frozen_why = ?, revoked_why = ?, old_secrets = ?, holder = ?, enrolment = ?, cleared = ?, "
    "barred = ? WHERE id = ?"
)
_ENDING: Final = KEY_COLUMNS + (
    "WHERE expires_ms > ?1 AND expires_ms <= ?1 + ?2 * 86400000 AND state = 'live' "
    "AND (told_days = 0 OR told_days > ?2)"
)
_TOLD: Final = "UPDATE keys SET told_days = ? WHERE id = ?"
_USED: Final = "UPDATE keys SET last_used_ms = max(?1, coalesce(last_used_ms, 0)) WHERE id = ?2"
_ACCOUNT: Final = "SELECT 1 FROM accounts WHERE name = ?"
_NEW_ACCOUNT: Final = "INSERT INTO accounts (name, created_ms) VALUES (?, ?)"
_PROJECT: Final = "SELECT account FROM projects WHERE name = ?"
_NEW_PROJECT: Final = "INSERT INTO projects (name, account, created_ms) VALUES (?, ?, ?)"


class SqliteKeys:
    """Fulfils `keys.interfaces.KeyStore`.

    A record is looked up in the writer's own queue, behind every change asked for before: what
    lands in memory is never older than what is there.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal,
        reader: Reader,
        clock: Clock,
        incidents: SqliteIncidents,
    ) -> None:
        self._database = database
        self._incidents = incidents
        self._connection = database.connection
        self._journal = journal
        self._reader = reader
        self._clock = clock
        self._cached: OrderedDict[str, KeyRecord] = OrderedDict()
        self._used: dict[str, int] = {}
        self._boarded: dict[str, int] = {}
        self._boarded_s = clock.monotonic_s()
        self._changed: set[str] = set()
        self.watcher: Watcher | None = None
        database.after_commit.append(self._tell_changed)
        database.caches.append(self)
        database.riders.append(self)

    def cached(self, key_id: str) -> KeyRecord | None:
        """The current record if it is in memory. Never stale: a change is seen here no later than
        it is acknowledged. Its `last_used_ms` is as of when it was read."""
        record = self._cached.get(key_id)
        if record is not None:
            self._cached.move_to_end(key_id)
        return record

    async def find(self, key_id: str) -> KeyRecord | None:
        """The record, from memory or from the store. Unknown ids take no memory.

        What a commit still waits for is not shown before it: who found a key revoked that way
        would say so, and the disk may yet refuse it (R4).
        """
        record = self.cached(key_id)
        if (record is not None and key_id not in self._changed) or not key_id.isascii():
            return record
        return await self._database.submit(partial(self._load, key_id))

    async def read(self, key_id: str) -> KeyRecord | None:
        """The record, behind every change asked for before, and when those are on the disk."""
        if not key_id.isascii():
            return None
        return await self._database.submit(partial(self._load, key_id))

    async def add(self, record: KeyRecord) -> None:
        """Keep a new key; its project and account come into being on first use.

        ValueError if the project belongs to another account or there is such a key.
        """
        await self._database.submit(partial(self._add, record))

    async def replace(self, old: KeyRecord, new: KeyRecord, kind: str, why: str) -> bool:
        """Compare-and-set, with the entry and event `kind` (`key:frozen` …). False: somebody else
        was faster."""
        assert old.id == new.id, "a key keeps its id"
        assert kind.startswith("key:"), "what happens to a key is called key:…"
        return await self._database.submit(partial(self._replace, old, new, kind, why))

    async def accuse(
        self, key_id: str, incident: Incident, things: tuple[str, ...], *, freeze: bool
    ) -> bool:
        """Open the incident, bar what is new, stop the key: all of it or nothing, also when the
        caller has left, as thieves do."""
        accusation.check_things(things)
        if not key_id.isascii():
            return False
        work = partial(self._accuse, key_id, incident, things, freeze)
        return await self._database.submit(work, must_run=True)

    async def undo(self, incident_id: str, now_ms: int) -> Judged:
        """A false alarm: clear what it barred, unfreeze what it froze."""
        return await self._judge(incident_id, "false_alarm", now_ms)

    async def confirm(self, incident_id: str, now_ms: int) -> Judged:
        """It was a theft: what it stopped stays so."""
        return await self._judge(incident_id, "confirmed", now_ms)

    async def _judge(self, incident_id: str, state: State, now_ms: int) -> Judged:
        if not incident_id.isprintable():
            return Judged(None)
        work = partial(self._judge_incident, incident_id, state, now_ms)
        return await self._database.submit(work)

    async def page(self, after: Seen = BEGINNING, limit: int = PAGE_MAX) -> list[KeyRecord]:
        """The oldest keys after that one, last uses included."""
        return await self._reader.read(partial(_read_page, after, limit))

    async def census(self, now_ms: int, ends_ms: int, unused_ms: int) -> Census:
        """All keys, counted."""
        moments = {"now": now_ms, "ends": ends_ms, "unused": unused_ms}
        return await self._reader.read(partial(_count_keys, moments))

    async def tell_ending(self, now_ms: int) -> int:
        """Tell of live keys that end within a week, and again within a day, each once; how many
        were told of. Cheap, but not for every second."""
        return await self._database.submit(partial(self._tell_ending, now_ms))

    def used(self, key_id: str, at_ms: int) -> None:
        """Note the last use; it is written with a later commit."""
        self._used[key_id] = at_ms
        self._database.expect_rider()

    # -- inside a transaction -------------------------------------------------------------------

    def _load(self, key_id: str) -> KeyRecord | None:
        row = self._connection.execute(_FIND, (key_id,)).fetchone()
        return None if row is None else self._keep(read_key(row))

    def _keep(self, record: KeyRecord) -> KeyRecord:
        self._cached[record.id] = record
        self._cached.move_to_end(record.id)
        if len(self._cached) > CACHED_MAX:
            self._cached.popitem(last=False)
        return record

    def _add(self, record: KeyRecord) -> None:
        self._own(record)
        if self._connection.execute(_FIND, (record.id,)).fetchone() is not None:
            raise ValueError("there is a key with this id")
        self._connection.execute(_INSERT, key_row(record))
        note_change(self._journal, "key:created", record, record.created_ms, "")
        self._keep(record)

    def _own(self, record: KeyRecord) -> None:
        account, project, at_ms = record.account, record.project, record.created_ms
        add_account(self._connection, self._journal, account, at_ms)
        row = self._connection.execute(_PROJECT, (project,)).fetchone()
        if row is None:
            self._connection.execute(_NEW_PROJECT, (project, account, at_ms))
            self._journal.note("project_created", at_ms, account=account, project=project)
        else:
            check_owner(record, row[0])

    def _replace(self, old: KeyRecord, new: KeyRecord, kind: str, why: str) -> bool:
        row = self._connection.execute(_FIND, (old.id,)).fetchone()
        if row is None:
            return False
        now = read_key(row)
        self._keep(now)
        if decided_on(now) != decided_on(old):
            return False
        self._write(now, new)
        note_change(self._journal, kind, new, self._clock.now_ms(), why)
        return True

    def _write(self, now: KeyRecord, new: KeyRecord) -> None:
        check_step(now, new)
        self._connection.execute(_UPDATE, (*changing_values(new), new.id))
        self._keep(new)
        self._changed.add(new.id)

    def _accuse(
        self, key_id: str, incident: Incident, things: tuple[str, ...], freeze: bool
    ) -> bool:
        if self._incidents.load(incident.id) is not None:
            return True  # asked again by somebody who did not hear the answer
        now = self._load(key_id)
        if now is None:
            return False
        accused = accusation.accuse(now, incident, things, freeze=freeze)
        if accused is None:
            return False
        new = accused.record
        self._incidents.open(accused.incident)
        self._write(now, new)
        if accused.has_frozen:
            note_change(self._journal, "key:frozen", new, incident.opened_ms, new.frozen_why)
        return True

    def _judge_incident(self, incident_id: str, state: State, now_ms: int) -> Judged:
        before = self._incidents.load(incident_id)
        if before is None:
            return Judged(None)
        judged = accusation.judge(before, state)
        if judged.incident is None or judged.incident == before:
            return judged
        self._incidents.judge(judged.incident, now_ms)
        now = self._load(accusation.key_of(before)) if state == "false_alarm" else None
        if now is not None:
            new = accusation.undo(now, before)
            self._write(now, new)
            if new.state != now.state:
                why = f"incident {before.id} was undone"
                note_change(self._journal, "key:unfrozen", new, now_ms, why)
        return judged

    def _tell_ending(self, now_ms: int) -> int:
        told = 0
        for days in ENDING_DAYS:
            for row in self._connection.execute(_ENDING, (now_ms, days)).fetchall():
                key = read_key(row)
                self._journal.tell(ending_event(key, now_ms, days))
                self._connection.execute(_TOLD, (days, key.id))
                told += 1
        return told

    def _tell_changed(self) -> None:
        """What is on the disk now is told, also when whoever asked for it gave up waiting."""
        while self._changed:
            record = self._load(self._changed.pop())
            if record is not None and self.watcher is not None:
                self.watcher.key_changed(record)

    # -- as the database asks -------------------------------------------------------------------

    def flush(self) -> None:
        """Nothing waits: changes are written as they are made."""

    def forget(self) -> None:
        """Read records anew: what was seen in memory did not last."""
        self._cached.clear()

    @property
    def waiting(self) -> int:
        """Last uses that are not on the disk yet."""
        return len(self._used) + len(self._boarded)

    def board(self, connection: sqlite3.Connection) -> None:
        """Write last uses, now and then."""
        now_s = self._clock.monotonic_s()
        is_due = now_s - self._boarded_s >= USED_EVERY_S or self._database.is_closed
        if not self._used or not is_due:
            return
        self._boarded, self._used = self._used, {}
        connection.executemany(_USED, [(at_ms, key) for key, at_ms in self._boarded.items()])

    def arrive(self) -> None:
        """Last uses are on the disk."""
        if self._boarded:
            self._boarded = {}
            self._boarded_s = self._clock.monotonic_s()

    def miss(self) -> None:
        """Last uses wait again; newer ones win."""
        self._used = {**self._boarded, **self._used}
        self._boarded = {}


def add_account(connection: sqlite3.Connection, journal: Journal, name: str, at_ms: int) -> bool:
    """Create the account; False if it is there. Runs inside a transaction."""
    if connection.execute(_ACCOUNT, (name,)).fetchone() is not None:
        return False
    connection.execute(_NEW_ACCOUNT, (name, at_ms))
    journal.note("account_created", at_ms, account=name)
    return True


def _read_page(after: Seen, limit: int, connection: sqlite3.Connection) -> list[KeyRecord]:
    return [read_key(row) for row in connection.execute(_PAGE, (*after, limit))]


def _count_keys(moments: dict[str, int], connection: sqlite3.Connection) -> Census:
    return read_census([connection.execute(each, moments).fetchall() for each in _CENSUS])
