"""One caller's connection: uvicorn's HTTP/1.1, with limits, and no second guess about a request.

llhttp (through httptools) already refuses what two parsers could read differently: length and
chunked at once, doubled or odd lengths, folded headers, bare line feeds, control characters. This
adds what neither it nor uvicorn does, each for the reason beside it.
"""

import asyncio
import secrets
import ssl
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from tokenward.http.certificates import CLIENT_CERTIFICATE
from tokenward.http.exchange import Exchange, Outlet
from tokenward.http.wire import WIRE_NAMES

# After an answer the caller may still be sending: closing then would reset the connection and
# take the answer away from it. So we stop writing, read on into the void, and close soon.
LINGER_S: Final = 2.0
DISCARDED_BYTES_MAX: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What one caller, and all of them, may take of the server.

    `header_wait_s` from the first byte (or the connection) to a request's last header;
    `write_wait_s` how long a caller may leave what was written to it unread. With TLS,
    `handshakes` may be under way at once, each for `handshake_wait_s`.
    """

    connections: int = 4096
    header_bytes: int = 64 * 1024
    headers: int = 100
    header_wait_s: float = 10.0
    keep_alive_s: float = 75.0
    write_wait_s: float = 60.0
    handshakes: int = 512
    handshake_wait_s: float = 10.0


@dataclass(frozen=True, slots=True)
class _No:
    """Why the server itself will not pass a request on."""

    status: int
    code: str
    message: str


_MALFORMED: Final = _No(400, "request:malformed", "This is not a well-formed HTTP/1.1 request.")
_NO_HOST: Final = _No(400, "request:malformed", "A request carries exactly one Host header.")
_VERSION: Final = _No(505, "request:malformed", "This server speaks HTTP/1.1.")
_TARGET: Final = _No(
    400, "request:malformed", "The request target must be a path; this is not a forward proxy."
)
_UPGRADE: Final = _No(
    400, "request:upgrade", "This server does not change protocols. Call without Upgrade."
)
_CODING: Final = _No(501, "request:malformed", "A body may be chunked, and coded no other way.")
_TRAILERS: Final = _No(400, "request:malformed", "Headers after the body are not taken.")
_TOO_LARGE: Final = _No(431, "request:headers_too_large", "The headers are larger than allowed.")
_SLOW: Final = _No(408, "request:timeout", "The headers did not come in time.")
_FULL: Final = _No(503, "server:full", "Too many connections are open. Try again.")
_BUG: Final = _No(500, "guard:bug", "tokenward failed on this request. It was not sent on.")


class _RefusedError(Exception):
    """Leaves a parser callback; httptools then stops parsing."""


class StrictConnection(HttpToolsProtocol):
    """An asyncio protocol that runs one ASGI request after the other, never two at once."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        limits: ConnectionLimits,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.timeout_keep_alive = limits.keep_alive_s  # type: ignore[assignment]  # seconds
        self._limits = limits
        self._certificate: bytes | None = None  # the caller's, as DER
        self._no = _MALFORMED
        self._wire_names: list[bytes] = []  # beside `headers`, as the caller wrote them
        self._is_in_head = False
        self._is_whole = False  # the request has been read to its end
        self._is_deaf = False  # what still comes in is thrown away
        self._wants_keep_alive = False
        self._raw_head_bytes = 0  # of the packets that bring it
        self._discarded_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        self._certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self._outlet = Outlet(transport, self.finish)
        if len(self.connections) > self._limits.connections:
            self._is_deaf = True
            transport.write(_answer(_FULL))
            transport.close()  # no lingering: under a flood that would be one more way to fill up
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._end_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > DISCARDED_BYTES_MAX:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._stop_listening()
            return
        if self._is_in_head:
            # A header still on its way is not reported yet, so count what came.
            self._raw_head_bytes += len(data)
            if self._raw_head_bytes > self._limits.header_bytes:
                self._refuse(_TOO_LARGE)
                return
        if self._head_timer is None and (self._is_in_head or self._is_idle()):
            self._await_head()

    def on_message_begin(self) -> None:
        if not self._is_idle():
            # A pipelined request: the answer to it would depend on this one's. No SDK does this.
            raise _RefusedError
        super().on_message_begin()
        self._no = _MALFORMED
        self._wire_names = []
        self._is_in_head, self._is_whole = True, False
        self._raw_head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:  # uvicorn would add a trailer to the headers of a running request
            self._reject(_TRAILERS)
        self._wire_names.append(name)
        self.headers.append((name.lower(), value))
        if len(self.headers) > self._limits.headers:
            self._reject(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Like uvicorn's, but refuses before the app hears of it, and parses no absolute URL."""
        self._is_in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        version = self.parser.get_http_version()
        problem = self._read_head(version)
        if problem is not None:
            self._reject(problem)
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("ascii")
        scope = cast(MutableMapping[str, Any], self.scope)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        scope["extensions"] = {WIRE_NAMES: tuple(self._wire_names)}
        if self._certificate is not None:
            scope["extensions"][CLIENT_CERTIFICATE] = self._certificate
        # An answer that starts before the body has been read cannot be followed by another.
        self._wants_keep_alive = version == "1.1" and self.parser.should_keep_alive()
        exchange = Exchange(
            scope,
            self._outlet,
            self.flow,
            expects_continue=self.expect_100_continue,
            on_response=self.on_response_complete,
            on_bug=lambda: _answer(_BUG),
        )
        self.cycle = cast(RequestResponseCycle, exchange)  # in all that uvicorn asks of it
        self._start_asgi_task(self.cycle, self.app)

    def on_message_complete(self) -> None:
        self._is_whole = True
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._wants_keep_alive
        if not self.cycle.response_complete:
            cast(Exchange, self.cycle).take_end()
            self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        if not self._is_deaf:  # else the connection is on its way out
            super().on_response_complete()

    def shutdown(self) -> None:
        """The server is stopping: no request after this one."""
        self._wants_keep_alive = False
        super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        # Nothing may wait for ever on a caller that does not read: to it, that is hanging up.
        self._write_timer = self.loop.call_later(self._limits.write_wait_s, self.transport.abort)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
        super().resume_writing()

    def finish(self) -> None:
        """Close once the caller has what was written; reset if it does not take it."""
        if self.transport.is_closing() or self._end_timer is not None:
            return
        self._is_deaf = True
        if self._is_whole:
            self._close()
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._end_timer = self.loop.call_later(LINGER_S, self.transport.abort)
        else:  # TLS has no half-closed connections: its answers say themselves where they end
            self._end_timer = self.loop.call_later(LINGER_S, self._close)

    def _close(self) -> None:
        self.transport.close()
        self._end_timer = self.loop.call_later(self._limits.write_wait_s, self.transport.abort)

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = (
            self.cycle
        )  # uvicorn declares it never None; before a request it is
        return cycle is None or cycle.response_complete

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.header_wait_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._is_in_head:
            self._refuse(_SLOW)
        elif self._is_idle() and not self._is_deaf:
            self.transport.close()

    def _read_head(self, version: str) -> _No | None:
        """Why this head is not passed on; None if it is."""
        if version not in ("1.1", "1.0"):
            return _VERSION  # llhttp lets 0.9 and 2.0 through
        if self.parser.should_upgrade():
            return _UPGRADE  # llhttp would take this request's body for another protocol
        if not self.url.startswith(b"/") or b"#" in self.url:
            return _TARGET  # CONNECT, `*` and absolute URLs: a host to be confused about
        hosts, head_bytes = 0, len(self.url)
        for name, value in self.headers:
            head_bytes += len(name) + len(value) + 4
            if name == b"host":
                hosts += 1
            elif name == b"expect":
                self.expect_100_continue |= value.lower() == b"100-continue"
            elif name == b"transfer-encoding" and (value.lower() != b"chunked" or version == "1.0"):
                return _CODING  # llhttp takes `gzip, chunked`, and chunked in HTTP/1.0
        if head_bytes > self._limits.header_bytes:
            return _TOO_LARGE
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            return _NO_HOST
        return None

    def _reject(self, no: _No) -> None:
        self._no = no
        raise _RefusedError

    def _stop_listening(self) -> None:
        """What came cannot be understood, so nothing after it can be either."""
        self._is_deaf = True
        if self._is_idle() or (not self._is_whole and not self.cycle.response_started):
            self._refuse(self._no)
        elif not self.cycle.response_complete:
            # The request before was sound, or is answered already: that answer is the last one.
            self._wants_keep_alive = self.cycle.keep_alive = False

    def _refuse(self, no: _No) -> None:
        if not self._is_idle():
            self.cycle.disconnected = True  # what the app says to this request is dropped
            self.cycle.message_event.set()
        self.transport.write(_answer(no))
        self.finish()


def _answer(no: _No) -> bytes:
    error = {"message": no.message, "type": "invalid_request_error", "code": no.code}
    if no.status >= 500:
        error["type"] = "server_error"
    request_id = f"req_{secrets.token_hex(10)}"
    body = msgspec.json.encode({"error": error, "request_id": request_id})
    head = (
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n"
        f"x-request-id: {request_id}\r\n"
        f"x-should-retry: {'true' if no.status == 503 else 'false'}\r\n"
        "connection: close\r\n\r\n"
    )
    return STATUS_LINE[no.status] + head.encode("ascii") + body
