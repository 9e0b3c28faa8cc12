"""What runs beside the requests: chores of the store, the high-water mark, alerts."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from tokenward.http.alerts import Alerts
from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreError, StorePastError
from tokenward.keys.lease import Sight
from tokenward.pipeline.remembering import Memory
from tokenward.store.high_water import HighWater, check_not_past
from tokenward.store.interfaces import Store

EVERY_S: Final = 5.0
LESSONS_EVERY_S: Final = 2.0


class Tending:
    """Background loops that a store or a webhook that is away delays and never stops.

    `sight` is shut when the records turn out to be from the past while the guard runs (somebody
    restored the database under it): from then on every call is refused.
    """

    def __init__(
        self, store: Store, clock: Clock, mark: HighWater | None, sight: Sight, keep_ms: int
    ) -> None:
        """`mark` None: somebody else keeps it. Records are kept for `keep_ms`."""
        self._store = store
        self._clock = clock
        self._mark = mark
        self._sight = sight
        self._keep_ms = keep_ms
        self._tasks: list[asyncio.Task[None]] = []
        self._memory: Memory | None = None

    def start(self, alerts: Alerts | None, memory: Memory | None = None) -> None:
        """Start the loops on the running event loop. `memory` None: this process takes no calls."""
        self._memory = memory
        self._begin(self._tend())
        if memory is not None:
            self._begin(self._keep_lessons(memory))
        if alerts is not None:
            self._begin(alerts.run(self._store.is_leader))

    async def stop(self) -> None:
        """End the loops; what was seen last is marked."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            if self._memory is not None:
                await self._memory.flush()
            await self._watch_past()
        except StoreError:
            return  # the mark trails by a few seconds

    def _begin(self, loop: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(loop))

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self._watch_past()
                now_ms = self._clock.now_ms()
                await self._store.chores(now_ms, now_ms - self._keep_ms)
            except StoreError:
                continue  # the store is away; requests are refused meanwhile, try again

    async def _keep_lessons(self, memory: Memory) -> None:
        """What was learned of keys goes to the store every moment; while it is away, it waits."""
        while True:
            await asyncio.sleep(LESSONS_EVERY_S)
            try:
                await memory.flush()
            except StoreError:
                continue

    async def _watch_past(self) -> None:
        if self._mark is None or self._sight.why_shut:
            return
        try:
            head = await self._store.books.head()
            await check_not_past(self._store.books, self._mark.read())
        except StorePastError as past:
            self._sight.shut(f"{past}")
            return
        self._mark.keep(head)
