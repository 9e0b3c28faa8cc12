"""The store put together: one PostgreSQL for all gateways, and Valkey for what is hot."""

import secrets
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from tokenward import __version__
from tokenward.kernel.clock import Clock
from tokenward.kernel.events import Event
from tokenward.kernel.secret import Secret
from tokenward.keys.interfaces import Watcher
from tokenward.keys.lease import LEASE_S, Lease
from tokenward.ledger.thresholds import THRESHOLDS
from tokenward.limits.local import LocalLimiter
from tokenward.pipeline.admitting import OneByOne
from tokenward.store.postgres.batches import Batches
from tokenward.store.postgres.books import PostgresBooks
from tokenward.store.postgres.cap_desk import CapDesk
from tokenward.store.postgres.changes import ChangeFeed
from tokenward.store.postgres.database import COMMIT_LIMIT_S, Database
from tokenward.store.postgres.gateways import DeathWatch, Gateway, refuse_running
from tokenward.store.postgres.grants import PostgresGrants
from tokenward.store.postgres.incidents import PostgresIncidents
from tokenward.store.postgres.keys import PostgresKeys
from tokenward.store.postgres.last_uses import LastUses
from tokenward.store.postgres.leading import Leadership
from tokenward.store.postgres.ledger import PostgresLedger
from tokenward.store.postgres.pasts import PostgresPasts
from tokenward.store.postgres.pins import agree
from tokenward.store.postgres.records import PostgresRecords
from tokenward.store.postgres.scribe import Scribe
from tokenward.store.postgres.transaction import Transaction
from tokenward.store.sqlite.proofs import SqliteProofs
from tokenward.store.valkey import HotState
from tokenward.store.valkey.limiter import ValkeyLimiter
from tokenward.store.valkey.proofs import ValkeyProofs

TELL_ENDING_EVERY_S: Final = 3600.0


