"""A worker's end: what it asked and nobody answered yet, what it owes, and how fresh its view is.

Whatever is asked has a limit of time. Who gave up waiting says so (`Undo`), and the keeper takes
back what it gave or is about to give. What ends a hold is owed: it is sent again after a lost
link until it is answered. Pings go over the same ordered link as the keeper's pushes, so a pong
says: everything that was changed before has been told.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.keys.lease import Lease
from tokenward.store.workers import messages
from tokenward.store.workers.link import Link
from tokenward.store.workers.messages import Call, Refused

T = TypeVar("T")
Connect = Callable[[], Awaitable[Link]]
"""A new link to the keeper. Raises `StoreError` where there is none now, `OverError` where there
never will be."""
TICK_S: Final = 0.1
"""A ping each tick; what waits too long is told so at a tick."""
LATE_S: Final = 0.05
PINGS_MAX: Final = 64
SLOW_S: Final = 600.0
WAITING_MAX: Final = 4_096
OWED_MAX: Final = 65_536
AGAIN_S: Final = 0.05
AGAIN_MAX_S: Final = 1.0
AWAY: Final = "the process that keeps the records cannot be reached"


class OverError(StoreError):
    """Raised when there will never be a link again: nothing that is owed can be told any more."""


class Hearer(Protocol):
    """Hears what the keeper says unasked."""

    def heard(self, message: object) -> None:
        """A push."""
        ...

    def lost(self) -> None:
        """The link is lost: pushes are missed from now on."""
        ...

    def welcomed(self) -> None:
        """There is a link again, and nothing is missed from now on."""
        ...


class _Asked:
    """Something that was asked, and who waits for it."""

    __slots__ = ("call", "due_s", "future", "parts")

    def __init__(self, call: Call[Any], future: "asyncio.Future[Any]", due_s: float) -> None:
        self.call = call
        self.future = future
        self.due_s = due_s
        self.parts: list[Any] = []

    def fail(self, error: Exception) -> None:
        """Tell who waits; nobody waiting is fine."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # seen: a caller that does not wait is not a warning


class Begged(Generic[T]):
    """What was given under a number, or `refused`."""

    __slots__ = ("answer", "number", "refused")

    def __init__(self, number: int, answer: Any) -> None:
        self.number = number
        self.refused = answer if isinstance(answer, Refused) else None
        self.answer: T = answer


