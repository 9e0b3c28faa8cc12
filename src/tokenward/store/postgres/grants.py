"""Families of refresh tokens, and access tokens that are revoked before their time."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from psycopg import AsyncConnection

from tokenward.kernel.errors import StoreError
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
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.incidents import PostgresIncidents
from tokenward.store.postgres.transaction import Transaction

SWEEP_BATCH: Final = 500
SKEW_MS: Final = 600_000
"""A revoked name stays in the store longer than it is of use by this gateway's clock: another's
may be behind."""
_FIND: Final = FAMILY_COLUMNS + "WHERE id = %s"
_INSERT: Final = (
    "INSERT INTO families (id, key, kind, thumbprint, got_by, scope, number, created_ms, used_ms, "
    "ends_ms, ended_ms, ended_why) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_UPDATE: Final = (
    "UPDATE families SET number = %s, used_ms = %s, ended_ms = %s, ended_why = %s WHERE id = %s"
)
_REVOKE: Final = (
    "INSERT INTO revoked_tokens (name, until_ms) VALUES (%s, %s) "
    "ON CONFLICT (name) DO UPDATE SET until_ms = greatest(revoked_tokens.until_ms, "
    "excluded.until_ms)"
)
_IS_REVOKED: Final = "SELECT FROM revoked_tokens WHERE name = %s"
# What another gateway deletes at this moment is left to it: nobody waits for anybody.
_SWEEP_REVOKED: Final = (
    "DELETE FROM revoked_tokens WHERE name IN "
    "(SELECT name FROM revoked_tokens WHERE until_ms < %s LIMIT %s FOR UPDATE SKIP LOCKED)"
)
_SWEEP_FAMILIES: Final = (
    "DELETE FROM families WHERE id IN (SELECT id FROM families "
    "WHERE coalesce(ended_ms, ends_ms) < %s LIMIT %s FOR UPDATE SKIP LOCKED)"
)


class PostgresGrants:
    """Fulfils `keys.interfaces.GrantStore`. The feed brings what others revoked.

    What is revoked is in memory as a whole, so that each use of a token can ask without waiting;
    a name leaves it only when its time is over. Families are asked of the store each time.
    """

    def __init__(self, database: Database, incidents: PostgresIncidents) -> None:
        self.watcher: Watcher | None = None
        self.on_change: Callable[[], None] = _tell_nobody
        """Called after a change made here, so that the other gateways can be poked."""
        self._database = database
        self._incidents = incidents
        self._revoked: dict[str, int] = {}

    def is_revoked(self, names: tuple[str, ...]) -> bool:
        """Whether one of them is: as of the view's last refresh, and with what was revoked here."""
        return any(name in self._revoked for name in names)

    async def find(self, family_id: str) -> Family | None:
        """The family as it is."""
        if not (family_id.isascii() and family_id.isprintable()):
            return None
        rows = await self._database.fetch(_FIND, (family_id,))
        return read_family(rows[0]) if rows else None

    async def read(self, family_id: str) -> Family | None:
        """The family as it is committed; nothing else is ever known here."""
        return await self.find(family_id)

    async def add(self, family: Family) -> None:
        """Keep a new family, with its entry."""
        await self._database.change(partial(_add, family))

    async def rotate(self, old: Family, new: Family) -> bool:
        """Compare-and-set of the next number. False: somebody else was faster.

        Who is not told that it was done, because the database was late or the caller left, got no
        token: the old one is good still, and its next use is no second one.
        """
        assert new.number == old.number + 1, "numbers follow each other"
        turning = asyncio.ensure_future(self._turn(old, new))
        try:
            return await asyncio.shield(turning)
        except asyncio.CancelledError:
            turning.add_done_callback(partial(self._take_back, old, new))
            raise

    async def end(self, old: Family, new: Family, incident: Incident | None) -> bool:
        """End the family, its access tokens with it, with entry, event and incident. False:
        somebody else was faster; look again."""
        assert new.ended_why, "an end has a reason"
        if not await self._database.change(partial(self._end, old, new, incident)):
            return False
        assert new.ended_ms is not None, "an end has a moment"
        self._revoked_here(family_name(new.id), new.ended_ms + ACCESS_MS_MAX)
        return True

    async def revoke(self, token: AccessToken, at_ms: int) -> None:
        """Revoke one access token until its end."""
        await self._database.change(partial(_revoke_token, token, at_ms))
        self._revoked_here(token_name(token.jti), token.expires_ms)

    def forget_over(self, now_ms: int) -> None:
        """Forget here, and only here, what is over by this gateway's clock."""
        for name in [name for name, until_ms in self._revoked.items() if until_ms < now_ms]:
            del self._revoked[name]

    async def sweep(self, now_ms: int) -> None:
        """Forget what is over, also in the store, where every gateway's clock must say so."""
        self.forget_over(now_ms)
        await self._database.write(partial(_sweep, now_ms))

    # -- what the feed says ---------------------------------------------------------------------

    def hear(self, name: str, until_ms: int) -> None:
        """Somebody revoked it."""
        self._revoked[name] = max(until_ms, self._revoked.get(name, 0))
        if self.watcher is not None:
            self.watcher.name_revoked(name)

    def compare(self, revoked: Iterable[tuple[str, int]]) -> None:
        """Everything that the store says is revoked."""
        for name, until_ms in revoked:
            if name not in self._revoked:
                self.hear(name, until_ms)

    async def _turn(self, old: Family, new: Family) -> bool:
        try:
            return await self._database.change(partial(_turn, old, new))
        except StoreError:  # whether it was kept is not known
            self._database.push(partial(_turn, new, old))
            raise

    def _take_back(self, old: Family, new: Family, turned: "asyncio.Future[bool]") -> None:
        if not turned.cancelled() and turned.exception() is None and turned.result():
            self._database.push(partial(_turn, new, old))

    def _revoked_here(self, name: str, until_ms: int) -> None:
        self.hear(name, until_ms)
        self.on_change()

    async def _end(
        self, old: Family, new: Family, incident: Incident | None, transaction: Transaction
    ) -> bool:
        assert new.ended_ms is not None, "an end has a moment"
        if not await _turn(old, new, transaction):
            return False
        await _revoke(transaction, family_name(new.id), new.ended_ms + ACCESS_MS_MAX)
        book = transaction.journal
        note_end(book, "family:revoked", new.id, new.key_id, new.ended_ms, new.ended_why)
        if incident is not None:
            await self._incidents.open(incident, transaction)
        return True


