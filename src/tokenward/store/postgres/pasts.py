"""What is usual for each key, beside the books: without their lock, and nobody waits for the disk.

Gateways fold into the same rows. Each locks those it folds, in the order of their keys, in short
transactions; one that finds a row locked for too long gives up and folds it later.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from psycopg import AsyncConnection

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.store.past_rows import KEPT_MS, SWEEP_BATCH, check_fold, folded
from tokenward.store.postgres.database import Database

FOLD_AT_ONCE: Final = 32
"""Keys in one transaction: it ends long before the database counts as late."""
FIND_AT_ONCE: Final = 64
FINDING_MAX: Final = 10_000
# A row that is locked is waited for less long than a database that does not answer: other
# gateways' folds are no reason to distrust it.
_GENTLY: Final = (
    "SELECT set_config('synchronous_commit', 'off', true), set_config('lock_timeout', %s, true)"
)
LOCK_SHARE: Final = 1 / 4
_FIND: Final = "SELECT key, blob FROM pasts WHERE key = ANY(%s)"
# A row that is not there cannot be locked: two gateways would each write the first one.
_BEGIN: Final = (
    "INSERT INTO pasts (key, changed_ms, blob) SELECT unnest(%s::text[]), %s, ''::bytea "
    "ON CONFLICT (key) DO NOTHING"
)
_LOCK: Final = "SELECT key, blob FROM pasts WHERE key = ANY(%s) ORDER BY key FOR UPDATE"
_KEEP: Final = (
    "UPDATE pasts SET changed_ms = %s, blob = folded.blob "
    "FROM unnest(%s::text[], %s::bytea[]) AS folded (key, blob) WHERE pasts.key = folded.key"
)
_LOOK: Final = (
    "SELECT pasts.key, keys.id IS NULL OR (pasts.changed_ms < %(before)s AND "
    "(keys.state = 'revoked' OR coalesce(keys.expires_ms < %(before)s, false))) "
    "FROM pasts LEFT JOIN keys ON keys.id = pasts.key "
    "WHERE pasts.key > %(after)s ORDER BY pasts.key LIMIT %(most)s"
)
# What another gateway folds at this moment is left for the next time: nobody waits for anybody.
_FORGET: Final = (
    "DELETE FROM pasts WHERE key IN "
    "(SELECT key FROM pasts WHERE key = ANY(%s) FOR UPDATE SKIP LOCKED)"
)


class PostgresPasts:
    """Fulfils `detectors.interfaces.Pasts`. One fold after the other, so that calls always find
    a connection. Lives on one event loop."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._turn = asyncio.Lock()
        self._wanted: dict[str, asyncio.Future[bytes | None]] = {}
        self._finding: asyncio.Task[None] | None = None
        self._swept = ""
        self._gently = (f"{round(database.commit_limit_s * 1000 * LOCK_SHARE)}",)

    async def find(self, key_id: str) -> bytes | None:
        """The past as it is kept. What is asked for meanwhile is the next question: a gateway that
        starts cold asks one at a time."""
        if not (key_id.isascii() and key_id.isprintable()):
            return None
        answer = self._wanted.get(key_id)
        if answer is None:
            if len(self._wanted) >= FINDING_MAX:
                raise StoreBusyError("too many pasts wait to be looked up")
            answer = self._wanted[key_id] = asyncio.get_running_loop().create_future()
            if self._finding is None or self._finding.done():
                self._finding = asyncio.get_running_loop().create_task(self._find_on())
        return await asyncio.shield(answer)

    async def fold(self, mine: Mapping[str, bytes]) -> dict[str, bytes]:
        """Fold these into what is kept, some to a transaction. Raises ValueError for too many, or
        one too long."""
        check_fold(mine)
        merged: dict[str, bytes] = {}
        keys = sorted(mine)
        async with self._turn:
            for start in range(0, len(keys), FOLD_AT_ONCE):
                some = {key: mine[key] for key in keys[start : start + FOLD_AT_ONCE]}
                merged |= await self._database.write(partial(self._fold, some))
        return merged

    async def sweep(self, now_ms: int) -> None:
        """Look at the next few pasts, and forget those of keys that are unknown, or ended long
        ago. All of them in so many steps, then from the beginning."""
        work = partial(_sweep, now_ms - KEPT_MS, self._swept)
        self._swept = await self._database.write(work)

    async def _fold(
        self, mine: dict[str, bytes], connection: AsyncConnection[Any]
    ) -> dict[str, bytes]:
        keys, now_ms = list(mine), self._clock.now_ms()
        async with connection.pipeline():
            await connection.execute(_GENTLY, self._gently)
            await connection.execute(_BEGIN, (keys, now_ms))
            cursor = await connection.execute(_LOCK, (keys,))
        stored = {key: bytes(blob) for key, blob in await cursor.fetchall()}
        merged = await folded(stored, mine)
        changed = [key for key in keys if stored[key] != merged[key]]
        if changed:
            await connection.execute(_KEEP, (now_ms, changed, [merged[key] for key in changed]))
        return merged

    async def _find_on(self) -> None:
        while self._wanted:
            asked = {key: self._wanted.pop(key) for key in list(self._wanted)[:FIND_AT_ONCE]}
            try:
                rows = await self._database.fetch(_FIND, (list(asked),))
            except Exception as error:  # noqa: BLE001 - also our own bug: nobody waits for ever
                _fail(asked, error)
                continue
            except BaseException:
                _fail({**asked, **self._wanted}, StoreError("this guard is stopping"))
                self._wanted.clear()
                raise
            found = {key: bytes(blob) for key, blob in rows}
            for key, answer in asked.items():
                answer.set_result(found.get(key) or None)


def _fail(answers: Mapping[str, "asyncio.Future[bytes | None]"], error: Exception) -> None:
    for answer in answers.values():
        answer.set_exception(error)
        answer.exception()  # seen: who asked may be gone


async def _sweep(before_ms: int, after: str, connection: AsyncConnection[Any]) -> str:
    values = {"before": before_ms, "after": after, "most": SWEEP_BATCH}
    rows = await (await connection.execute(_LOOK, values)).fetchall()
    over = [key for key, is_over in rows if is_over]
    if over:
        await connection.execute(_FORGET, (over,))
    return rows[-1][0] if len(rows) == SWEEP_BATCH else ""
