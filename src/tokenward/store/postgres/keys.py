"""Key records: in memory while they are used, every change with its entry in one transaction.

What is in memory carries the number of the last change that it is known to include. An older
record never takes the place of a newer one, whichever of the three ways it came: read for a call,
heard from the feed, or changed here.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreBusyError
from tokenward.kernel.incidents import Incident, State
from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.keys import accusation
from tokenward.keys.accusation import Judged
from tokenward.keys.interfaces import View, Watcher
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
    is_same,
    key_row,
    note_change,
    read_key,
)
from tokenward.store.postgres.accounts import add_account
from tokenward.store.postgres.database import LONG_S, Database
from tokenward.store.postgres.incidents import keep_judgement, load_incident, open_incident
from tokenward.store.postgres.last_uses import LastUses
from tokenward.store.postgres.look_ups import LookUps
from tokenward.store.postgres.transaction import Transaction

CACHED_MAX: Final = 50_000
HEARD_MAX: Final = 10_000
TRIES_MAX: Final = 5
_KEY: Final = KEY_COLUMNS + "WHERE id = %s"
_PAGE: Final = KEY_COLUMNS + "WHERE (created_ms, id) > (%s, %s) ORDER BY created_ms, id LIMIT %s"
_CENSUS: Final = questions("%({})s", "(caveats::json ->> 'bind')")
_INSERT: Final = (
    "INSERT INTO keys (id, digest, account, project, name, state, caveats, created_ms, expires_ms, "
    "last_used_ms, frozen_why, revoked_why, old_secrets, holder, enrolment, cleared, barred) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_UPDATE: Final = (
    "UPDATE keys SET digest = %s, name = %s, state = %s, caveats = %s, expires_ms = %s, "
    "frozen_why = %s, revoked_why = %s, old_secrets = %s, holder = %s, enrolment = %s, "
    "cleared = %s, barred = %s WHERE id = %s"
)
_ENDING: Final = KEY_COLUMNS + (
    "WHERE expires_ms > %(now)s "
    "AND expires_ms <= %(now)s::bigint + %(days)s::bigint * 86400000 AND state = 'live' "
    "AND (told_days = 0 OR told_days > %(days)s) ORDER BY id"
)
_TOLD: Final = "UPDATE keys SET told_days = %s WHERE id = ANY(%s)"
_PROJECT: Final = "SELECT account FROM projects WHERE name = %s"
_NEW_PROJECT: Final = "INSERT INTO projects (name, account, created_ms) VALUES (%s, %s, %s)"


class _Known(NamedTuple):
    """A record in memory, and the number of the last change that it is known to include."""

    record: KeyRecord
    as_of: int


class PostgresKeys:
    """Fulfils `keys.interfaces.KeyStore`. The feed brings what others changed."""

    def __init__(self, database: Database, uses: LastUses, clock: Clock, view: View) -> None:
        self.watcher: Watcher | None = None
        self.on_change: Callable[[], None] = _tell_nobody
        """Called after a change made here, so that the other gateways can be poked."""
        self._database = database
        self._look_ups = LookUps(database)
        self._uses = uses
        self._clock = clock
        self._view = view
        self._cached: OrderedDict[str, _Known] = OrderedDict()
        self._heard: OrderedDict[str, int] = OrderedDict()  # keys, by their last change
        self._horizon = 0  # of changes up to this one `_heard` may know nothing
        self._newest = 0
        self._histories = 0

    def cached(self, key_id: str) -> KeyRecord | None:
        """The current record if it is in memory: as of the view's last refresh, and with
        everything that was changed here. Its `last_used_ms` is as of when it was read."""
        known = self._cached.get(key_id)
        if known is None:
            return None
        self._cached.move_to_end(key_id)
        return known.record

    async def find(self, key_id: str) -> KeyRecord | None:
        """The record: from memory while the view is fresh, else from the store. Unknown ids take
        no memory."""
        record = self.cached(key_id) if self._view.is_fresh() else None
        if record is not None or not (key_id.isascii() and key_id.isprintable()):
            return record
        for _ in range(TRIES_MAX):
            history = self._histories
            record, as_of = await self._look_ups.find(key_id)
            if record is None:
                return None
            is_current = as_of >= max(self._horizon, self._heard.get(key_id, 0))
            if is_current and history == self._histories:
                return self._keep(record, as_of)
        raise StoreBusyError("the key changes faster than it can be read")

    async def read(self, key_id: str) -> KeyRecord | None:
        """The record as it is committed."""
        if not (key_id.isascii() and key_id.isprintable()):
            return None
        record, _ = await self._look_ups.find(key_id)
        return record

    async def add(self, record: KeyRecord) -> None:
        """Keep a new key; its project and account come into being on first use.

        ValueError if the project belongs to another account or there is such a key.
        """
        self._keep(record, await self._database.change(partial(_add, record)))

    async def replace(self, old: KeyRecord, new: KeyRecord, kind: str, why: str) -> bool:
        """Compare-and-set, with the entry and event `kind` (`key:frozen` …). False: somebody else
        was faster."""
        assert old.id == new.id, "a key keeps its id"
        assert kind.startswith("key:"), "what happens to a key is called key:…"
        work = partial(_replace, old, new, kind, why, self._clock.now_ms())
        is_done, now, number = await self._database.change(work)
        if is_done:
            self._changed(new, number)
        elif now is not None:
            self._keep(now, number)
        return is_done

    async def accuse(
        self, key_id: str, incident: Incident, things: tuple[str, ...], *, freeze: bool
    ) -> bool:
        """Open the incident, bar what is new, stop the key: all of it or nothing."""
        accusation.check_things(things)
        if not (key_id.isascii() and key_id.isprintable()):
            return False
        work = partial(_accuse, key_id, incident, things, freeze)
        is_done, now, number = await self._database.change(work)
        if is_done and now is not None:
            self._changed(now, number)
        elif now is not None:
            self._keep(now, number)
        return is_done

    async def undo(self, incident_id: str, now_ms: int) -> Judged:
        """A false alarm: clear what it barred, unfreeze what it froze."""
        return await self._judge(incident_id, "false_alarm", now_ms)

    async def confirm(self, incident_id: str, now_ms: int) -> Judged:
        """It was a theft: what it stopped stays so."""
        return await self._judge(incident_id, "confirmed", now_ms)

    async def _judge(self, incident_id: str, state: State, now_ms: int) -> Judged:
        if not incident_id.isprintable():
            return Judged(None)
        work = partial(_judge, incident_id, state, now_ms)
        judged, new, number = await self._database.change(work)
        if new is not None:
            self._changed(new, number)
        return judged

    def _changed(self, new: KeyRecord, number: int) -> None:
        """It was changed here, as that number: the feed says it to the others."""
        self._keep(new, number)
        self.hear(new, number, number)
        self.on_change()

    async def page(self, after: Seen = BEGINNING, limit: int = PAGE_MAX) -> list[KeyRecord]:
        """The oldest keys after that one, last uses included."""
        return [read_key(row) for row in await self._database.fetch_long(_PAGE, (*after, limit))]

    async def census(self, now_ms: int, ends_ms: int, unused_ms: int) -> Census:
        """All keys, counted."""
        moments = {"now": now_ms, "ends": ends_ms, "unused": unused_ms}
        return await self._database.read(partial(_count_keys, moments), limit_s=LONG_S)

    async def tell_ending(self, now_ms: int) -> int:
        """Tell of live keys that end within a week, and again within a day, each once, whichever
        gateway asks; how many were told of. Cheap, but not for every second."""
        return await self._database.change(partial(_tell_ending, now_ms))

    def used(self, key_id: str, at_ms: int) -> None:
        """Note the last use; it is written with a later batch."""
        self._uses.note(key_id, at_ms)

    # -- what the feed says ---------------------------------------------------------------------

    def hear(self, record: KeyRecord, number: int, as_of: int) -> None:
        """The change `number` was to this key, which is as `record` says as of the change `as_of`.
        Who runs on it is told, also when it is not in memory."""
        self._newest = max(self._newest, as_of)
        self._heard[record.id] = max(number, self._heard.get(record.id, 0))
        self._heard.move_to_end(record.id)
        if len(self._heard) > HEARD_MAX:
            self._horizon = max(self._horizon, self._heard.popitem(last=False)[1])
        known = self._cached.get(record.id)
        if known is not None and known.as_of < as_of:
            self._cached[record.id] = _Known(record, as_of)
        elif known is not None:
            record = known.record
        if self.watcher is not None:
            self.watcher.key_changed(record)

    @property
    def newest(self) -> int:
        """The newest change that anything here includes."""
        return self._newest

    def begin_anew(self, as_of: int, *, is_past: bool) -> list[str]:
        """What was heard up to this change is not complete: everything in memory is to be
        compared with the store. Which keys are in memory, those used last first.

        `is_past`: the store was put back to an earlier moment, and gives numbers out anew.
        """
        if is_past:
            self._histories += 1
            self._newest = self._horizon = as_of
            self._heard.clear()
            for key_id, known in self._cached.items():
                self._cached[key_id] = _Known(known.record, min(known.as_of, as_of))
        self._horizon = max(self._horizon, as_of)
        return list(reversed(self._cached))

    def compare(self, key_id: str, record: KeyRecord | None, as_of: int) -> None:
        """What the store says of a key in memory as of that change; None: there is none."""
        if record is not None:
            self._keep(record, as_of)
        elif key_id in self._cached and self._cached[key_id].as_of <= as_of:
            del self._cached[key_id]

    def _keep(self, record: KeyRecord, as_of: int) -> KeyRecord:
        """Keep it unless something newer is known; the newest. Who runs on what it takes the
        place of is told: the feed may never say it."""
        known = self._cached.get(record.id)
        if known is not None and known.as_of > as_of:
            return known.record
        if known is not None and is_same(known.record, record):
            record = known.record
        self._newest = max(self._newest, as_of)
        self._cached[record.id] = _Known(record, as_of)
        self._cached.move_to_end(record.id)
        if len(self._cached) > CACHED_MAX:
            self._cached.popitem(last=False)
        if known is not None and known.record is not record and self.watcher is not None:
            self.watcher.key_changed(record)
        return record


def _tell_nobody() -> None:
    """One gateway alone."""


async def _add(record: KeyRecord, transaction: Transaction) -> int:
    """The last change that it includes."""
    connection = transaction.connection
    await add_account(record.account, record.created_ms, transaction)
    cursor = await connection.execute(_PROJECT, (record.project,))
    owner = await cursor.fetchone()
    if owner is None:
        values = record.project, record.account, record.created_ms
        await connection.execute(_NEW_PROJECT, values)
        transaction.journal.note(
            "project_created", record.created_ms, account=record.account, project=record.project
        )
    else:
        check_owner(record, owner[0])
    if await _stored(connection, record.id) is not None:
        raise ValueError("there is a key with this id")
    await connection.execute(_INSERT, key_row(record))
    note_change(transaction.journal, "key:created", record, record.created_ms, "")
    return transaction.numbers.start - 1


async def _replace(
    old: KeyRecord, new: KeyRecord, kind: str, why: str, at_ms: int, transaction: Transaction
) -> tuple[bool, KeyRecord | None, int]:
    """Whether it is done, the key as it was before, and the last change known of it now."""
    now = await _stored(transaction.connection, old.id)
    if now is None or decided_on(now) != decided_on(old):
        return False, now, transaction.numbers.start - 1
    await _write(now, new, transaction)
    note_change(transaction.journal, kind, new, at_ms, why)
    return True, now, transaction.numbers[-1]


async def _write(now: KeyRecord, new: KeyRecord, transaction: Transaction) -> None:
    check_step(now, new)
    await transaction.connection.execute(_UPDATE, (*changing_values(new), new.id))
    transaction.changed("key", new.id)


async def _accuse(
    key_id: str,
    incident: Incident,
    things: tuple[str, ...],
    freeze: bool,
    transaction: Transaction,
) -> tuple[bool, KeyRecord | None, int]:
    """Whether it is done, the key as it is now, and the last change known of it."""
    if await load_incident(transaction.connection, incident.id) is not None:
        return True, None, 0  # asked again by somebody who did not hear the answer
    now = await _stored(transaction.connection, key_id)
    if now is None:
        return False, None, 0
    accused = accusation.accuse(now, incident, things, freeze=freeze)
    if accused is None:
        return False, now, transaction.numbers.start - 1
    new = accused.record
    await open_incident(accused.incident, transaction)
    await _write(now, new, transaction)
    if accused.has_frozen:
        note_change(transaction.journal, "key:frozen", new, incident.opened_ms, new.frozen_why)
    return True, new, transaction.numbers[-1]


async def _judge(
    incident_id: str, state: State, now_ms: int, transaction: Transaction
) -> tuple[Judged, KeyRecord | None, int]:
    """What became of it, the key where it is changed by it, and the number of that change."""
    before = await load_incident(transaction.connection, incident_id)
    if before is None:
        return Judged(None), None, 0
    judged = accusation.judge(before, state)
    if judged.incident is None or judged.incident == before:
        return judged, None, 0
    await keep_judgement(judged.incident, now_ms, transaction)
    key_id = accusation.key_of(before)
    now = await _stored(transaction.connection, key_id) if state == "false_alarm" else None
    if now is None:
        return judged, None, 0
    new = accusation.undo(now, before)
    await _write(now, new, transaction)
    if new.state != now.state:
        why = f"incident {before.id} was undone"
        note_change(transaction.journal, "key:unfrozen", new, now_ms, why)
    return judged, new, transaction.numbers[-1]


async def _stored(connection: AsyncConnection[Any], key_id: str) -> KeyRecord | None:
    row = await (await connection.execute(_KEY, (key_id,))).fetchone()
    return None if row is None else read_key(row)


async def _tell_ending(now_ms: int, transaction: Transaction) -> int:
    told = 0
    for days in ENDING_DAYS:
        cursor = await transaction.connection.execute(_ENDING, {"now": now_ms, "days": days})
        keys = [read_key(row) for row in await cursor.fetchall()]
        for key in keys:
            transaction.journal.tell(ending_event(key, now_ms, days))
        await transaction.connection.execute(_TOLD, (days, [key.id for key in keys]))
        told += len(keys)
    return told


async def _count_keys(moments: dict[str, int], connection: AsyncConnection[Any]) -> Census:
    return read_census(
        [await (await connection.execute(each, moments)).fetchall() for each in _CENSUS]
    )
