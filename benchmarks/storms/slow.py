"""A line between a gateway and a store that can be made slow, or cut. A process of its own, so that
it does not compete with the callers' event loop.

    python slow.py PORT     (prints its own port; then reads delays in seconds, `inf` cuts)
"""

import asyncio
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

READ_BYTES: Final = 64 * 1024
CUT_S: Final = math.inf


@dataclass(frozen=True, kw_only=True)
class SlowLine:
    """One running line."""

    port: int
    _orders: IO[str]

    def delay(self, delay_s: float) -> None:
        """Whatever a gateway says from now on arrives so much later; answers take no longer.

        With `CUT_S` it arrives never, as when a cable is pulled; the next delay ends that, and the
        connections that were cut are reset.
        """
        self._orders.write(f"{delay_s}\n")
        self._orders.flush()

    @classmethod
    @contextmanager
    def running(cls, port: int) -> "Iterator[SlowLine]":
        """A line to a port of loopback, gone when the context ends."""
        process = subprocess.Popen(
            [sys.executable, __file__, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield cls(port=int(process.stdout.readline()), _orders=process.stdin)
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


class _Line:
    """All connections of one line, and how late they are."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._delay_s = 0.0
        self._open: set[asyncio.StreamWriter] = set()

    def order(self, delay_s: float) -> None:
        if self._delay_s == CUT_S != delay_s:
            for writer in self._open:
                writer.transport.abort()
        self._delay_s = delay_s

    async def connected(self, near: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        try:
            far, into = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            out.transport.abort()
            return
        ends = {out, into}
        self._open |= ends
        both = (self._say(near, into), self._answer(far, out))
        await asyncio.gather(*both, return_exceptions=True)
        for writer in ends:
            writer.transport.abort()
        self._open -= ends

    async def _answer(self, far: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        while data := await _read(far):
            if self._delay_s != CUT_S:
                out.write(data)
                await out.drain()
        out.close()

    async def _say(self, near: asyncio.StreamReader, into: asyncio.StreamWriter) -> None:
        """In order, each piece as late as was ordered when it came; then the end."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def later() -> None:
            while (piece := await queue.get())[1]:
                due_s, data = piece
                if (wait_s := due_s - loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                into.write(data)
                await into.drain()

        saying = asyncio.create_task(later())
        while (data := await _read(near)) and not saying.done():
            if self._delay_s != CUT_S:
                queue.put_nowait((loop.time() + self._delay_s, data))
        queue.put_nowait((0, b""))
        await asyncio.wait((saying,))
        if self._delay_s != CUT_S:  # over a cable that is pulled, nobody hears that either
            into.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next piece; a reset is an end."""
    try:
        return await reader.read(READ_BYTES)
    except ConnectionError:
        return b""


async def _serve(port: int) -> None:
    line = _Line(port)
    server = await asyncio.start_server(line.connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    while order := await orders.readline():
        line.order(float(order))


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
