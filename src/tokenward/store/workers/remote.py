"""A worker's store: everything is asked of the keeper, over one line."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from tokenward.binding.interfaces import ReplayStore
from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreError
from tokenward.kernel.events import Event
from tokenward.kernel.refusals import Refusal
from tokenward.keys.interfaces import Watcher
from tokenward.keys.lease import Lease
from tokenward.limits.interfaces import UNLIMITED, KeyLimits, Place
from tokenward.limits.local import ANYWHERE
from tokenward.pipeline.admitting import OneByOne
from tokenward.store.workers import messages
from tokenward.store.workers.keys import RemoteGrants, RemoteKeys
from tokenward.store.workers.ledger import RemoteBooks, RemoteLedger
from tokenward.store.workers.line import AWAY, Connect, Line
from tokenward.store.workers.pasts import RemotePasts
from tokenward.store.workers.records import RemoteIncidents, RemoteRecords

TELL_EVERY_S: Final = 0.05
EVENTS_MAX: Final = 1_000


class RemotePlace:
    """A place that the keeper gave."""

    __slots__ = ("_line", "_number")

    def __init__(self, line: Line, number: int) -> None:
        self._line: Line | None = line
        self._number = number

    def leave(self) -> None:
        """Give it back; a second time does nothing."""
        line, self._line = self._line, None
        if line is not None:
            line.undo(self._number)


class RemoteLimiter:
    """Fulfils `limits.interfaces.Limiter`: the keeper counts for all workers."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def enter(self, key_id: str, limits: KeyLimits) -> Place | Refusal:
        """A place, if the key is within its limits. Nobody is asked about a key without any."""
        if limits == UNLIMITED:
            return ANYWHERE
        begged = await self._line.beg(messages.ENTER, key_id, limits)
        if begged.refused is not None:
            return begged.refused.refusal()
        return RemotePlace(self._line, begged.number)

    def use(self, key_id: str, tokens: int) -> None:
        """Count what a call has used."""
        self._line.tell(messages.UsedTokens(key_id, tokens))


class RemoteStore:
    """Fulfils `store.interfaces.Store` for a worker. Made by `open`."""

    def __init__(
        self,
        connect: Connect,
        clock: Clock,
        *,
        instance: str,
        version: str,
        limit_s: float,
        proofs: ReplayStore,
    ) -> None:
        """`proofs` is shared by all workers in its own way. See `Line` for the rest."""
        self._line = Line(
            connect, clock, instance=instance, version=version, limit_s=limit_s, hearer=self
        )
        self.keys: Final = RemoteKeys(self._line)
        self.grants: Final = RemoteGrants(self._line, clock.now_ms)
        self.ledger: Final = RemoteLedger(self._line)
        self.books: Final = RemoteBooks(self._line)
        self.records: Final = RemoteRecords(self._line)
        self.incidents: Final = RemoteIncidents(self._line)
        self.pasts: Final = RemotePasts(self._line)
        self.limiter: Final = RemoteLimiter(self._line)
        self.proofs: Final = proofs
        self.admission: Final = OneByOne(proofs, self.limiter)
        self.view: Final[Lease] = self._line.view
        self.on_stop: Callable[[], None] = lambda: None
        """Called when the keeper says to stop, and again when it says so again."""
        self.shows: Callable[[], bytes] = lambda: b""
        """What the keeper gets to pass on when another worker asks for everybody's metrics."""
        self._limit_s = limit_s
        self._watcher: Watcher | None = None
        self._missed: list[str] = []
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._is_closing = False
        self._telling: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Find the keeper. Raises `StoreError`."""
        await self._line.open()
        self._telling = asyncio.create_task(self._tell_on())

    @property
    def waiting(self) -> int:
        """Operations that wait for the keeper."""
        return self._line.waiting

    @property
    def why_not_ready(self) -> str:
        """Why calls are refused now; "" while the keeper keeps up."""
        if not self._line.is_open:
            return AWAY
        if self._line.is_silent or not self.view.is_fresh():
            return "the process that keeps the records does not answer"
        return self._line.why_not_ready

    def watch(self, watcher: Watcher) -> None:
        """Tell of changes, whichever worker made them."""
        self._watcher = watcher

    def tell(self, event: Event) -> None:
        """Keep an event."""
        self._events.append(event)

    async def is_leader(self) -> bool:
        """The keeper does what one of all does."""
        return False

    async def chores(self, now_ms: int, records_since_ms: int) -> None:
        """The keeper does them; here, only forget tokens that have ended by themselves."""
        self.grants.sweep(now_ms)

    async def close(self) -> None:
        """Say what waits to be said, and hang up."""
        if self._looking is not None:
            self._looking.cancel()
        self._is_closing = True
        if self._telling is not None:
            await asyncio.wait((self._telling,), timeout=self._limit_s)  # what waits is said
            self._telling.cancel()
        await self._line.close()

    def be_ready(self) -> None:
        """Say that this worker takes calls."""
        self._line.tell(messages.Ready())

    def fail(self, why: str) -> None:
        """Say that this worker cannot start."""
        self._line.tell(messages.Failed(why))

    async def shown(self) -> list[tuple[bool, bytes]]:
        """Of every other worker whether it lives, and what it shows. Raises `StoreError`."""
        return await self._line.ask(messages.SHOWN)

    # -- as the line hears ----------------------------------------------------------------------

    def heard(self, message: object) -> None:
        """A push."""
        match message:
            case messages.Changed():
                self.keys.take(message.record)
                if self._watcher is not None:
                    self._watcher.key_changed(message.record)
            case messages.Revoked():
                self.grants.take(message.names)
                if self._watcher is not None:
                    for name in message.names:
                        self._watcher.name_revoked(name)
            case messages.Room():
                self.ledger.free_room()
            case messages.Show():
                self._line.tell(messages.Shown(self.shows()))
            case messages.Stop():
                self.on_stop()

    def lost(self) -> None:
        """Changes are missed from now on."""
        self._missed += self.keys.forget()
        self.ledger.free_room()

    def welcomed(self) -> None:
        """There is a link again: see what became of the keys whose changes were missed, because
        their calls may run still."""
        if self._missed and self._looking is None:
            self._looking = asyncio.create_task(self._look_at_missed())

    async def _look_at_missed(self) -> None:
        try:
            while self._missed:
                record = await self.keys.find(self._missed[-1])
                if record is not None and self._watcher is not None:
                    self._watcher.key_changed(record)
                self._missed.pop()
        except StoreError:
            pass  # the link was lost again; at the next one it goes on
        finally:
            self._looking = None

    async def _tell_on(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._is_closing
            while self._events and self._line.tell(messages.Tell(self._events[0])):
                self._events.popleft()
            self.keys.tell_used()
            await self.records.send()
            await asyncio.sleep(0 if is_last else TELL_EVERY_S)
