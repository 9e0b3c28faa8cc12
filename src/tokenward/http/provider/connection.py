"""One connection to a provider, one call at a time."""

import asyncio
import math
import select
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from tokenward.http.provider.address import Origin
from tokenward.http.provider.answer import HttpAnswer
from tokenward.http.provider.parser import AnswerParser, GarbledError

_JOINED_BYTES_MAX: Final = 64 * 1024
"""A body up to this size goes out in one piece with its head."""
_PIECE_BYTES: Final = 256 * 1024
_READ_AHEAD_BYTES: Final = 64 * 1024
"""Of a body whose reader is slow; then the provider has to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long a provider may be silent: before the answer's head, within its body, and between
    two calls."""

    head_s: float
    body_s: float
    between_s: float


class Connection(asyncio.Protocol):
    """An asyncio protocol. `on_free` is called when a call has ended, however it did; `on_gone`
    when the connection is lost between two calls.

    `is_open` is False from the moment when it can carry no call any more; `gone` is done when the
    socket is closed.
    """

    def __init__(
        self,
        origin: Origin,
        waits: Waits,
        on_free: Callable[["Connection"], None],
        on_gone: Callable[["Connection"], None],
    ) -> None:
        self.origin = origin
        self.is_open = False
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._waits = waits
        self._on_free = on_free
        self._on_gone = on_gone
        self._answer: HttpAnswer | None = None
        self._unwritten = memoryview(b"")  # of the request's body
        self._is_writing_paused = False
        self._is_reading_paused = False
        # One timer for all waits: it never sleeps longer than the shortest of them, and asks then.
        self._silence_s = waits.between_s
        self._deadline_s = 0.0
        self._step_s = min(waits.head_s, waits.body_s, waits.between_s)
        self._timer: asyncio.TimerHandle | None = None
        self._pending = select.poll()
        self._tcp: asyncio.Transport
        self._transport: asyncio.Transport

    def open(self, transport: asyncio.Transport) -> None:
        """Ready for calls, unless it is lost already. `transport` is what to write on: with TLS
        another one than what `connection_made` was given."""
        self._transport = transport
        if not self._tcp.is_closing():
            self.is_open = True
            self._pending.register(self._tcp.get_extra_info("socket").fileno(), select.POLLIN)
            self._expect(self._waits.between_s)
            self._watch()

    async def call(self, head: bytes, body: bytes, *, is_head: bool) -> HttpAnswer:
        """Write the request and wait for the answer's head. Raises `BrokenError`.

        A body that the provider refuses before all of it is written is not written to its end.
        """
        assert self.is_open, "a call needs an open connection"
        assert self._answer is None, "one call at a time"
        answer = HttpAnswer(self, AnswerParser(is_to_head=is_head), self.origin.authority)
        self._answer = answer
        self._expect(self._waits.head_s)
        if len(body) <= _JOINED_BYTES_MAX:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._unwritten = memoryview(body)
            self._write_on(answer)
        await answer.arrive()
        return answer

    def is_quiet(self) -> bool:
        """Whether it is fresh, and nothing has come since the last answer, not even an end that the
        event loop has not heard of yet: a request written now would be lost in it."""
        is_fresh = self.is_open and self._loop.time() < self._deadline_s
        return is_fresh and not self._pending.poll(0)

    def resume(self) -> None:
        """All that had come was read."""
        if self._is_reading_paused:
            self._is_reading_paused = False
            self._expect(self._silence_s)
            if not self._tcp.is_closing():
                self._tcp.resume_reading()

    def hang_up(self) -> None:
        """Close at once. A call under way is broken."""
        if self.is_open:
            self._break("tokenward let go of it")

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is TCP; calls wait until `open`."""
        self._tcp = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer, or of something nobody asked for."""
        answer = self._answer
        if answer is None:
            self.hang_up()
            self._tcp.abort()  # also before `open`
            return
        parser = answer.parser
        try:
            parser.feed(data)
        except GarbledError as error:
            self._break(f"what came is no sound answer ({error})")
            return
        if parser.is_whole:
            self._finish(answer)
            return
        self._expect(self._waits.body_s if parser.has_head else self._waits.head_s)
        if parser.waiting_bytes > _READ_AHEAD_BYTES:
            self._deadline_s = math.inf  # it is the caller who is silent
            if not self._is_reading_paused:
                self._is_reading_paused = True
                self._tcp.pause_reading()
        answer.wake()

    def eof_received(self) -> None:
        """A clean end, as far as TCP goes."""
        answer = self._answer
        if answer is not None and _is_genuine_end(self._transport):
            answer.parser.feed_eof()
            if answer.parser.is_whole:
                self._finish(answer)
        if self.is_open:
            self._break("it was closed")

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by whomever."""
        if self.is_open:
            self._break("it was closed" if exc is None else f"it failed ({type(exc).__name__})")
        self.gone.set_result(None)

    def pause_writing(self) -> None:
        """The provider reads more slowly than the request is written."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._is_writing_paused = False
        if self._answer is not None:
            self._expect(self._silence_s)
            self._write_on(self._answer)

    def _write_on(self, answer: HttpAnswer) -> None:
        if answer.parser.status >= 300:
            return  # refused before all of it was there: it does not want the rest (RFC 9112 9.5)
        # In pieces, because one write of all would hold the loop, and a second copy in the buffer.
        while self._unwritten and not (self._is_writing_paused or self._tcp.is_closing()):
            self._transport.write(self._unwritten[:_PIECE_BYTES])
            self._unwritten = self._unwritten[_PIECE_BYTES:]

    def _finish(self, answer: HttpAnswer) -> None:
        self._answer = None
        answer.end(None)
        if answer.parser.can_be_followed and self._is_all_sent():
            self.resume()
            self._expect(self._waits.between_s)
        else:
            self._shut()
        self._on_free(self)

    def _is_all_sent(self) -> bool:
        buffered = self._transport.get_write_buffer_size() or self._tcp.get_write_buffer_size()
        return not self._unwritten and not buffered

    def _break(self, why: str) -> None:
        answer, self._answer = self._answer, None
        self._shut()
        if answer is None:
            self._on_gone(self)
        else:
            answer.end(why)
            self._on_free(self)

    def _shut(self) -> None:
        self.is_open = False
        self._unwritten = memoryview(b"")
        if self._timer is not None:
            self._timer.cancel()
        self._tcp.abort()  # close() would wait for a provider that does not read

    def _expect(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._deadline_s = self._loop.time() + silence_s

    def _watch(self) -> None:
        left_s = self._deadline_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(min(left_s, self._step_s), self._watch)
        else:
            self._break(f"it was silent for {self._silence_s:g} s")


def _is_genuine_end(transport: asyncio.Transport) -> bool:
    """Anybody on the way can end TCP; with TLS an end counts that the provider itself has told, by
    close_notify (RFC 9112 9.8). uvloop reports no other, the stock loop does."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return not tls.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False
