"""Wires between processes that are slow, half closed, or break in the middle of what is said. They
run in a thread of their own, so that nothing a test does holds them up."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import Final

PIECE_BYTES: Final = 65_536
PIECES_MAX: Final = 1_000
UP_S: Final = 30.0

Pieces = asyncio.Queue[tuple[float, bytes]]
"""When each is due, and what it is; b"" at the end."""


@dataclass(frozen=True, slots=True)
class Harm:
    """What happens to what goes one way: every byte comes `late_s`; or one at a time, `gap_s`
    apart; or instead of it comes a FIN, while the other way stays open; or half of the next piece
    comes, and then the connection ends."""

    late_s: float = 0.0
    gap_s: float = 0.0
    is_ended: bool = False
    is_torn: bool = False


NONE: Final = Harm()
LATE: Final = Harm(late_s=2.0)
DRIPPING: Final = Harm(gap_s=0.2)
ENDED: Final = Harm(is_ended=True)
TORN: Final = Harm(is_torn=True)


class Wire:
    """In front of a port of this machine. `up` is what goes to that port, `down` what comes back.
    A harm is one of all connections, those that are there and those that come."""

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        self.port = 0
        self.up = self.down = NONE
        self.struck = 0
        """How often a harm was felt."""
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._talks: set[asyncio.Task[None]] = set()
        self._ways: set[_Way] = set()

    def harm(self, *, up: Harm = NONE, down: Harm = NONE) -> None:
        """From now on."""
        self.up, self.down = up, down
        self._loop.call_soon_threadsafe(self._end_idle)

    def heal(self) -> None:
        """From now on all is passed on; what was broken stays broken."""
        self.harm()

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(UP_S)

    def close(self) -> None:
        """End every connection and the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(UP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(UP_S)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        talks = list(self._talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted says that it is gone

    async def _connect(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        ends = [to_near]
        with suppress(OSError, asyncio.CancelledError):
            far, to_far = await asyncio.open_connection("127.0.0.1", self.to_port)
            ends.append(to_far)
            ways = _Way(self, near, to_far, is_up=True), _Way(self, far, to_near, is_up=False)
            self._ways.update(ways)
            tasks = [asyncio.create_task(way.run()) for way in ways]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._ways.difference_update(ways)
        self._talks.discard(talk)
        for end in ends:
            end.transport.abort()

    def _end_idle(self) -> None:
        for way in self._ways:
            if way.harm.is_ended:
                self.struck += 1
                way.end()


class _Way:
    """One direction of one connection."""

    def __init__(
        self, wire: Wire, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_up: bool
    ) -> None:
        self._wire, self._source, self._sink, self._is_up = wire, source, sink, is_up
        self._has_ended = False

    @property
    def harm(self) -> Harm:
        """Now."""
        return self._wire.up if self._is_up else self._wire.down

    async def run(self) -> None:
        """Pass on until both sides said that they are done. Raises OSError when it breaks."""
        pieces: Pieces = asyncio.Queue(PIECES_MAX)
        giving = asyncio.create_task(self._give(pieces))
        try:
            while data := await self._source.read(PIECE_BYTES):
                self._wire.struck += self.harm is not NONE
                await pieces.put((time.monotonic() + self.harm.late_s, data))
                if giving.done():
                    break
            await pieces.put((0.0, b""))
            await giving
        finally:
            giving.cancel()
            await asyncio.gather(giving, return_exceptions=True)

    def end(self) -> None:
        """A FIN; what comes later is dropped."""
        if not self._has_ended:
            self._has_ended = True
            with suppress(OSError):
                self._sink.write_eof()

    async def _give(self, pieces: Pieces) -> None:
        while True:
            due_s, data = await pieces.get()
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            harm = self.harm
            if harm.is_ended or not data:
                self.end()
            if not data:
                return
            if self._has_ended:
                continue
            if harm.is_torn:
                self._sink.write(data[: len(data) // 2])
                await self._sink.drain()
                self._sink.close()
                raise ConnectionAbortedError("torn")
            await self._say(data)

    async def _say(self, data: bytes) -> None:
        for start in range(len(data)):
            if not self.harm.gap_s:
                self._sink.write(data[start:])
                break
            self._sink.write(data[start : start + 1])
            await asyncio.sleep(self.harm.gap_s)
            if self._has_ended:
                return
        await self._sink.drain()


@contextmanager
def running_wire(to_port: int) -> Iterator[Wire]:
    """A wire that is there for as long as a test needs it."""
    wire = Wire(to_port)
    wire.start()
    try:
        yield wire
    finally:
        wire.close()
