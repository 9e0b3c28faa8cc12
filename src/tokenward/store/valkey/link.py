"""One connection to one server, shared by all who ask at once.

What is asked within one turn of the loop goes out together and is answered in order: packing many
calls by hand costs a tenth of a client library's calls one by one. An answer that does not come
within the limit ends the connection, and with it every call that waits: what the server still does
with them nobody hears, so they are faults, and never sent again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.store.valkey.address import Address
from tokenward.store.valkey.library import Calls
from tokenward.store.valkey.resp import GarbledError, Reader, Reply, ServerSaidError

WAITING_MAX: Final = 10_000
"""Calls of one connection; about 5 MB. More are refused at once."""
LAST_LOOK_S: Final = 0.02
"""After a pause of this process timers come before the answers that have long been there."""


class Link(asyncio.Protocol):
    """A connection that is open until `why_closed` says why it is not.

    `on_end` hears of its end, and `on_refusal` of every call that the server did not take.
    """

    def __init__(
        self,
        address: Address,
        limit_s: float,
        on_end: "Callable[[Link], None]",
        on_refusal: "Callable[[Link, ServerSaidError], None]",
    ) -> None:
        self.address = address
        self.why_closed = "it is not open yet"
        self.calls = Calls()
        self._limit_s = limit_s
        self._on_end, self._on_refusal = on_end, on_refusal
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = Reader()
        self._unsent: list[bytes] = []
        self._waiting: deque[tuple[float, asyncio.Future[Reply]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_overdue = False

    @property
    def is_open(self) -> bool:
        """Whether calls may be made."""
        return not self.why_closed

    @property
    def waiting(self) -> int:
        """Calls that wait for their answer."""
        return len(self._waiting)

    def run(
        self, name: str, keys: tuple[bytes, ...], args: tuple[bytes, ...]
    ) -> asyncio.Future[Reply]:
        """Call a function of the library."""
        return self.send(self.calls.pack(name, keys, args))

    def send(self, command: bytes) -> asyncio.Future[Reply]:
        """Send a packed command with the others of this turn. Raises `StoreError`, here or from
        the future: `ServerSaidError` where it certainly was not done."""
        if self.why_closed:
            raise StoreError(f"{self.address}: {self.why_closed}")
        if len(self._waiting) >= WAITING_MAX:
            raise StoreBusyError(f"{self.address}: {WAITING_MAX:,} calls wait for an answer")
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(command)
        answer: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting.append((self._loop.time() + self._limit_s, answer))
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit_s, self._check)
        return answer

    def close(self, why: str = "it was closed") -> None:
        """End it at once; whoever waits hears why."""
        self._end(why, StoreError)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport, self.why_closed = cast(asyncio.Transport, transport), ""

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._is_overdue = False
        try:
            for reply in self._reader.feed(data):
                self.take(reply)
        except GarbledError as error:
            self._end(str(error), GarbledError)

    def take(self, reply: Reply) -> None:
        """Give a reply to whoever waits longest."""
        if not self._waiting:
            raise GarbledError("the server answered what nobody asked")
        _, answer = self._waiting.popleft()
        if isinstance(reply, ServerSaidError):
            if not answer.done():
                answer.set_exception(reply)
            self._on_refusal(self, reply)
        elif not answer.done():
            answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._end(f"the connection ended{f' ({exc})' if exc else ''}", StoreError)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and not self.why_closed:
            self._transport.write(b"".join(unsent))

    def _check(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        left_s = self._waiting[0][0] - self._loop.time()
        if left_s <= 0 and self._is_overdue:
            self._end(f"no answer within {self._limit_s:g} s", StoreBusyError)
            return
        self._is_overdue = left_s <= 0
        self._timer = self._loop.call_later(max(left_s, LAST_LOOK_S), self._check)

    def _end(self, why: str, fault: type[StoreError]) -> None:
        if self._transport is None:
            return
        self._transport.abort()
        self._transport, self.why_closed = None, why
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, deque()
        for _, answer in waiting:
            if not answer.done():
                answer.set_exception(fault(f"{self.address}: {why}"))
        self._on_end(self)


def heard(answer: "asyncio.Future[Reply]") -> None:
    """For calls whose outcome nobody waits for."""
    if not answer.cancelled():
        answer.exception()
