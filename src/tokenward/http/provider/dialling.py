"""From an origin to a connection: its addresses, then TCP, then TLS. Nothing is sent on it yet."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Any, Final

from tokenward.http.provider.address import Origin
from tokenward.http.provider.connection import Connection

NAMES_KEPT_S: Final = 10.0
"""A burst of new connections asks for a name once; a provider that moves is followed soon."""
HEAD_START_S: Final = 0.25
"""Of an address before the next one is tried as well (RFC 8305 section 8)."""
# A call may wait for its head for minutes; without this, routers on the way forget it.
_KEEP_ALIVE_S: Final = 60
_SOCKET_OPTIONS: Final = (
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", _KEEP_ALIVE_S),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", _KEEP_ALIVE_S),
)


@dataclass(frozen=True, slots=True)
class Address:
    """What `connect` takes."""

    family: int
    where: tuple[Any, ...]


class Dialler:
    """Makes connections to any origin, with one idea of whom to trust."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._known: dict[Origin, tuple[float, Sequence[Address]]] = {}
        self._asking: dict[Origin, asyncio.Task[Sequence[Address] | OSError]] = {}

    async def dial(self, origin: Origin, connection: Connection) -> None:
        """Returns when `connection` is open. Raises OSError; ends with the caller's patience."""
        loop = asyncio.get_running_loop()
        try:
            end = await first_to_connect(await self._addresses(origin))
        except OSError:
            self._known.pop(origin, None)
            raise
        # From here the socket is the loop's, also when this fails.
        tcp, _ = await loop.create_connection(lambda: connection, sock=end)
        if origin.is_tls:
            connection.open(await self._secure(tcp, origin, connection))
        else:
            connection.open(tcp)

    async def _secure(
        self, tcp: asyncio.Transport, origin: Origin, connection: Connection
    ) -> asyncio.Transport:
        # Not by create_connection, which would hide TCP: reading is paused there, because TLS that
        # is paused loses what it holds when the provider closes.
        secured = await asyncio.get_running_loop().start_tls(
            tcp, connection, self._trust, server_hostname=origin.host.removesuffix(".")
        )
        if secured is None:  # a quiet end within the handshake; uvloop tells it as success
            raise ConnectionError("it closed at once")
        return secured

    async def _addresses(self, origin: Origin) -> Sequence[Address]:
        numeric = _numeric(origin)
        if numeric is not None:
            return (numeric,)
        until_s, known = self._known.get(origin, (0.0, ()))
        if asyncio.get_running_loop().time() < until_s:
            return known
        if origin not in self._asking:
            self._asking[origin] = asyncio.create_task(self._ask(origin))
        # One question for all who wait; it goes on when they leave.
        found = await asyncio.shield(self._asking[origin])
        if isinstance(found, OSError):
            raise OSError(*found.args)
        return found

    async def _ask(self, origin: Origin) -> Sequence[Address] | OSError:
        """Never raises: whoever waits looks at what came, and maybe nobody does."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except OSError as error:
            return error
        except UnicodeError:
            return OSError("it is not a name that DNS could know")
        finally:
            del self._asking[origin]
        addresses = _alternating([Address(each[0], each[4]) for each in found])
        now_s = loop.time()
        self._known = {each: known for each, known in self._known.items() if now_s < known[0]}
        self._known[origin] = (now_s + NAMES_KEPT_S, addresses)
        return addresses


async def first_to_connect(
    addresses: Sequence[Address], head_start_s: float = HEAD_START_S
) -> socket.socket:
    """A connected socket to one of them: the earlier ones get a head start, and the first that
    connects wins (RFC 8305 section 5). Raises the OSError of the first that failed, if all do.
    """
    if len(addresses) == 1:
        return await _connected(addresses[0])
    left = deque(addresses)
    trying: set[asyncio.Task[socket.socket]] = set()
    problem = OSError("it has no address")
    problems = 0
    try:
        while left or trying:
            if left:
                trying.add(asyncio.create_task(_connected(left.popleft())))
            done, _ = await asyncio.wait(
                trying,
                timeout=head_start_s if left else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                trying.discard(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if isinstance(error, OSError) and not problems:
                    problem = error
                problems += 1
        raise problem
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_give_up)


async def _connected(address: Address) -> socket.socket:
    end = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        end.setblocking(False)
        for level, name, value in _SOCKET_OPTIONS:
            if hasattr(socket, name):  # not every system has each
                end.setsockopt(level, getattr(socket, name), value)
        await asyncio.get_running_loop().sock_connect(end, address.where)
    except BaseException:
        end.close()
        raise
    return end


def _give_up(task: "asyncio.Task[socket.socket]") -> None:
    """One that lost, or came in at the same moment as the winner."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _numeric(origin: Origin) -> Address | None:
    """Of a host that is an address already: no thread has to be asked."""
    try:
        version = ip_address(origin.host).version
    except ValueError:
        return None
    if version == 4:
        return Address(socket.AF_INET, (origin.host, origin.port))
    return Address(socket.AF_INET6, (origin.host, origin.port, 0, 0))


def _alternating(addresses: Sequence[Address]) -> Sequence[Address]:
    """In the resolver's order, the families by turns (RFC 8305 section 4)."""
    if not addresses:
        return ()
    first = addresses[0].family
    ours = [each for each in addresses if each.family == first]
    others = [each for each in addresses if each.family != first]
    pairs = chain.from_iterable(zip_longest(ours, others))
    return tuple(each for each in pairs if each is not None)