class PostgresStore:
    """Fulfils `store.interfaces.Store`. Made by `open`."""

    ledger: PostgresLedger
    books: PostgresBooks
    keys: PostgresKeys
    grants: PostgresGrants
    incidents: PostgresIncidents
    pasts: PostgresPasts
    records: PostgresRecords
    view: Lease
    orphans: int
    """Holds of gateways that are gone, closed at full price when this one opened the store. Those
    of gateways that may still live are left to the chores."""

    def __init__(
        self,
        database: Database,
        me: Gateway,
        hot: HotState | None,
        folder: Path,
        clock: Clock,
        thresholds: tuple[int, ...],
        lease_s: float,
    ) -> None:
        self.database: Final = database
        self.view = Lease(clock, lease_s)
        self.batches: Final = Batches(database, me.id, thresholds)
        self.ledger = PostgresLedger(database, self.batches, CapDesk(database, clock))
        self.books = PostgresBooks(database, clock)
        self.incidents = PostgresIncidents(database)
        self._scribe = Scribe(database)
        uses = LastUses(self._scribe, clock)
        self.keys = PostgresKeys(database, uses, clock, self.view)
        self.grants = PostgresGrants(database, self.incidents)
        self.pasts = PostgresPasts(database, clock)
        self.records = PostgresRecords(database, self._scribe)
        self.feed: Final = ChangeFeed(database, me, self.view, self.keys, self.grants, clock)
        self._leadership = Leadership(database)
        self._deaths = DeathWatch(clock, lambda: self.feed.heard_since_s)
        self._hot = hot
        self._own_proofs = SqliteProofs(folder, clock) if hot is None else None
        self._own_limiter = LocalLimiter(clock) if hot is None else None
        self._clock = clock
        self._tell_ending_s = clock.monotonic_s()
        self._is_closed = False
        self.orphans = 0

    @classmethod
    async def open(
        cls,
        url: Secret,
        folder: Path,
        *,
        clock: Clock,
        hot_url: Secret | None = None,
        hot_tls: ssl.SSLContext | None = None,
        thresholds: tuple[int, ...] = THRESHOLDS,
        commit_limit_s: float = COMMIT_LIMIT_S,
        lease_s: float = LEASE_S,
        serves: bool = True,
        is_alone: bool = False,
        pins: Mapping[str, bytes] = {},
    ) -> Self:
        """Connect to the records and the hot state, and take a place among the gateways.

        Without `hot_url` used proofs and limits are kept in `folder` and this process, and no
        gateway on another machine is let in beside this one. With `serves` False it is no gateway:
        for an admin command, which takes no holds and keeps no keys in memory; with `is_alone` it
        is refused while any gateway runs. `thresholds` in per mille, ascending. `pins` are digests
        of what all gateways must have alike. Raises `StoreError`.
        """
        database = await Database.open(url.reveal(), clock, commit_limit_s=commit_limit_s)
        stores: list[Self] = []

        def on_poke() -> None:
            for store in stores:
                store.poke()

        try:
            hot = None
            if hot_url is not None and serves:
                hot = await HotState.open(
                    hot_url, clock, limit_s=commit_limit_s, tls=hot_tls, on_poke=on_poke
                )
        except BaseException:
            await database.close()
            raise
        me = Gateway(
            id=secrets.token_hex(8),
            host=socket.gethostname(),
            version=__version__,
            is_alone=hot is None,
        )
        store = cls(database, me, hot, folder, clock, thresholds, lease_s)
        stores.append(store)
        try:
            if hot is not None:
                store._tell_others(hot)
            for name, digest in pins.items():
                await agree(database, name, digest)
            if is_alone:
                await database.read(refuse_running)
            if serves:
                await store.feed.start()
                await store._deaths.bury(database)
                store.orphans = await store.ledger.close_orphans(clock.now_ms())
        except BaseException:
            await store.close()
            raise
        return store

    @property
    def proofs(self) -> SqliteProofs | ValkeyProofs:
        """Which proofs were used."""
        if self._hot is not None:
            return self._hot.proofs
        assert self._own_proofs is not None, "where nobody else keeps them"
        return self._own_proofs

    @property
    def limiter(self) -> LocalLimiter | ValkeyLimiter:
        """What each key does now."""
        if self._hot is not None:
            return self._hot.limiter
        assert self._own_limiter is not None, "where nobody else keeps it"
        return self._own_limiter

    @property
    def admission(self) -> OneByOne | HotState:
        """Both asked together."""
        return self._hot or OneByOne(self.proofs, self.limiter)

    @property
    def waiting(self) -> int:
        """Operations that wait for the database, and calls that wait for Valkey."""
        hot = self._hot.waiting if self._hot is not None else 0
        return self.database.waiting + self.batches.waiting + hot

    @property
    def why_not_ready(self) -> str:
        """Why calls are refused now; "" while everything answers in time."""
        if self.database.why_not_ready:
            return self.database.why_not_ready
        if not self.view.is_fresh():
            return self.feed.trouble or "no word of revocations came in time"
        return self._hot.why_not_ready if self._hot is not None else ""

    def watch(self, watcher: Watcher) -> None:
        """Tell of keys and tokens that were changed, here or by another gateway."""
        self.keys.watcher = self.grants.watcher = watcher

    def tell(self, event: Event) -> None:
        """Keep an event that no change of the books brings with it. Nobody waits for it."""

        async def keep(transaction: Transaction) -> None:
            transaction.journal.tell(event)

        self.database.push(keep)

    def poke(self) -> None:
        """Another gateway says that something was changed."""
        self.feed.poke()
        self.ledger.free_room()

    async def is_leader(self) -> bool:
        """Whether this gateway is the one that does what one of all does."""
        return await self._leadership.ask()

    async def chores(self, now_ms: int, records_since_ms: int) -> None:
        """One gateway closes holds past their time and those of gateways that died (L4), forgets
        what is too old and tells of keys that end; each forgets what it alone remembers."""
        self.grants.forget_over(now_ms)
        if self._own_proofs is not None:
            await self._own_proofs.sweep(now_ms)
        if not await self.is_leader():
            return
        await self._deaths.bury(self.database)
        await self.ledger.sweep(now_ms)
        await self.records.sweep(records_since_ms)
        await self.grants.sweep(now_ms)
        await self.pasts.sweep(now_ms)
        await self.feed.prune()
        if self._clock.monotonic_s() >= self._tell_ending_s:
            await self.keys.tell_ending(now_ms)
            self._tell_ending_s += TELL_ENDING_EVERY_S

    async def close(self) -> None:
        """Write what waits and let go; what this gateway still holds is closed by the others."""
        if self._is_closed:
            return
        self._is_closed = True
        await self.batches.close()
        await self._scribe.close()
        await self.feed.stop()
        self._leadership.close()
        await self.database.close()
        if self._hot is not None:
            await self._hot.close()
        if self._own_proofs is not None:
            self._own_proofs.close()

    def _tell_others(self, hot: HotState) -> None:
        publish = hot.pokes.publish
        self.keys.on_change = self.grants.on_change = self.ledger.on_change = publish
