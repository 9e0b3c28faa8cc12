"""The server's shell: bind, say when ready, serve, and stop without losing a call.

Not uvicorn's own `Server`: that one raises the signal again when done, answers a taken port with a
log line and exit status 3, and ends the app before its cancelled requests have ended.
"""

import asyncio
import errno
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final

import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

from tokenward.http.handshakes import TlsDoor
from tokenward.http.lifespan import App, lifespan
from tokenward.http.protocol import ConnectionLimits, StrictConnection
from tokenward.kernel.errors import SettingsError

BACKLOG: Final = 2048
# For requests that were cancelled to settle what they owe, and for the app to write it down.
CANCELLED_WAIT_S: Final = 5.0
APP_STOP_WAIT_S: Final = 30.0
_POLL_S: Final = 0.02


class Stopping:
    """Asked once: let running calls end. Asked again: end them now."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()
        self.is_urgent = False

    def ask(self) -> None:
        """Stop, or stop now."""
        self.is_urgent = self.is_asked.is_set()
        self.is_asked.set()


def run(
    app: App,
    host: str,
    port: int,
    *,
    drain_s: float,
    limits: ConnectionLimits,
    on_ready: Callable[[str, int], None],
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return; a second signal cuts the draining.

    Raises `SettingsError` when it cannot listen there, and whatever the app raises on starting.
    """

    async def serve_until_signalled() -> None:
        stopping = Stopping()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.ask)
        await serve(
            app,
            host,
            port,
            drain_s=drain_s,
            limits=limits,
            on_ready=on_ready,
            stopping=stopping,
            tls=tls,
        )

    uvloop.run(serve_until_signalled())


async def serve(
    app: App,
    host: str,
    port: int,
    *,
    drain_s: float,
    limits: ConnectionLimits,
    on_ready: Callable[[str, int], None],
    stopping: Stopping,
    tls: ssl.SSLContext | None = None,
    sockets: Sequence[socket.socket] = (),
) -> None:
    """Serve until `stopping` is asked. `on_ready` gets the real host and port (0: any free one).
    With `tls`, every connection is TLS. With `sockets`, those are served: they are bound already.

    Then: no new connections; running calls have `drain_s` to end and are cancelled after that;
    the app's lifespan ends last, when every call has.
    """
    state = ServerState()
    config = Config(
        app,
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # the guard's own record is the log of requests
        proxy_headers=False,  # X-Forwarded-For is the guard's to judge
        server_header=False,
    )
    config.load()

    def connect() -> StrictConnection:
        return StrictConnection(config, state, {}, limits)

    def is_full() -> bool:
        return len(state.connections) >= limits.connections

    tls_door = None if tls is None else TlsDoor(tls, connect, is_full, limits)
    servers = await _bind(tls_door or connect, host, port, sockets)
    try:
        async with lifespan(app, stop_wait_s=APP_STOP_WAIT_S):
            for server in servers:
                await server.start_serving()
            bound_host, bound_port = servers[0].sockets[0].getsockname()[:2]
            try:
                on_ready(bound_host, bound_port)
                await stopping.is_asked.wait()
            finally:
                for server in servers:
                    server.close()
                if tls_door is not None:
                    tls_door.close()
                await _drain(state, drain_s, stopping)
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


def bind(host: str, port: int, count: int) -> list[tuple[socket.socket, ...]]:
    """Sockets on the same address for `count` processes, not listening yet. The kernel gives each
    new connection to one of them by its addresses, so that the kept connections of one client
    spread over all. Raises `SettingsError`.

    One socket that all share would go to whichever process is quickest: in trials with two idle
    processes one of them took up to 16 of 16 connections.
    """
    _check_port(port)
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        for family, address in places:
            # Others of this user could share the port too: so first see that it is free.
            with _bound(family, (address[0], port, *address[2:]), is_shared=False) as alone:
                port = alone.getsockname()[1]
        return [
            tuple(
                _bound(family, (address[0], port, *address[2:]), is_shared=True)
                for family, address in places
            )
            for _ in range(count)
        ]
    except OSError as error:
        raise SettingsError(_why_not_bound(error, host, port)) from None


def _bound(family: int, address: tuple[object, ...], is_shared: bool) -> socket.socket:
    each = socket.socket(family, socket.SOCK_STREAM)
    try:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        each.bind(address)
    except OSError:
        each.close()
        raise
    return each


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:  # uvloop would take the rest of dividing it
        raise SettingsError(f"{port} is no port; choose one from 0 to 65535 with --port")


async def _bind(
    connect: Callable[[], asyncio.Protocol],
    host: str,
    port: int,
    sockets: Sequence[socket.socket],
) -> list[asyncio.Server]:
    create = asyncio.get_running_loop().create_server
    if sockets:
        return [
            await create(connect, sock=each, backlog=BACKLOG, start_serving=False)
            for each in sockets
        ]
    _check_port(port)
    try:
        return [await create(connect, host, port, backlog=BACKLOG, start_serving=False)]
    except OSError as error:
        raise SettingsError(_why_not_bound(error, host, port)) from None


def _why_not_bound(error: OSError, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{host!r} is no address of this machine; choose another with --host"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken; choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights; choose one above 1023 with --port"
    return f"cannot listen on {host} port {port}: {error.strerror or error}"


async def _drain(state: ServerState, drain_s: float, stopping: Stopping) -> None:
    for connection in tuple(state.connections):
        connection.shutdown()
    await _until_ended(state, drain_s, lambda: stopping.is_urgent)
    for task in tuple(state.tasks):
        task.cancel()
    await _until_ended(state, CANCELLED_WAIT_S, lambda: not state.tasks)
    for connection in tuple(state.connections):
        connection.transport.abort()


async def _until_ended(state: ServerState, wait_s: float, is_over: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + wait_s
    while (state.tasks or state.connections) and not is_over():
        if loop.time() >= end_s:
            return
        await asyncio.sleep(_POLL_S)
