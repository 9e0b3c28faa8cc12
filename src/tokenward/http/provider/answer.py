"""A provider's answer, its body still on the way."""

import asyncio
from typing import Protocol

from tokenward.http.provider.parser import AnswerParser
from tokenward.kernel.errors import BrokenError
from tokenward.providers.interfaces import Headers


class Line(Protocol):
    """What an answer that has not ended may do to its connection."""

    def resume(self) -> None:
        """Read on: all that had come was taken."""
        ...

    def hang_up(self) -> None:
        """Close at once, and end the call."""
        ...


class HttpAnswer:
    """Header names are lower case, in order, duplicates kept. One may read at a time."""

    __slots__ = ("_authority", "_fault", "_line", "_waiter", "headers", "parser", "status")

    def __init__(self, line: Line, parser: AnswerParser, authority: str) -> None:
        self.status = 0
        self.headers: Headers = ()
        self.parser = parser
        self._authority = authority
        self._line: Line | None = line  # until the answer has ended: then it may serve another
        self._fault: str | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The next piece of the body as it came, b"" at its end. Raises `BrokenError`, after what
        came before the break. When cancelled, the connection is closed at once.
        """
        parser = self.parser
        while True:
            if parser.pieces:
                chunk = parser.take()
                if self._line is not None:
                    self._line.resume()
                return chunk
            if parser.is_whole:
                return b""
            self._check("within the answer's body")
            await self._change()

    async def close(self) -> None:
        """Let go of the answer; a body not read to its end costs the connection. Never raises."""
        if self._line is not None:
            self._line.hang_up()

    # What the connection calls.

    async def arrive(self) -> None:
        """Returns when the head is there. Raises `BrokenError`. When cancelled, the connection is
        closed at once."""
        parser = self.parser
        while not parser.has_head:
            self._check("before the answer's head")
            await self._change()
        self.status = parser.status
        self.headers = tuple(parser.headers)

    def wake(self) -> None:
        """Something came."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self, fault: str | None) -> None:
        """The connection has nothing more to do with this answer. `fault` says why it is not
        whole."""
        self._line = None
        self._fault = fault
        self.parser.stop()
        self.wake()

    def _check(self, where: str) -> None:
        if self._fault is not None:
            # Only our own words: what the provider sent may hold anything.
            raise BrokenError(f"{self._authority} broke the call {where}: {self._fault}")

    async def _change(self) -> None:
        assert self._waiter is None, "one may read at a time"
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            if self._line is not None:
                self._line.hang_up()
            raise
        finally:
            self._waiter = None
