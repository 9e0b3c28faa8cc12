"""Families of refresh tokens, and access tokens that are revoked before their time."""

from collections import OrderedDict
from functools import partial
from typing import Final

from tokenward.kernel.incidents import Incident
from tokenward.keys.access_tokens import AccessToken, family_name, token_name
from tokenward.keys.families import Family
from tokenward.keys.interfaces import Watcher
from tokenward.store.grant_rows import (
    ACCESS_MS_MAX,
    ASKED_FOR,
    FAMILY_COLUMNS,
    KEPT_MS,
    family_row,
    note_end,
    note_new,
    read_family,
)
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.incidents import SqliteIncidents
from tokenward.store.sqlite.journal import Journal

CACHED_MAX: Final = 10_000
SWEEP_BATCH: Final = 500
_FIND: Final = FAMILY_COLUMNS + "WHERE id = ?"
_INSERT: Final = "INSERT INTO families VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE: Final = (
    "UPDATE families SET number = ?, used_ms = ?, ended_ms = ?, ended_why = ? WHERE id = ?"
)
_REVOKED: Final = "SELECT name, until_ms FROM revoked_tokens"
_IS_REVOKED: Final = "SELECT 1 FROM revoked_tokens WHERE name = ?"
_REVOKE: Final = (
    "INSERT INTO revoked_tokens VALUES (?, ?) "
    "ON CONFLICT (name) DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)"
)
_SWEEP_REVOKED: Final = "DELETE FROM revoked_tokens WHERE until_ms < ?"
_SWEEP_FAMILIES: Final = (
    "DELETE FROM families WHERE id IN "
    "(SELECT id FROM families WHERE coalesce(ended_ms, ends_ms) < ? LIMIT ?)"
)


class SqliteGrants:
    """Fulfils `keys.interfaces.GrantStore`.

    What is revoked is in memory as a whole, so that each use of a token can ask without waiting.
    Memory may know of a revocation that the disk then lost: it was not acknowledged, and refusing
    too much is the safe side. It never knows of less.
    """

    def __init__(self, database: Database, journal: Journal, incidents: SqliteIncidents) -> None:
        self._database = database
        self._connection = database.connection
        self._journal = journal
        self._incidents = incidents
        self._cached: OrderedDict[str, Family] = OrderedDict()
        self._changed: set[str] = set()
        self._ended: set[str] = set()
        self.watcher: Watcher | None = None
        self._revoked: dict[str, int] = dict(self._connection.execute(_REVOKED).fetchall())
        database.after_commit.append(self._tell_ended)
        database.caches.append(self)

    def is_revoked(self, names: tuple[str, ...]) -> bool:
        """Whether one of them is. Never stale."""
        return any(name in self._revoked for name in names)

    def revoked(self) -> list[str]:
        """Every name that is revoked now."""
        return list(self._revoked)

    async def find(self, family_id: str) -> Family | None:
        """The family, from memory or from the store; never as a commit that is still waited for
        made it, for whoever finds that it has ended says so, and the disk may yet refuse it."""
        family = self._cached.get(family_id)
        if family is not None and family_id not in self._changed:
            self._cached.move_to_end(family_id)
            return family
        return await self._database.submit(partial(self._load, family_id))

    async def read(self, family_id: str) -> Family | None:
        """The family, behind every change asked for before, and when those are on the disk."""
        return await self._database.submit(partial(self._load, family_id))

    async def add(self, family: Family) -> None:
        """Keep a new family, with its entry."""
        await self._database.submit(partial(self._add, family))

    async def rotate(self, old: Family, new: Family) -> bool:
        """Compare-and-set of the next number. False: somebody else was faster."""
        assert new.number == old.number + 1, "numbers follow each other"
        return await self._database.submit(
            partial(self._replace, old, new), abandoned=partial(self._take_back, old, new)
        )

    async def end(self, old: Family, new: Family, incident: Incident | None) -> bool:
        """End the family, its access tokens with it, with entry, event and incident. False:
        somebody else was faster; look again."""
        assert new.ended_why, "an end has a reason"
        return await self._database.submit(partial(self._end, old, new, incident))

    async def revoke(self, token: AccessToken, at_ms: int) -> None:
        """Revoke one access token until its end."""
        await self._database.submit(partial(self._revoke_token, token, at_ms))

    async def sweep(self, now_ms: int) -> None:
        """Forget what is over."""
        over = [name for name, until_ms in self._revoked.items() if until_ms < now_ms]
        for name in over:
            del self._revoked[name]
        await self._database.submit(partial(self._sweep, now_ms))

    def _take_back(self, old: Family, new: Family, has_turned: bool) -> None:
        """Who asked was told that the disk is late, and got no token: the old one is good still.
        Counted as used, its next use would end the family."""
        if has_turned:
            self._database.push(partial(self._replace, new, old))

    # -- inside a transaction -------------------------------------------------------------------

    def _load(self, family_id: str) -> Family | None:
        row = self._connection.execute(_FIND, (family_id,)).fetchone()
        return None if row is None else self._keep(read_family(row))

    def _keep(self, family: Family) -> Family:
        self._cached[family.id] = family
        self._cached.move_to_end(family.id)
        if len(self._cached) > CACHED_MAX:
            self._cached.popitem(last=False)
        return family

    def _add(self, family: Family) -> None:
        self._connection.execute(_INSERT, family_row(family))
        note_new(self._journal, family)
        self._keep(family)

    def _replace(self, old: Family, new: Family) -> bool:
        if self._load(old.id) != old:
            return False
        assert not old.ended_why, "what ended stays so"
        values = (new.number, new.used_ms, new.ended_ms, new.ended_why, new.id)
        self._connection.execute(_UPDATE, values)
        self._keep(new)
        self._changed.add(new.id)
        return True

    def _end(self, old: Family, new: Family, incident: Incident | None) -> bool:
        assert new.ended_ms is not None, "an end has a moment"
        if not self._replace(old, new):
            return False
        self._revoke(family_name(new.id), new.ended_ms + ACCESS_MS_MAX)
        note_end(self._journal, "family:revoked", new.id, new.key_id, new.ended_ms, new.ended_why)
        if incident is not None:
            self._incidents.open(incident)
        return True

    def _revoke_token(self, token: AccessToken, at_ms: int) -> None:
        name = token_name(token.jti)
        if self._connection.execute(_IS_REVOKED, (name,)).fetchone() is None:
            note_end(self._journal, "token:revoked", token.jti, token.key_id, at_ms, ASKED_FOR)
        self._revoke(name, token.expires_ms)

    def _revoke(self, name: str, until_ms: int) -> None:
        self._connection.execute(_REVOKE, (name, until_ms))
        self._revoked[name] = max(until_ms, self._revoked.get(name, 0))
        self._ended.add(name)

    def _tell_ended(self) -> None:
        self._changed.clear()
        while self._ended:
            name = self._ended.pop()
            if self.watcher is not None:
                self.watcher.name_revoked(name)

    def _sweep(self, now_ms: int) -> None:
        self._connection.execute(_SWEEP_REVOKED, (now_ms,))
        self._connection.execute(_SWEEP_FAMILIES, (now_ms - KEPT_MS, SWEEP_BATCH))

    # -- as the database asks -------------------------------------------------------------------

    def flush(self) -> None:
        """Nothing waits: changes are written as they are made."""

    def forget(self) -> None:
        """Read families anew: what was seen in memory did not last."""
        self._cached.clear()
