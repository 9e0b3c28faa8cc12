"""One worker, as its keeper sees it: what it asked, what it holds, and what it must be told."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol, cast

import msgspec

from tokenward.kernel.errors import Fault
from tokenward.kernel.incidents import Incident
from tokenward.kernel.refusals import Refusal
from tokenward.ledger.records import Charge, Hold, HoldAsk
from tokenward.limits.interfaces import KeyLimits, Place
from tokenward.store.sqlite.store import SqliteStore
from tokenward.store.workers import messages
from tokenward.store.workers.link import Link
from tokenward.store.workers.messages import Call

PART: Final = 500
"""How many items of a list come in one message."""

log = logging.getLogger("tokenward.workers")


class Crew(Protocol):
    """What a hand needs of the keeper."""

    store: SqliteStore
    room: int
    """Counts the moments at which money was freed."""

    def now_ms(self) -> int: ...
    async def shown_by_others(self, hand: "Hand") -> list[tuple[bool, bytes]]: ...


class Hand:
    """Does what one worker asks, in order, and remembers what it gave. Outlives a lost link for a
    while: `link` is None then."""

    def __init__(self, crew: Crew, instance: str, link: Link) -> None:
        self.instance = instance
        self.link: Link | None = link
        self.heard_s = 0.0
        """When its last ping came, or its hello."""
        self.wants_room = False
        self.shown = b""
        """What it showed last."""
        self._is_shown: asyncio.Future[None] | None = None
        self._crew = crew
        self._store = crew.store
        self._doing: dict[int, asyncio.Task[None]] = {}
        self._held: dict[int, int] = {}
        self._asked_for: dict[int, int] = {}
        self._places: dict[int, Place] = {}
        self._ways: Final[dict[str, Callable[[int, tuple[Any, ...]], None]]] = {
            messages.HOLD.name: self._hold,
            messages.SETTLE.name: self._settle,
            messages.VOID.name: self._void,
            messages.ENTER.name: self._enter,
            messages.ACCUSE.name: self._accuse,
            messages.WRITE_RECORDS.name: self._write,
            messages.RECENT_RECORDS.name: self._recent,
            messages.SHOWN.name: self._show_others,
        }

    def say(self, frame: bytes) -> None:
        """Send, if it can hear."""
        if self.link is not None:
            self.link.send(frame)

    def push(self, frame: bytes) -> None:
        """Send at once: it must be on its way before anybody acts on it."""
        if self.link is not None:
            self.link.send(frame)
            self.link.flush()

    def want_shown(self) -> "asyncio.Future[None]":
        """Ask it to show what it counts; done when it did."""
        if self._is_shown is None:
            self._is_shown = asyncio.get_running_loop().create_future()
            self.say(messages.encode(messages.Show()))
        return self._is_shown

    def show(self, what: bytes) -> None:
        """It showed this."""
        self.shown = what
        is_shown, self._is_shown = self._is_shown, None
        if is_shown is not None:
            is_shown.set_result(None)

    def ask(self, asked: messages.Ask) -> None:
        """Do it, and answer when it is done."""
        call = messages.CALLS[asked.call]
        try:
            values = call.read_ask(asked.ask)
            way = self._ways.get(call.name)
            if way is not None:
                way(asked.number, values)
            else:
                self._ask_store(asked.number, call, values)
        except Exception as error:  # noqa: BLE001 - our own bug; the others are still served
            self._fail(asked.number, error)

    def undo(self, number: int) -> None:
        """Nobody needs what was asked under this number: stop doing it, take back what it gave."""
        doing = self._doing.pop(number, None)
        if doing is not None:
            doing.cancel()
        place = self._places.pop(number, None)
        if place is not None:
            place.leave()
        hold = self._held.pop(number, None)
        if hold is not None:
            del self._asked_for[hold]
            self._void_hold(hold, "the caller gave up")

    def bury(self) -> list[int]:
        """It will never come back: its open holds, to be closed. Nothing else is left of it."""
        self.show(self.shown)
        for doing in self._doing.values():
            doing.cancel()
        for place in self._places.values():
            place.leave()
        self._places.clear()
        holds = list(self._asked_for)
        self._held.clear()
        self._asked_for.clear()
        return holds

    def _ask_store(self, number: int, call: Call[Any], values: tuple[Any, ...]) -> None:
        part, _, method = call.name.partition(".")
        doing = getattr(getattr(self._store, part), method)(*values)
        self._do(number, self._answer(number, call, doing))

    # -- ways that are its own ------------------------------------------------------------------

    def _hold(self, number: int, values: tuple[HoldAsk]) -> None:
        self._do(number, self._take_hold(number, values[0]))

    async def _take_hold(self, number: int, ask: HoldAsk) -> None:
        room = self._crew.room  # before it is decided: what is freed after that is news
        answer = await self._store.ledger.hold(ask)
        if isinstance(answer, Refusal):
            self._refuse(number, answer, room)
        elif self.link is None:
            self._void_hold(answer.id, "its answer could not be delivered")
        else:
            self._held[number] = answer.id
            self._asked_for[answer.id] = number
            self.say(messages.answer_frame(number, answer))

    def _settle(self, number: int, values: tuple[Hold, Charge, int]) -> None:
        self._end(number, values[0].id, self._store.ledger.settle(*values))

    def _void(self, number: int, values: tuple[Hold, str, int]) -> None:
        self._end(number, values[0].id, self._store.ledger.void(*values))

    def _end(self, number: int, hold: int, ending: Awaitable[object]) -> None:
        """It is in effect in its turn; the answer comes when it is on the disk."""
        future = cast("asyncio.Future[object]", ending)
        future.add_done_callback(partial(self._ended, number, hold))

    def _ended(self, number: int, hold: int, ending: "asyncio.Future[object]") -> None:
        error = ending.exception()
        if error is None:
            asked_for = self._asked_for.pop(hold, None)
            if asked_for is not None:
                del self._held[asked_for]
            self.say(messages.answer_frame(number, ending.result()))
        else:
            self._fail(number, error)

    def _void_hold(self, hold: int, why: str) -> None:
        """It was never used."""
        nothing = Hold(
            id=hold, request_id="", amount_nusd=0, tokens=0, output_tokens=0, is_capped=False,
            expires_ms=0,
        )  # fmt: skip
        ending = self._store.ledger.void(nothing, why, self._crew.now_ms())
        cast("asyncio.Future[object]", ending).add_done_callback(asyncio.Future.exception)

    def _enter(self, number: int, values: tuple[str, KeyLimits]) -> None:
        place = self._store.limiter.enter_now(*values)
        if isinstance(place, Refusal):
            self._refuse(number, place, self._crew.room)
        else:
            self._places[number] = place
            self.say(messages.answer_frame(number, None))

    def _accuse(self, number: int, values: tuple[str, Incident, tuple[str, ...], bool]) -> None:
        key_id, incident, things, freeze = values
        doing = self._store.keys.accuse(key_id, incident, things, freeze=freeze)
        self._do(number, self._answer(number, messages.ACCUSE, doing))

    def _write(self, number: int, values: tuple[list[tuple[int, str, bytes]]]) -> None:
        for row in values[0]:
            self._store.records.write_row(row)
        self.say(messages.answer_frame(number, None))

    def _recent(self, number: int, values: tuple[str, int, int]) -> None:
        self._do(number, self._answer(number, messages.RECENT_RECORDS, self._rows(*values)))

    async def _rows(self, key: str, since_ms: int, limit: int) -> list[bytes]:
        records = await self._store.records.recent(key, since_ms, limit)
        return [msgspec.json.encode(record) for record in records]

    def _show_others(self, number: int, _: tuple[()]) -> None:
        self._do(number, self._answer(number, messages.SHOWN, self._crew.shown_by_others(self)))

    # -- doing and answering --------------------------------------------------------------------

    def _do(self, number: int, work: Any) -> None:
        doing = self._doing[number] = asyncio.create_task(self._guarded(number, work))
        doing.add_done_callback(lambda _: self._doing.pop(number, None))

    async def _guarded(self, number: int, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who asked is told
            self._fail(number, error)

    async def _answer(self, number: int, call: Call[Any], doing: Awaitable[Any]) -> None:
        answer = await doing
        if not call.is_list:
            self.say(messages.answer_frame(number, answer))
            return
        for start in range(0, len(answer), PART):
            part = answer[start : start + PART]
            self.say(messages.answer_frame(number, part, True))
            if self.link is not None:
                await self.link.drain()
        self.say(messages.answer_frame(number, []))

    def _refuse(self, number: int, refusal: Refusal, room: int) -> None:
        self.say(messages.encode(messages.refused(number, refusal, room)))

    def _fail(self, number: int, error: BaseException) -> None:
        if not isinstance(error, Fault | ValueError):
            log.error("a worker asked for what failed: %s: %s", type(error).__name__, error)
        self.say(messages.encode(messages.fault(number, error)))
