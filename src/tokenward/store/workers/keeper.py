"""The process that has the records serves them to workers, and tells all of them what changed.

What changed is told when it is on the disk, before whoever asked for it is answered. Each link is
served in order. A worker whose link is lost may come back within `grace_s` over another one; after
that it is dead: its places are given back and its holds closed at full price, for its calls may
have been sent.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreError
from tokenward.kernel.events import Event
from tokenward.keys.lease import Sight
from tokenward.keys.records import KeyRecord
from tokenward.pipeline.dampers import Repeats
from tokenward.store.sqlite.store import SqliteStore
from tokenward.store.workers import messages
from tokenward.store.workers.hand import Hand
from tokenward.store.workers.link import Link

GRACE_S: Final = 3.0
NAMES_AT_ONCE: Final = 10_000
SHOW_S: Final = 0.5
"""How long a worker may take to show what it counts; then what it showed last counts."""
DEPARTED_MAX: Final = 64
RETRY_S: Final = 1.0
WHY_CLOSED: Final = "the worker that took it stopped"

log = logging.getLogger("tokenward.workers")


class Keeper:
    """Serves one store to many workers. Lives on the store's event loop."""

    def __init__(
        self,
        store: SqliteStore,
        clock: Clock,
        version: str,
        *,
        grace_s: float = GRACE_S,
        sight: Sight | None = None,
    ) -> None:
        """`version` is tokenward's: a worker of another one is turned away. When `sight` is shut
        no worker acts any more on what it knows."""
        self.store = store
        self.room = 0
        self.on_ready: Callable[[str], None] = lambda instance: None
        """A worker takes calls."""
        self.on_failed: Callable[[str, str], None] = lambda instance, why: None
        """A worker was turned away or cannot start, and why."""
        self.shows: Callable[[], bytes] = lambda: b""
        """What the keeper counts itself, to be added to what workers count."""
        self._sight = sight or Sight(store.view)
        self._clock = clock
        self._version = version
        self._grace_s = grace_s
        self._hands: dict[str, Hand] = {}
        self._graves: dict[str, asyncio.TimerHandle] = {}
        self._stops = 0
        self._repeats = Repeats()
        self._departed: list[bytes] = []
        self._to_close: list[int] = []
        self._closing: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        store.watch(self)
        store.ledger.room_freed.append(self._free_room)

    def now_ms(self) -> int:
        """Wall time."""
        return self._clock.now_ms()

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return self._clock.monotonic_s()

    def pong(self, number: int) -> messages.Pong:
        """How things stand."""
        why = self._sight.why_shut or self.store.why_not_ready
        return messages.Pong(number, why, not self._sight.is_fresh())

    def tell(self, event: Event) -> None:
        """Keep an event of a worker, unless another one told the same just before."""
        if self._repeats.is_news(event):
            self.store.tell(event)

    def silent(self, limit_s: float) -> list[str]:
        """Workers whose last ping is older than that."""
        since_s = self.monotonic_s() - limit_s
        return [hand.instance for hand in self._hands.values() if hand.heard_s < since_s]

    def serve(self, link: Link) -> None:
        """Serve whoever is at the other end; the first word must be a hello."""
        _Visit(self, link)

    def stop(self) -> None:
        """Have every worker end, also those still to come; said again, end now."""
        self._stops += 1
        for hand in self._hands.values():
            hand.push(messages.encode(messages.Stop()))

    async def close(self) -> None:
        """Let go of every worker; what they held and did not end is closed. The store stays."""
        for timer in (*self._graves.values(), *([self._retry] if self._retry else ())):
            timer.cancel()
        for hand in list(self._hands.values()):
            if hand.link is not None:
                hand.link.close()
            self._bury(hand)
        if self._closing is not None:
            await self._closing

    # -- as the store tells ---------------------------------------------------------------------

    def key_changed(self, record: KeyRecord) -> None:
        """Tell every worker."""
        self._push(messages.Changed(record))

    def name_revoked(self, name: str) -> None:
        """Tell every worker."""
        self._push(messages.Revoked([name]))

    def _free_room(self) -> None:
        self.room += 1
        for hand in self._hands.values():
            if hand.wants_room:
                self._tell_room(hand)

    def _push(self, message: messages.Heard) -> None:
        frame = messages.encode(message)
        for hand in self._hands.values():
            hand.push(frame)

    # -- as workers come and go -----------------------------------------------------------------

    def greet(self, hello: messages.Hello, link: Link) -> Hand | None:
        """The worker behind the link; None if it is turned away."""
        if hello.version != self._version:
            why = f"the keeper is tokenward {self._version}, this worker {hello.version}"
            link.send(messages.encode(messages.Unwelcome(why)))
            link.flush()
            self.on_failed(hello.instance, why)
            return None
        hand = self._hands.get(hello.instance)
        if hand is None:
            hand = self._hands[hello.instance] = Hand(self, hello.instance, link)
        elif hand.link is not None:
            hand.link.close()
        hand.link = link
        hand.heard_s = self.monotonic_s()
        grave = self._graves.pop(hello.instance, None)
        if grave is not None:
            grave.cancel()
        for number in hello.undone:
            hand.undo(number)
        names = self.store.grants.revoked()
        for start in range(0, len(names), NAMES_AT_ONCE):
            hand.say(messages.encode(messages.Revoked(names[start : start + NAMES_AT_ONCE])))
        hand.say(messages.encode(messages.Welcome()))
        for _ in range(self._stops):
            hand.say(messages.encode(messages.Stop()))
        return hand

    def say_goodbye(self, hand: Hand, link: Link) -> None:
        """The link is lost."""
        if hand.link is not link:
            return  # it came back over another one
        hand.link = None
        loop = asyncio.get_running_loop()
        self._graves[hand.instance] = loop.call_later(self._grace_s, self._bury, hand)

    def _bury(self, hand: Hand) -> None:
        hand.link = None
        self._graves.pop(hand.instance, None)
        del self._hands[hand.instance]
        if hand.shown:
            self._departed = [*self._departed, hand.shown][-DEPARTED_MAX:]
        self._to_close += hand.bury()
        self._close_holds()

    def _close_holds(self) -> None:
        if self._to_close and self._closing is None:
            self._closing = asyncio.create_task(self._close_all())

    async def _close_all(self) -> None:
        """In effect after whatever these workers asked for before."""
        try:
            while self._to_close:
                holds = list(self._to_close)
                await self.store.ledger.close_holds(holds, self.now_ms(), WHY_CLOSED)
                del self._to_close[: len(holds)]
        except StoreError as error:
            log.error("holds of a worker that died are not closed yet: %s", error)
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._close_holds)
        finally:
            self._closing = None

    # -- as workers ask -------------------------------------------------------------------------

    def want_room(self, hand: Hand, since: int) -> None:
        """Tell it of room freed after that, once."""
        if 0 <= since < self.room:
            self._tell_room(hand)
        else:
            hand.wants_room = True

    def _tell_room(self, hand: Hand) -> None:
        hand.wants_room = False
        hand.say(messages.encode(messages.Room()))

    async def shown_by_others(self, asking: Hand) -> list[tuple[bool, bytes]]:
        """What every worker but this one counts; of those that are gone, what they showed last."""
        others = [hand for hand in self._hands.values() if hand is not asking]
        waiting = [hand.want_shown() for hand in others]
        if waiting:
            await asyncio.wait(waiting, timeout=SHOW_S)
        departed = [(False, shown) for shown in self._departed]
        living = [self.shows(), *(hand.shown for hand in others if hand.instance in self._hands)]
        return [*departed, *((True, shown) for shown in living if shown)]


