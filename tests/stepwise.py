"""A provider that makes the next piece of its answer only when the caller has the one before: were
pieces collected on the way, or one kept back, nothing would ever move again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

STEP_S = 30.0


class Stepwise:
    """Answers every request with the same `pieces`, step by step."""

    def __init__(self, kind: str, pieces: list[bytes]) -> None:
        self.base_url = ""
        self._kind = kind
        self._pieces = pieces
        self._arrived = 0
        self._news = asyncio.Event()

    def has_arrived(self, count: int) -> None:
        """So many pieces are with the caller."""
        self._arrived = count
        self._news.set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, and the end of the connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            writer.write(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"
                b"content-type: %b\r\n\r\n" % self._kind.encode()
            )
            for number, piece in enumerate(self._pieces):
                async with asyncio.timeout(STEP_S):
                    while self._arrived < number:
                        self._news.clear()
                        await self._news.wait()
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            writer.write(b"0\r\n\r\n")
        finally:
            writer.close()


@asynccontextmanager
async def running_stepwise(kind: str, pieces: list[bytes]) -> AsyncIterator[Stepwise]:
    """One on a free port. `kind`: the content type of its answers."""
    provider = Stepwise(kind, pieces)
    server = await asyncio.start_server(provider.answer, "127.0.0.1", 0)
    provider.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.close()
