"""Holds and settlements: the path of a request through the ledger."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.kernel.refusals import Refusal
from tokenward.ledger.keeping import TTL_MS_MAX, Keeping, payable
from tokenward.ledger.records import Cap, CapStatus, Charge, Hold, HoldAsk, Settlement
from tokenward.ledger.repeats import REPEAT_WINDOW_MS
from tokenward.store.sqlite.cap_desk import CapDesk
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.open_holds import OpenHolds

SWEEP_BATCH: Final = 128
FORGET_BATCH: Final = 1_000
FORGET_MAX: Final = 20_000
"""So many repeats are forgotten at one sweep: 4,000 a second, at a sweep every 5 s."""
_FORGET_REPEATS: Final = (
    "DELETE FROM idempotency WHERE rowid IN "
    "(SELECT rowid FROM idempotency WHERE at_ms <= ? LIMIT ?)"
)


class SqliteLedger:
    """Fulfils `ledger.interfaces.Ledger`."""

    def __init__(
        self, database: Database, keeping: Keeping, holds: OpenHolds, desk: CapDesk
    ) -> None:
        self._database = database
        self._connection = database.connection
        self._keeping = keeping
        self._holds = holds
        self._desk = desk
        self._room = asyncio.Event()
        self.room_freed: list[Callable[[], None]] = []
        """Called when a hold has ended, durably, or a cap was changed."""
        database.after_commit.append(self._tell_room)

    async def hold(self, ask: HoldAsk) -> Hold | Refusal:
        """Reserve on all caps that apply, durably, or refuse without moving any.

        A caller that is cancelled, or told that the disk is slow, leaves no hold behind.
        """
        assert 0 < ask.ttl_ms <= TTL_MS_MAX, "a hold lives, and at most half a day"
        future = self._database.submit(
            partial(self._keeping.hold, ask), reads=False, abandoned=self._give_up
        )
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_up(future.result())
            raise

    def settle(self, hold: Hold, charge: Charge, at_ms: int) -> Awaitable[Settlement]:
        """End the hold with the real cost; what it held beyond is free again."""
        work = partial(self._keeping.settle, hold.id, payable(hold, charge), at_ms)
        return self._database.submit(work, must_run=True, may_share=True, reads=False)

    def void(self, hold: Hold, why: str, at_ms: int) -> Awaitable[Settlement]:
        """End the hold at no cost."""
        work = partial(self._keeping.void, hold.id, why, at_ms)
        return self._database.submit(work, must_run=True, reads=False)

    async def sweep(self, now_ms: int) -> int:
        """Close every hold past its time at full price, and forget what is too old to matter."""
        closed = await self._close(now_ms, now_ms, "its time to live is over")
        await self._database.submit(partial(self._desk.forget_windows, now_ms))
        await self._forget_repeats(now_ms)
        return closed

    async def close_orphans(self, now_ms: int) -> int:
        """Close every open hold at full price: at a start they belong to a dead process."""
        return await self._close(None, now_ms, "the guard that took it stopped")

    async def close_holds(self, holds: Sequence[int], now_ms: int, why: str) -> int:
        """Close those of these holds that are open at full price; how many there were. Whoever
        took them will not end them."""

        def close(some: Sequence[int]) -> int:
            seqs = [seq for seq in some if self._holds.is_open(seq)]
            self._keeping.expire(seqs, now_ms, why)
            return len(seqs)

        closed = 0
        for start in range(0, len(holds), SWEEP_BATCH):
            work = partial(close, holds[start : start + SWEEP_BATCH])
            closed += await self._database.submit(work)
        return closed

    async def set_cap(self, cap: Cap) -> Cap:
        """Create or change a cap; its `id` and `created_ms` are given by the ledger."""
        changed = await self._desk.set_cap(cap)
        self._free_room()
        return changed

    async def remove_cap(self, subject: str, model: str, window: str, unit: str) -> bool:
        """False if there is none."""
        changed = await self._desk.remove_cap(subject, model, window, unit)
        self._free_room()
        return changed

    async def caps(
        self, now_ms: int, subject: str = "", after: Seen = BEGINNING, limit: int = PAGE_MAX
    ) -> list[CapStatus]:
        """A page of caps and where each stands, as enforced (F-5), credit included."""
        return await self._desk.caps(now_ms, subject, after, limit)

    async def add_credit(self, account: str, amount_nusd: int, at_ms: int, why: str) -> int:
        """Prepaid money; the account's new sum of credit. ValueError if there is no account."""
        credit_nusd = await self._desk.add_credit(account, amount_nusd, at_ms, why)
        self._free_room()
        return credit_nusd

    async def wait_for_room(self, wait_s: float) -> bool:
        """Wait until a hold ended or a cap was changed; False if none did within `wait_s`."""
        try:
            async with asyncio.timeout(wait_s):
                await self._room.wait()
        except TimeoutError:
            return False
        return True

    async def _close(self, past_ms: int | None, at_ms: int, why: str) -> int:
        closed = 0

        def close_some() -> int:
            seqs = self._holds.expired(past_ms, SWEEP_BATCH)
            self._keeping.expire(seqs, at_ms, why)
            return len(seqs)

        while count := await self._database.submit(close_some):
            closed += count
        return closed

    async def _forget_repeats(self, now_ms: int) -> None:
        """In pieces, as long as they are full: calls pass between."""
        asked = (now_ms - REPEAT_WINDOW_MS, FORGET_BATCH)

        def forget_some() -> int:
            return self._connection.execute(_FORGET_REPEATS, asked).rowcount

        for _ in range(0, FORGET_MAX, FORGET_BATCH):
            if await self._database.submit(forget_some) < FORGET_BATCH:
                break

    def _give_up(self, answer: Hold | Refusal) -> None:
        """The hold was taken and nobody waits for it: nothing was sent, so it costs nothing."""
        if isinstance(answer, Hold):
            now_ms = self._desk.now_ms()
            work = partial(self._keeping.void, answer.id, "the caller gave up", now_ms)
            self._database.push(work)

    def _tell_room(self) -> None:
        if self._keeping.has_freed:
            self._free_room()

    def _free_room(self) -> None:
        self._keeping.has_freed = False
        self._room.set()
        self._room = asyncio.Event()
        for tell in self.room_freed:
            tell()
