"""TLS connections before they are any: each has a time to come up, and all of them a number.

The event loop's own TLS servers count neither, so a caller who opens connections and says nothing
could take every file of the process.
"""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from typing import cast

from tokenward.http.protocol import ConnectionLimits


class TlsDoor:
    """Makes the protocol of each connection: TLS, and inside it what `connect` makes.

    When `limits.handshakes` are under way the oldest makes room: whoever means it is done in a
    moment. A connection for which `is_full` leaves no room is cut at once, before it costs a
    signature.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        connect: Callable[[], asyncio.Protocol],
        is_full: Callable[[], bool],
        limits: ConnectionLimits,
    ) -> None:
        self._context = context
        self._connect = connect
        self._is_full = is_full
        self._limits = limits
        self._waiting: dict[asyncio.Transport, None] = {}  # in the order they came

    def __call__(self) -> asyncio.Protocol:
        """For the next connection."""
        return _Arriving(self)

    def close(self) -> None:
        """Cut what is not up yet."""
        for transport in tuple(self._waiting):
            transport.abort()

    def take(self, transport: asyncio.Transport) -> None:
        """Begin the handshake on a new connection."""
        if self._is_full():
            transport.abort()
            return
        if len(self._waiting) >= self._limits.handshakes:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.abort()
        loop = asyncio.get_running_loop()
        is_up: asyncio.Future[None] = loop.create_future()
        tls = _Tls(
            loop,
            self._connect(),
            self._context,
            is_up,
            server_side=True,
            # typeshed says int; asyncio takes any number of seconds
            ssl_handshake_timeout=self._limits.handshake_wait_s,  # type: ignore[arg-type]
            ssl_shutdown_timeout=self._limits.write_wait_s,
        )

        def forget(ended: asyncio.Future[None]) -> None:
            self._waiting.pop(transport, None)
            if not ended.cancelled():
                ended.exception()  # a caller who cannot speak TLS is nobody's error

        self._waiting[transport] = None
        is_up.add_done_callback(forget)
        transport.set_protocol(tls)
        tls.connection_made(transport)


class _Tls(SSLProtocol):
    """With a small buffer, which each connection has for itself: the library's own is 256 KiB, of
    which thousands of silent callers would fill the memory. A record of TLS is 16 KiB."""

    max_size = 32 * 1024


class _Arriving(asyncio.Protocol):
    """A connection that is just accepted: nothing has been read from it yet."""

    def __init__(self, door: TlsDoor) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._door.take(cast(asyncio.Transport, transport))
