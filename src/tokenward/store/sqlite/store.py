"""The store put together: one folder, one file, one writer."""

from pathlib import Path
from typing import Final, Self

from tokenward.kernel.clock import Clock
from tokenward.kernel.events import Event
from tokenward.keys.interfaces import Watcher
from tokenward.keys.lease import Always
from tokenward.ledger.keeping import Keeping
from tokenward.ledger.thresholds import THRESHOLDS
from tokenward.limits.local import LocalLimiter
from tokenward.pipeline.admitting import OneByOne
from tokenward.store.sqlite.book import SqliteBook
from tokenward.store.sqlite.books import SqliteBooks
from tokenward.store.sqlite.cap_desk import CapDesk
from tokenward.store.sqlite.committer import Committer, MakeCommitter
from tokenward.store.sqlite.counters import Counters
from tokenward.store.sqlite.database import COMMIT_LIMIT_S, Database
from tokenward.store.sqlite.folder import FILE_NAME, FolderLock, Place, open_writer
from tokenward.store.sqlite.grants import SqliteGrants
from tokenward.store.sqlite.incidents import SqliteIncidents
from tokenward.store.sqlite.journal import Journal
from tokenward.store.sqlite.keys import SqliteKeys
from tokenward.store.sqlite.ledger import SqliteLedger
from tokenward.store.sqlite.open_holds import OpenHolds
from tokenward.store.sqlite.pasts import SqlitePasts
from tokenward.store.sqlite.proofs import SqliteProofs
from tokenward.store.sqlite.reader import Reader
from tokenward.store.sqlite.records import SqliteRecords

TELL_ENDING_EVERY_S: Final = 3600.0


class SqliteStore:
    """Everything a guard keeps. Made by `open`; `close` writes what waits and lets go."""

    ledger: SqliteLedger
    books: SqliteBooks
    keys: SqliteKeys
    grants: SqliteGrants
    incidents: SqliteIncidents
    pasts: SqlitePasts
    records: SqliteRecords
    proofs: SqliteProofs
    limiter: LocalLimiter
    view: Always
    orphans: int
    """Holds of a guard that died, closed at full price when this one opened the store."""

    def __init__(
        self,
        folder: Path,
        lock: FolderLock,
        clock: Clock,
        thresholds: tuple[int, ...],
        commit_limit_s: float,
        make_committer: MakeCommitter,
    ) -> None:
        self._lock = lock
        self.database: Final = Database(
            open_writer(folder), commit_limit_s, Place(folder / FILE_NAME), make_committer
        )
        self._reader = Reader(folder)
        journal = Journal(self.database)
        counters = Counters(self.database)
        holds = OpenHolds(self.database, counters)
        keeping = Keeping(SqliteBook(self.database, journal, counters, holds), thresholds)
        desk = CapDesk(self.database, journal, counters, holds, self._reader, clock)
        self.ledger = SqliteLedger(self.database, keeping, holds, desk)
        self.books = SqliteBooks(self.database, journal, counters, self._reader, clock)
        self.incidents = SqliteIncidents(self.database, journal, self._reader)
        self.keys = SqliteKeys(self.database, journal, self._reader, clock, self.incidents)
        self.grants = SqliteGrants(self.database, journal, self.incidents)
        self.pasts = SqlitePasts(self.database, clock)
        self.records = SqliteRecords(self.database, self._reader)
        self.proofs = SqliteProofs(folder, clock)
        self.limiter = LocalLimiter(clock)
        self.admission = OneByOne(self.proofs, self.limiter)
        self.view = Always()
        self._clock = clock
        self._tell_ending_s = clock.monotonic_s()
        self._journal = journal
        self.orphans = 0

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        clock: Clock,
        thresholds: tuple[int, ...] = THRESHOLDS,
        commit_limit_s: float = COMMIT_LIMIT_S,
        make_committer: MakeCommitter = Committer,
    ) -> Self:
        """Open or create the store in `folder` and close the holds of a guard that died.

        `thresholds` in per mille, ascending. Raises `StoreError` if another process uses the
        folder, the file cannot be used, or a newer tokenward wrote it.
        """
        lock = FolderLock(folder)
        try:
            store = cls(folder, lock, clock, thresholds, commit_limit_s, make_committer)
        except BaseException:
            lock.release()
            raise
        try:
            store.orphans = await store.ledger.close_orphans(clock.now_ms())
        except BaseException:
            await store.close()
            raise
        return store

    @property
    def why_not_ready(self) -> str:
        """Why calls are refused now; "" while the disk keeps up."""
        return "the disk does not keep up with the writes" if self.database.is_slow else ""

    @property
    def waiting(self) -> int:
        """Writes that wait for the disk."""
        return self.database.waiting

    def watch(self, watcher: Watcher) -> None:
        """Tell of keys and tokens that were changed, as soon as that is on the disk."""
        self.keys.watcher = self.grants.watcher = watcher

    async def is_leader(self) -> bool:
        """Who has the folder is alone."""
        return True

    async def chores(self, now_ms: int, records_since_ms: int) -> None:
        """Close holds past their time (L4), forget what is too old, tell of keys that end."""
        await self.ledger.sweep(now_ms)
        await self.records.sweep(records_since_ms)
        await self.proofs.sweep(now_ms)
        await self.grants.sweep(now_ms)
        await self.pasts.sweep(now_ms)
        if self._clock.monotonic_s() >= self._tell_ending_s:
            await self.keys.tell_ending(now_ms)
            self._tell_ending_s += TELL_ENDING_EVERY_S

    def tell(self, event: Event) -> None:
        """Keep an event that no change of the books brings with it. Nobody waits for it."""
        self.database.push(lambda: self._journal.tell(event))

    async def close(self) -> None:
        """Write what waits, close the file and let another process have it. Once is enough; a
        second time does nothing."""
        if self.database.is_closed:
            return
        await self.database.close()
        self._reader.close()
        self.proofs.close()
        self._lock.release()
