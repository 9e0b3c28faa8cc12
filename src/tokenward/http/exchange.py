"""One request and its answer on a caller's connection: what ASGI calls `receive` and `send`.

Written for few steps a message: the head is joined and checked once, whole, and a body that came
with the head is there before the app asks for it (`WHOLE_BODY`).
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, MutableMapping
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tokenward.http.lifespan import App, Message

log = logging.getLogger("tokenward.http")

WHOLE_BODY: Final = "tokenward.whole_body"
"""The ASGI extension under which a body stands that came with its head: no need to wait for it."""
WHOLE_BODY_BYTES_MAX: Final = 64 * 1024
# RFC 9110 5.1 and 5.5; lines that an odd value would add are counted beside this.
_HEAD: Final = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9a-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")
_BODILESS: Final = frozenset((204, 304))


class Outlet:
    """What an exchange may do to its connection; `close` lets the caller read first."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class Exchange:
    """The attributes are those that uvicorn's connection sets and reads.

    `keep_alive` is False until the request has been read to its end: an answer that starts before
    that cannot be followed by another. `on_bug` is what a caller gets when the app raised before
    it answered.
    """

    def __init__(
        self,
        scope: MutableMapping[str, Any],
        outlet: Outlet,
        flow: FlowControl,
        *,
        expects_continue: bool,
        on_response: Callable[[], None],
        on_bug: Callable[[], bytes],
    ) -> None:
        self.scope = scope
        self.flow = flow
        self.message_event = asyncio.Event()
        self.on_response = on_response
        self.disconnected = False
        self.keep_alive = False
        self.waiting_for_100_continue = expects_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self._outlet = outlet
        self._on_bug = on_bug
        self._is_chunked = False
        self._has_body = True
        self._left_bytes: int | None = None  # of the content-length, if one was announced
        self._unwritten = b""  # the head, until the loop's next turn: most bodies come with it

    async def run_asgi(self, app: App) -> None:
        """Have the app answer. An answer without an end is cut, so that it cannot look whole."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            pass  # the server is stopping, and the app did not catch it: end as if it had returned
        except Exception as bug:  # noqa: BLE001 - one request's bug must not end the connection task
            place = bug.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_qualname}:{place.tb_lineno}" if place else "?"
            log.error("a request ended in a bug: %s in %s", type(bug).__name__, where)
        finally:
            if not self.disconnected and not self.response_started:
                self.keep_alive = False
                self.response_started = self.response_complete = True
                self._outlet.write(self._on_bug())
                self._outlet.close()
            elif not self.disconnected and not self.response_complete:
                self._flush()
                self._outlet.close()
            self.on_response = lambda: None

    def take_end(self) -> None:
        """The request was read to its end. What came so early needs no asking for."""
        self.more_body = False
        if len(self.body) <= WHOLE_BODY_BYTES_MAX and not self.waiting_for_100_continue:
            self.scope.setdefault("extensions", {})[WHOLE_BODY] = bytes(self.body)

    async def receive(self) -> Message:
        """The next part of the body, or that the caller is gone or answered."""
        if self.waiting_for_100_continue and not self._outlet.is_closing():
            self._outlet.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Write the head or a part of the body; waits while the caller reads slowly."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            assert not self.response_started, "an answer has one head"
            self._write_head(message["status"], message["headers"])
        else:
            assert self.response_started, "an answer starts with its head"
            assert not self.response_complete, "an answer ends once"
            self._write_body(message.get("body", b""), is_last=not message.get("more_body", False))

    def _write_head(self, status: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        length: bytes | None = None
        has_date = False
        parts: list[bytes] = []
        for name, value in headers:
            if name == b"content-length":
                length = value
            has_date |= name == b"date"
            parts += (name, b": ", value, b"\r\n")
        head = b"".join(parts)
        if head.count(b"\n") != len(headers) or _HEAD.fullmatch(head) is None:
            raise ValueError("a header of the answer has a name or value that cannot be in HTTP")
        self.response_started = True
        self.waiting_for_100_continue = False
        end = b"\r\n" if has_date else _date_line(int(time.time())) + b"\r\n"
        self._has_body = self.scope["method"] != "HEAD" and status not in _BODILESS
        if self._has_body and length is not None:
            self._left_bytes = int(length)
        elif self._has_body and self.scope["http_version"] == "1.1":
            self._is_chunked = True
            end = b"transfer-encoding: chunked\r\n" + end
        elif self._has_body:
            self.keep_alive = False  # only the connection's end ends it (RFC 9112 6.3)
        if not self.keep_alive:
            end = b"connection: close\r\n" + end
        self._unwritten = STATUS_LINE[status] + head + end
        asyncio.get_running_loop().call_soon(self._flush)

    def _write_body(self, body: bytes, *, is_last: bool) -> None:
        if not self._has_body:
            body = b""
        elif self._is_chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if is_last:
                body += b"0\r\n\r\n"
        elif self._left_bytes is not None:
            self._left_bytes -= len(body)
            if self._left_bytes < 0 or (is_last and self._left_bytes > 0):
                raise ValueError("the answer is longer or shorter than its content-length")
        self._flush(body)
        if is_last:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self._outlet.close()
            self.on_response()

    def _flush(self, body: bytes = b"") -> None:
        unwritten, self._unwritten = self._unwritten + body, b""
        if unwritten and not self.disconnected:
            self._outlet.write(unwritten)


@lru_cache(maxsize=1)
def _date_line(now_s: int) -> bytes:
    """RFC 9110 section 6.6.1. A signer whose clock is wrong learns here what time it is."""
    return b"date: " + formatdate(now_s, usegmt=True).encode("ascii") + b"\r\n"
