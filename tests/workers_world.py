"""Keepers and workers in one process, over links in memory that tests stall and cut."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ledger_world import MovingClock, open_sqlite
from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreError
from tokenward.store.sqlite import SqliteStore
from tokenward.store.workers import Keeper, RemoteStore
from tokenward.store.workers.line import OverError

VERSION = "1.0"
LIMIT_S = 5.0


class MemoryLink:
    """One end of a link in memory: frames arrive in order, each in a turn of the loop of its own,
    unless it is stalled."""

    def __init__(self) -> None:
        self.other: MemoryLink
        self.is_stalled = False
        """Nothing that this end sends arrives."""
        self.is_lost = False
        self.seen: list[bytes] = []
        self._coming: deque[bytes | None] = deque()
        self._on_frame: Callable[[bytes], None] | None = None
        self._on_lost: Callable[[], None] | None = None

    @classmethod
    def pair(cls) -> "tuple[MemoryLink, MemoryLink]":
        """Both ends."""
        one, two = cls(), cls()
        one.other, two.other = two, one
        return one, two

    def start(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_frame, self._on_lost = on_frame, on_lost
        self._wake()

    def send(self, frame: bytes) -> None:
        if not self.is_lost:
            self.seen.append(frame)
            self.other._coming.append(frame)
            self.other._wake()

    def flush(self) -> None:
        """Nothing waits."""

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def close(self) -> None:
        """What was sent before still arrives."""
        self._on_frame = self._on_lost = None
        if not self.is_lost:
            self.is_lost = True
            self.other._coming.append(None)
            self.other._wake()

    def stall(self) -> None:
        """Nothing arrives at either end."""
        self.is_stalled = self.other.is_stalled = True

    def flow(self) -> None:
        """Everything arrives, late."""
        for end in (self, self.other):
            end.is_stalled = False
            end._wake()

    def cut(self) -> None:
        """Lost for both ends; what was on its way never arrives."""
        for end in (self, self.other):
            end._coming.clear()
            if not end.is_lost:
                end.is_lost = True
                asyncio.get_running_loop().call_soon(end._tell_lost)

    def _wake(self) -> None:
        asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        if self._coming and self._on_frame is not None and not self.other.is_stalled:
            frame = self._coming.popleft()
            if frame is None:
                self.is_lost = True
                self._tell_lost()
            else:
                self._on_frame(frame)
                self._wake()

    def _tell_lost(self) -> None:
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost()


class Wire:
    """How one worker reaches its keeper: cut it, and the worker comes back over another link."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper: Keeper | None = keeper
        self.is_over = False
        self.links: list[MemoryLink] = []

    async def __call__(self) -> MemoryLink:
        if self.is_over:
            raise OverError("never again")
        if self.keeper is None:
            raise StoreError("there is no keeper")
        mine, its = MemoryLink.pair()
        self.links.append(mine)
        self.keeper.serve(its)
        return mine

    @property
    def link(self) -> MemoryLink:
        """The link in use."""
        return self.links[-1]


async def hire(
    keeper: Keeper,
    clock: Clock,
    proofs: Any,
    *,
    instance: str = "w1",
    version: str = VERSION,
    limit_s: float = LIMIT_S,
) -> tuple[RemoteStore, Wire]:
    """A worker of this keeper."""
    wire = Wire(keeper)
    worker = RemoteStore(
        wire, clock, instance=instance, version=version, limit_s=limit_s, proofs=proofs
    )
    await worker.open()
    return worker, wire


@asynccontextmanager
async def running_crew(
    folder: Path, clock: MovingClock, count: int = 2, **changes: Any
) -> AsyncIterator[tuple[SqliteStore, Keeper, list[tuple[RemoteStore, Wire]]]]:
    """A store, its keeper, and workers `w0`, `w1`, …; the books are proved at the end."""
    store = await open_sqlite(folder, clock)
    keeper = Keeper(store, clock, VERSION, grace_s=changes.pop("grace_s", 0.2))
    workers = [
        await hire(keeper, clock, store.proofs, instance=f"w{number}", **changes)
        for number in range(count)
    ]
    try:
        yield store, keeper, workers
    finally:
        for worker, _ in workers:
            await worker.close()
        await keeper.close()
        findings = await store.books.audit()
        await store.close()
    assert findings == []


class Crew(RemoteStore):
    """A worker that brings its keeper and the keeper's store along, for suites of stores."""

    kept: SqliteStore
    """What the keeper keeps."""
    _keeper: Keeper

    @classmethod
    async def with_keeper(cls, folder: Path, clock: MovingClock, limit_s: float) -> "Crew":
        store = await open_sqlite(folder, clock)
        keeper = Keeper(store, clock, VERSION)
        crew = cls(
            Wire(keeper),
            clock,
            instance="w1",
            version=VERSION,
            limit_s=limit_s,
            proofs=store.proofs,
        )
        crew.kept, crew._keeper = store, keeper
        await crew.open()
        return crew

    async def chores(self, now_ms: int, records_since_ms: int) -> None:
        """The worker's, and those that the keeper's process does."""
        await super().chores(now_ms, records_since_ms)
        await self.kept.chores(now_ms, records_since_ms)

    async def close(self) -> None:
        await super().close()
        await self._keeper.close()
        await self.kept.close()
