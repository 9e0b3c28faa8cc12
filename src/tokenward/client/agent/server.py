"""The agent's server: on loopback only, stopped by signals, with a limit on everything."""

import asyncio
import errno
import logging
import signal
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from aiohttp import web

from tokenward.client.agent.relay import Relay
from tokenward.client.agent.screening import Screen, authorities_of
from tokenward.client.agent.signed_link import SignedLink
from tokenward.client.errors import ClientError
from tokenward.kernel.secret import Secret

CONNECTIONS_MAX: Final = 128
DRAIN_S: Final = 5.0
_IDLE_S: Final = 75.0
_HEADER_BYTES_MAX: Final = 64 * 1024
_HEADERS_MAX: Final = 100


class AgentServer:
    """Takes requests on loopback and sends them signed through `link`, which it closes in the end.

    Made within the loop it serves in, used once. Raises ClientError for a host that others could
    reach.
    """

    def __init__(
        self, link: SignedLink, token: Secret, host: str, port: int, warn: Callable[[str], None]
    ) -> None:
        self._host = loopback_address(host)
        self._port = port
        self._link = link
        self._token = token
        self._running = 0
        self._idle, self._stop, self._stop_now = (asyncio.Event() for _ in range(3))
        self._idle.set()
        self._bugs = _Bugs(warn)

    async def serve(self, on_ready: Callable[[str], None]) -> None:
        """Serve until `stop`, SIGTERM or SIGINT; `on_ready` gets the URL.

        Then running calls have a few seconds to end, until a second signal. Raises ClientError
        when it cannot listen.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        log = logging.getLogger("tokenward.agent")
        log.propagate = False
        log.addHandler(self._bugs)
        server = web.Server(
            self._answer,
            handler_cancellation=True,
            access_log=None,
            logger=log,
            keepalive_timeout=_IDLE_S,
            auto_decompress=False,
            max_line_size=_HEADER_BYTES_MAX,
            max_field_size=_HEADER_BYTES_MAX,
            max_headers=_HEADERS_MAX,
        )
        try:
            listening = await self._listen(server)
            port = listening.sockets[0].getsockname()[1]
            self._relay = Relay(Screen(self._token, authorities_of(port)), self._link)
            await listening.start_serving()
            shown = f"[{self._host}]" if ":" in self._host else self._host
            on_ready(f"http://{shown}:{port}")
            await self._stop.wait()
            listening.close()
        finally:
            await self._drain(server)
            await self._link.close()
            log.removeHandler(self._bugs)

    def stop(self) -> None:
        """End, or, when called again, end at once."""
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    async def _listen(self, server: web.Server) -> asyncio.Server:
        def connect() -> asyncio.Protocol:
            return _Full() if len(server.connections) >= CONNECTIONS_MAX else server()

        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(connect, self._host, self._port, start_serving=False)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                why = f"port {self._port} is taken, perhaps by an agent that runs already"
            elif error.errno == errno.EACCES:
                why = f"port {self._port} needs more rights"
            else:
                why = f"{self._host} port {self._port}: {error.strerror or error}"
            raise ClientError(f"The agent cannot listen: {why}. Choose another: --port") from None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._running += 1
        self._idle.clear()
        try:
            return await self._relay.answer(request)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _drain(self, server: web.Server) -> None:
        server.pre_shutdown()
        waits = [asyncio.create_task(event.wait()) for event in (self._idle, self._stop_now)]
        await asyncio.wait(waits, timeout=DRAIN_S, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        for connection in server.connections:
            connection.force_close()  # cancels what still runs on it
        await self._idle.wait()


def loopback_address(host: str) -> str:
    """The address of this machine that `host` means; ClientError for any other."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise ClientError(
        f"The agent listens on this machine only, and {host!r} could be reached from others, which "
        "could spend with your key. Use --host 127.0.0.1 or ::1"
    )


class _Full(asyncio.Protocol):
    """A connection above the limit: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class _Bugs(logging.Handler):
    """Says that a request failed in here, and by what; never a text, which could quote a header."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._warn = warn

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        kind = record.exc_info[0] if record.exc_info else None
        self._warn(f"A request could not be read or handled ({kind.__name__ if kind else '?'}).")
