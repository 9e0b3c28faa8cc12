"""Holds and settlements: the path of a request through the ledger."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from psycopg import AsyncConnection

from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.kernel.refusals import Refusal
from tokenward.ledger.keeping import TTL_MS_MAX, Keeping, payable
from tokenward.ledger.records import Cap, CapStatus, Charge, Hold, HoldAsk, Settlement
from tokenward.ledger.repeats import REPEAT_WINDOW_MS
from tokenward.store.postgres.batch_book import BatchBook
from tokenward.store.postgres.batches import Batches
from tokenward.store.postgres.cap_desk import CapDesk
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.wants import Wants

ROOM_POLL_S: Final = 0.25
"""How long a call that waits for room is without news of other gateways."""
FORGET_BATCH: Final = 1_000
FORGET_MAX: Final = 20_000
"""So many repeats are forgotten at one sweep: 4,000 a second, at a sweep every 5 s."""
# The age is asked for twice: a row that a call uses anew at this moment is looked at once more.
_FORGET_REPEATS: Final = (
    "DELETE FROM idempotency WHERE at_ms <= %(upto)s AND (key, digest) IN "
    "(SELECT key, digest FROM idempotency WHERE at_ms <= %(upto)s LIMIT %(limit)s)"
)


class PostgresLedger:
    """Fulfils `ledger.interfaces.Ledger`."""

    def __init__(self, database: Database, batches: Batches, desk: CapDesk) -> None:
        self._database = database
        self._batches = batches
        self._desk = desk
        self._room = asyncio.Event()
        self.on_change: Callable[[], None] = _tell_nobody
        """Called after a cap was changed here, so that the other gateways can be poked."""
        batches.after_freed.append(self.free_room)

    async def hold(self, ask: HoldAsk) -> Hold | Refusal:
        """Reserve on all caps that apply, durably, or refuse without moving any.

        A caller that is cancelled, or told that the database is slow, leaves no hold behind.
        """
        assert 0 < ask.ttl_ms <= TTL_MS_MAX, "a hold lives, and at most half a day"
        future = self._batches.submit(
            lambda wants: wants.take(ask),
            lambda keeping, _: keeping.hold(ask),
            takes=True,
            abandoned=self._give_up,
        )
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_up(future.result())
            raise

    def settle(self, hold: Hold, charge: Charge, at_ms: int) -> Awaitable[Settlement]:
        """End the hold with the real cost; what it held beyond is free again."""
        paid = payable(hold, charge)

        def work(keeping: Keeping, book: BatchBook) -> Settlement:
            book.check(hold.id, hold.request_id)
            return keeping.settle(hold.id, paid, at_ms)

        return self._batches.submit(
            lambda wants: wants.end(hold), work, must_run=True, may_share=True
        )

    def void(self, hold: Hold, why: str, at_ms: int) -> Awaitable[Settlement]:
        """End the hold at no cost."""
        return self._void(hold, why, at_ms)

    async def sweep(self, now_ms: int) -> int:
        """Close every hold past its time, or whose gateway is gone, at full price, and forget
        what is too old to matter."""
        closed = await self._close(now_ms, now_ms)
        await self._desk.forget_windows(now_ms)
        await self._forget_repeats(now_ms)
        return closed

    async def close_orphans(self, now_ms: int) -> int:
        """Close the holds of gateways that are gone at full price; how many there were."""
        return await self._close(-1, now_ms)

    async def set_cap(self, cap: Cap) -> Cap:
        """Create or change a cap; its `id` and `created_ms` are given by the ledger."""
        changed = await self._desk.set_cap(cap)
        self._changed()
        return changed

    async def remove_cap(self, subject: str, model: str, window: str, unit: str) -> bool:
        """False if there is none."""
        changed = await self._desk.remove_cap(subject, model, window, unit)
        self._changed()
        return changed

    async def caps(
        self, now_ms: int, subject: str = "", after: Seen = BEGINNING, limit: int = PAGE_MAX
    ) -> list[CapStatus]:
        """A page of caps and where each stands, as enforced (F-5), credit included."""
        await self._batches.settle_down()
        return await self._desk.caps(now_ms, subject, after, limit)

    async def add_credit(self, account: str, amount_nusd: int, at_ms: int, why: str) -> int:
        """Prepaid money; the account's new sum of credit. ValueError if there is no account."""
        credit_nusd = await self._desk.add_credit(account, amount_nusd, at_ms, why)
        self._changed()
        return credit_nusd

    async def wait_for_room(self, wait_s: float) -> bool:
        """Wait until a hold of this gateway ended or a cap was changed, or long enough that one
        of another may have; False if none did within `wait_s`."""
        try:
            async with asyncio.timeout(min(wait_s, ROOM_POLL_S)):
                await self._room.wait()
        except TimeoutError:
            return wait_s > ROOM_POLL_S
        return True

    def free_room(self) -> None:
        """There may be room: here, or as another gateway says."""
        self._room.set()
        self._room = asyncio.Event()

    def _changed(self) -> None:
        self.free_room()
        self.on_change()

    async def _close(self, past_ms: int, at_ms: int) -> int:
        def want(wants: Wants) -> None:
            wants.sweep(past_ms)

        def work(keeping: Keeping, book: BatchBook) -> int:
            late, orphans = book.swept(past_ms)
            keeping.expire(late, at_ms, "its time to live is over")
            keeping.expire(orphans, at_ms, "the guard that took it stopped")
            return len(late) + len(orphans)

        closed = 0
        while count := await self._batches.submit(want, work):
            closed += count
        return closed

    async def _forget_repeats(self, now_ms: int) -> None:
        """In pieces, as long as they are full: the calls of others pass between."""
        asked = {"upto": now_ms - REPEAT_WINDOW_MS, "limit": FORGET_BATCH}

        async def forget_some(connection: AsyncConnection[Any]) -> int:
            return (await connection.execute(_FORGET_REPEATS, asked)).rowcount

        for _ in range(0, FORGET_MAX, FORGET_BATCH):
            if await self._database.write(forget_some) < FORGET_BATCH:
                break

    def _give_up(self, answer: Hold | Refusal) -> None:
        """The hold was taken and nobody waits for it: nothing was sent, so it costs nothing."""
        if isinstance(answer, Hold):
            voided = self._void(answer, "the caller gave up", self._database.clock.now_ms())
            assert not voided.cancelled(), "nobody holds it, so nobody cancels it"

    def _void(self, hold: Hold, why: str, at_ms: int) -> "asyncio.Future[Settlement]":
        def work(keeping: Keeping, book: BatchBook) -> Settlement:
            book.check(hold.id, hold.request_id)
            return keeping.void(hold.id, why, at_ms)

        return self._batches.submit(lambda wants: wants.end(hold), work, must_run=True)


def _tell_nobody() -> None:
    """There are no others."""
