"""Passes bytes on, both ways, and does nothing else: what any process in the middle costs and adds
on this machine. Figures of the guard are told beside its.

    python -m benchmarks.relay PORT        (of whom to pass them to; prints its own)
"""

import asyncio
import sys
from functools import partial

import uvloop


class _Side(asyncio.Protocol):
    """One end; `other` is where its bytes go. What comes before there is one waits."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.other: _Side | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def join(self, other: "_Side") -> None:
        """From now on it passes to that one."""
        self.other = other
        other.transport.writelines(self._early)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


class _CallersSide(_Side):
    """The end of a caller, who gets a connection of its own to the other server."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self._joining: asyncio.Task[None]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._joining = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, other = await loop.create_connection(_Side, "127.0.0.1", self._port)
        other.join(self)
        self.join(other)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(_CallersSide, port), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