def _tell_nobody() -> None:
    """One gateway alone."""


async def _add(family: Family, transaction: Transaction) -> None:
    await transaction.connection.execute(_INSERT, family_row(family))
    note_new(transaction.journal, family)


async def _turn(old: Family, new: Family, transaction: Transaction) -> bool:
    row = await (await transaction.connection.execute(_FIND, (old.id,))).fetchone()
    if row is None or read_family(row) != old:
        return False
    assert not old.ended_why, "what ended stays so"
    values = (new.number, new.used_ms, new.ended_ms, new.ended_why, new.id)
    await transaction.connection.execute(_UPDATE, values)
    return True


async def _revoke_token(token: AccessToken, at_ms: int, transaction: Transaction) -> None:
    name = token_name(token.jti)
    cursor = await transaction.connection.execute(_IS_REVOKED, (name,))
    if await cursor.fetchone() is None:
        note_end(transaction.journal, "token:revoked", token.jti, token.key_id, at_ms, ASKED_FOR)
    await _revoke(transaction, name, token.expires_ms)


async def _revoke(transaction: Transaction, name: str, until_ms: int) -> None:
    await transaction.connection.execute(_REVOKE, (name, until_ms))
    transaction.changed("name", name)


async def _sweep(now_ms: int, connection: AsyncConnection[Any]) -> None:
    await connection.execute(_SWEEP_REVOKED, (now_ms - SKEW_MS, SWEEP_BATCH))
    await connection.execute(_SWEEP_FAMILIES, (now_ms - KEPT_MS, SWEEP_BATCH))