class _Visit:
    """One link, from its first word to its end."""

    def __init__(self, keeper: Keeper, link: Link) -> None:
        self._keeper = keeper
        self._link = link
        self._hand: Hand | None = None
        link.start(self._heard, self._lost)

    def _heard(self, frame: bytes) -> None:
        message = messages.read_said(frame)
        hand = self._hand
        if hand is None:
            if isinstance(message, messages.Hello):
                self._hand = self._keeper.greet(message, self._link)
            if self._hand is None:
                self._link.close()
        elif isinstance(message, messages.Ask):
            hand.ask(message)
        elif isinstance(message, messages.Undo):
            hand.undo(message.number)
        elif isinstance(message, messages.Ping):
            hand.heard_s = self._keeper.monotonic_s()
            hand.say(messages.encode(self._keeper.pong(message.number)))
        else:
            self._told(hand, message)

    def _told(self, hand: Hand, message: messages.Said) -> None:
        """What needs no answer."""
        keeper, store = self._keeper, self._keeper.store
        match message:
            case messages.UsedTokens():
                store.limiter.use(message.key_id, message.tokens)
            case messages.Used():
                for key_id, at_ms in message.at_ms.items():
                    store.keys.used(key_id, at_ms)
            case messages.Tell():
                keeper.tell(message.event)
            case messages.WantRoom():
                keeper.want_room(hand, message.since)
            case messages.Shown():
                hand.show(message.what)
            case messages.Ready():
                keeper.on_ready(hand.instance)
            case messages.Failed():
                keeper.on_failed(hand.instance, message.why)

    def _lost(self) -> None:
        if self._hand is not None:
            self._keeper.say_goodbye(self._hand, self._link)
