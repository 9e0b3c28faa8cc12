"""What is usual for each key, beside the books: no call ever waits for a past to be written."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Final

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.store.past_rows import KEPT_MS, SWEEP_BATCH, check_fold, folded
from tokenward.store.sqlite.database import Database

READ_AT_ONCE: Final = 32
"""Pasts that are read in one turn of the loop."""
BOARD_MAX: Final = 64
BOARD_BYTES_MAX: Final = 262_144
"""So little joins a commit that a hold in the same one does not notice."""
WAIT_S: Final = 30.0
_FIND: Final = "SELECT blob FROM pasts WHERE key = ?"
_KEEP: Final = (
    "INSERT INTO pasts (key, changed_ms, blob) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
    "SET changed_ms = excluded.changed_ms, blob = excluded.blob"
)
_LOOK: Final = (
    "SELECT pasts.key, keys.id IS NULL OR (pasts.changed_ms < ?1 AND "
    "(keys.state = 'revoked' OR coalesce(keys.expires_ms < ?1, 0))) "
    "FROM pasts LEFT JOIN keys ON keys.id = pasts.key "
    "WHERE pasts.key > ?2 ORDER BY pasts.key LIMIT ?3"
)
_FORGET: Final = "DELETE FROM pasts WHERE key = ?"


class SqlitePasts:
    """Fulfils `detectors.interfaces.Pasts`.

    One fold after the other, and nobody else writes pasts: so what is read, merged and then
    written a little with each of the next commits is as if done in one.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._connection = database.connection
        self._clock = clock
        self._turn = asyncio.Lock()
        self._rows: deque[tuple[str, int, bytes]] = deque()
        self._boarded: list[tuple[str, int, bytes]] = []
        self._kept: asyncio.Future[None] | None = None
        self._swept = ""
        database.riders.append(self)

    async def find(self, key_id: str) -> bytes | None:
        """The past as it is kept."""
        found = await self._database.submit(partial(self._load, [key_id]), reads=False)
        return found.get(key_id)

    async def fold(self, mine: Mapping[str, bytes]) -> dict[str, bytes]:
        """Fold these into what is kept. Raises ValueError for too many, or one too long."""
        check_fold(mine)
        async with self._turn:
            stored = await self._read(list(mine))
            merged = await folded(stored, mine)
            changed = {key: blob for key, blob in merged.items() if stored.get(key) != blob}
            await self._write(changed)
        return merged

    async def sweep(self, now_ms: int) -> None:
        """Look at the next few pasts, and forget those of keys that are unknown, or ended long
        ago. All of them in so many steps, then from the beginning."""
        work = partial(self._sweep, now_ms - KEPT_MS, self._swept)
        self._swept = await self._database.submit(work, may_share=True, reads=False)

    async def _read(self, keys: list[str]) -> dict[str, bytes]:
        stored: dict[str, bytes] = {}
        for start in range(0, len(keys), READ_AT_ONCE):
            some = partial(self._load, keys[start : start + READ_AT_ONCE])
            stored |= await self._database.submit(some, may_share=True, reads=False)
        return stored

    async def _write(self, changed: dict[str, bytes]) -> None:
        """Wait until all of it is on the disk."""
        if not changed:
            return
        if self._database.is_closed:
            raise StoreError("the records are closed: this guard is stopping")
        now_ms = self._clock.now_ms()
        self._kept = asyncio.get_running_loop().create_future()
        self._rows.extend((key, now_ms, blob) for key, blob in changed.items())
        self._database.expect_rider()
        try:
            async with asyncio.timeout(WAIT_S):
                await self._kept
        except TimeoutError:
            raise StoreBusyError(f"the disk has not kept pasts within {WAIT_S:g} s") from None
        finally:
            self._rows.clear()
            self._kept = None

    # -- inside a transaction -------------------------------------------------------------------

    def _load(self, keys: list[str]) -> dict[str, bytes]:
        execute = self._connection.execute
        rows = ((key, execute(_FIND, (key,)).fetchone()) for key in keys)
        return {key: row[0] for key, row in rows if row is not None}

    def _sweep(self, before_ms: int, after: str) -> str:
        rows = self._connection.execute(_LOOK, (before_ms, after, SWEEP_BATCH)).fetchall()
        self._connection.executemany(_FORGET, [(key,) for key, is_over in rows if is_over])
        return rows[-1][0] if len(rows) == SWEEP_BATCH else ""

    # -- as the database asks -------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Pasts that are not on the disk yet."""
        return len(self._rows) + len(self._boarded)

    def board(self, connection: sqlite3.Connection) -> None:
        """Write a bounded number of pasts."""
        size = 0
        while self._rows and len(self._boarded) < BOARD_MAX and size < BOARD_BYTES_MAX:
            row = self._rows.popleft()
            size += len(row[2])
            self._boarded.append(row)
        if self._boarded:
            connection.executemany(_KEEP, self._boarded)

    def arrive(self) -> None:
        """Pasts are on the disk."""
        self._boarded = []
        if self._rows:
            self._database.expect_rider()
        elif self._kept is not None and not self._kept.done():
            self._kept.set_result(None)

    def miss(self) -> None:
        """What boarded is told as lost: whoever folds has it still, and folds it again."""
        if self._boarded:
            self._boarded = []
            self._rows.clear()
            if self._kept is not None and not self._kept.done():
                self._kept.set_exception(StoreError("pasts of keys could not be written"))
        elif self._rows:
            self._database.expect_rider()