class Line:
    """The line to the keeper, over one link after the other. `view` is fresh while pongs come."""

    def __init__(
        self,
        connect: Connect,
        clock: Clock,
        *,
        instance: str,
        version: str,
        limit_s: float,
        hearer: Hearer,
    ) -> None:
        """`instance` names this worker among all that ever were; `limit_s` is how long anything
        that a call waits for may take."""
        self.view = Lease(clock)
        self.why_not_ready = ""
        """What the keeper says of itself."""
        self.is_silent = False
        """Something quick was not answered in time, and nothing was heard since."""
        self.is_open = False
        self._connect = connect
        self._clock = clock
        self._instance = instance
        self._version = version
        self._limit_s = limit_s
        self._hearer = hearer
        self._link: Link | None = None
        self._welcome: asyncio.Future[None] | None = None
        self._number = 0
        self._quick: dict[int, _Asked] = {}
        self._slow: dict[int, _Asked] = {}
        self._owed: dict[int, bytes] = {}
        self._undone: deque[tuple[int, int]] = deque()  # the last number then, what is undone
        self._pings: dict[int, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tick_s = self._hello_s = 0.0
        self._again: asyncio.Task[None] | None = None
        self._is_closed = self._is_over = False

    @property
    def waiting(self) -> int:
        """Asked and not answered."""
        return len(self._quick) + len(self._slow)

    async def open(self) -> None:
        """Connect for the first time. Raises `StoreError`, also if the keeper turns us away."""
        await self._greet()
        self._tick_s = asyncio.get_running_loop().time()
        self._tick()

    async def close(self) -> None:
        """Wait a moment for what is owed, then hang up. Once is enough."""
        if self._is_closed:
            return
        waiting = [self._quick[number].future for number in self._owed if number in self._quick]
        if waiting and self.is_open:
            await asyncio.wait(waiting, timeout=self._limit_s)
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._again is not None:
            self._again.cancel()
        if self._link is not None:
            self._link.close()
        self._let_go()

    # -- to be asked ----------------------------------------------------------------------------

    async def ask(self, call: Call[T], *values: object) -> T:
        """The answer. Raises `StoreError` or ValueError, as the store does."""
        begged = await self.beg(call, *values)
        assert begged.refused is None, "only what can be refused is"
        return begged.answer

    async def beg(self, call: Call[T], *values: object) -> "Begged[T]":
        """The answer or a refusal, with the number under which to take back what was given."""
        number = self._next()
        asked = self._ask(number, call, values)
        try:
            return Begged(number, await asked.future)
        except asyncio.CancelledError:
            self._pop(number)
            self.undo(number)
            raise

    def owe(self, call: Call[T], *values: object) -> "asyncio.Future[T]":
        """Ask now, and again after a lost link until it is answered, whoever still waits."""
        number = self._next()
        frame = _frame(number, call, values)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        asked = _Asked(call, future, self._clock.monotonic_s() + self._limit_s)
        if self._is_over or self._is_closed:
            asked.fail(StoreError(AWAY))
            return future
        if len(self._owed) >= OWED_MAX:
            asked.fail(StoreBusyError("too much waits for the process that keeps the records"))
            return future
        self._owed[number] = frame
        self._quick[number] = asked
        if self.is_open:
            assert self._link is not None
            self._link.send(frame)
            self._link.flush()  # before the caller's client hears that its call is over
        return future

    def undo(self, number: int) -> None:
        """Nobody needs what was asked under this number (any more)."""
        self._undone.append((self._number, number))
        if self.is_open:
            assert self._link is not None
            self._link.send(messages.encode(messages.Undo(number)))
            self._link.flush()

    def tell(self, message: messages.Said) -> bool:
        """Say something that needs no answer; False if nobody hears it now."""
        if self.is_open:
            assert self._link is not None
            self._link.send(messages.encode(message))
        return self.is_open

    # -- inside ---------------------------------------------------------------------------------

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _ask(self, number: int, call: Call[Any], values: tuple[object, ...]) -> _Asked:
        if not self.is_open:
            raise StoreError(AWAY)
        if self.is_silent:
            raise StoreBusyError("the process that keeps the records does not answer")
        waiting, limit_s = (self._slow, SLOW_S) if call.is_slow else (self._quick, self._limit_s)
        if len(waiting) >= WAITING_MAX or len(self._undone) >= OWED_MAX:
            raise StoreBusyError("too much waits for the process that keeps the records")
        assert self._link is not None
        frame = _frame(number, call, values)
        future = asyncio.get_running_loop().create_future()
        asked = waiting[number] = _Asked(call, future, self._clock.monotonic_s() + limit_s)
        self._link.send(frame)
        return asked

    def _pop(self, number: int) -> _Asked | None:
        return self._quick.pop(number, None) or self._slow.pop(number, None)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        is_late = loop.time() > self._tick_s + LATE_S
        self._tick_s = loop.time() + TICK_S
        self._timer = loop.call_later(TICK_S, self._tick)
        now_s = self._clock.monotonic_s()
        if not is_late:  # else answers may have come that this loop has not read yet
            self._expire(self._quick, now_s, self._limit_s)
            self._expire(self._slow, now_s, SLOW_S)
        self._ping(now_s)

    def _ping(self, now_s: float) -> None:
        if self.is_open and len(self._pings) < PINGS_MAX:
            number = self._next()
            self._pings[number] = now_s
            self.tell(messages.Ping(number))

    def _expire(self, waiting: dict[int, _Asked], now_s: float, limit_s: float) -> None:
        """The oldest come first, and all have the same limit."""
        while waiting:
            number, asked = next(iter(waiting.items()))
            if now_s < asked.due_s:
                return
            del waiting[number]
            if not asked.call.is_slow:  # reading for long is no silence
                self.is_silent = True
            asked.fail(
                StoreBusyError(f"the process that keeps the records took longer than {limit_s} s")
            )
            if number not in self._owed:
                self.undo(number)

    async def _greet(self) -> None:
        """Connect, and be welcome. Raises `StoreError`."""
        self._welcome = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._limit_s):
                link = self._link = await self._connect()
                link.start(partial(self._heard, link), partial(self._lost, link))
                self._hello_s = self._clock.monotonic_s()
                undone = [number for _, number in self._undone]
                hello = messages.Hello(self._version, self._instance, undone)
                link.send(messages.encode(hello))
                await self._welcome
        except TimeoutError:
            if self.is_open:
                return  # welcome in the very instant in which the time was over
            if self._link is not None:
                self._link.close()
            self._link = None
            raise StoreError(AWAY) from None

    async def _greet_again(self) -> None:
        pause_s = AGAIN_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                return await self._greet()
            except OverError as over:
                return self._give_up(over)
            except StoreError:
                pause_s = min(2 * pause_s, AGAIN_MAX_S)

    def _give_up(self, over: OverError) -> None:
        self._is_over = True
        self._owed.clear()
        for asked in self._quick.values():
            asked.fail(over)
        self._quick.clear()

    def _heard(self, link: Link, frame: bytes) -> None:
        if link is not self._link:
            return
        self.is_silent = False
        message = messages.read_heard(frame)
        match message:
            case messages.Answer():
                self._answered(message)
            case Refused():
                self._resolve(message.number, message)
            case messages.Fault():
                asked = self._end(message.number)
                if asked is not None:
                    asked.fail(messages.FAULTS[message.kind](message.why))
            case messages.Pong():
                self._heard_pong(message)
            case messages.Welcome():
                self._be_welcome()
            case messages.Unwelcome():
                self._link = None
                link.close()
                if self._welcome is not None and not self._welcome.done():
                    self._welcome.set_exception(StoreError(message.why))
            case _:
                self._hearer.heard(message)

    def _answered(self, message: messages.Answer) -> None:
        number = message.number
        asked = self._quick.get(number) or self._slow.get(number)
        if asked is None:
            self._owed.pop(number, None)  # who waited was told that it takes too long
            return
        answer = asked.call.read_answer(message.answer)
        if asked.call.is_list:
            asked.parts += answer
            answer = asked.parts
        if not message.goes_on:
            self._resolve(number, answer)

    def _resolve(self, number: int, answer: object) -> None:
        asked = self._end(number)
        if asked is not None and not asked.future.done():
            asked.future.set_result(answer)

    def _end(self, number: int) -> _Asked | None:
        self._owed.pop(number, None)
        return self._pop(number)

    def _heard_pong(self, pong: messages.Pong) -> None:
        """Everything said before its ping has been done."""
        sent_s = self._pings.pop(pong.number, None)
        if sent_s is None:
            return
        if not pong.is_blind:
            self.view.refresh(sent_s)
        self.why_not_ready = pong.why_not_ready
        while self._undone and self._undone[0][0] < pong.number:
            self._undone.popleft()

    def _be_welcome(self) -> None:
        assert self._link is not None
        self.is_open = True
        self.view.refresh(self._hello_s)
        for frame in self._owed.values():
            self._link.send(frame)
        if self._welcome is not None and not self._welcome.done():
            self._welcome.set_result(None)
        self._hearer.welcomed()

    def _lost(self, link: Link) -> None:
        if link is not self._link:
            return
        self._let_go()
        if self._welcome is not None and not self._welcome.done():
            self._welcome.set_exception(StoreError(AWAY))
        elif not self._is_closed:
            self._again = asyncio.get_running_loop().create_task(self._greet_again())

    def _let_go(self) -> None:
        """Nothing will be answered over this link. What was asked and not heard is undone."""
        self._link, was_open, self.is_open = None, self.is_open, False
        self.view.end()
        self._pings.clear()
        for waiting in (self._quick, self._slow):
            for number in [each for each in waiting if each not in self._owed]:
                waiting.pop(number).fail(StoreError(AWAY))
                self._undone.append((self._number, number))
        if was_open:
            self._hearer.lost()


def _frame(number: int, call: Call[Any], values: tuple[object, ...]) -> bytes:
    """ValueError for what cannot be said: a store could not keep it either."""
    try:
        return messages.ask_frame(number, call, values)
    except (OverflowError, UnicodeEncodeError) as error:
        raise ValueError(f"{error}: numbers have 64 bits, text is Unicode") from None
