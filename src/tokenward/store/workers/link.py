"""Frames both ways, in order: all that a worker and its keeper need of each other's company."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol, cast

FRAME_BYTES_MAX: Final = 32 * 1024 * 1024
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Whoever leaves more than this unread is stuck: the link is cut, and its end knows it."""
DRAINED_BYTES: Final = 1024 * 1024
_LENGTH: Final = 4


class Link(Protocol):
    """One end. What is sent arrives whole and in order, or the link is lost for both ends."""

    def start(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """From now on hear of every frame; and once, as the last thing, that the link is lost, by
        whichever end. Frames that came before are not lost."""
        ...

    def send(self, frame: bytes) -> None:
        """Send at the end of this turn of the loop, with whatever else is sent in it. Never waits,
        never raises; on a lost link it does nothing."""
        ...

    def flush(self) -> None:
        """Send what waits at once: it must be on its way before something else is."""
        ...

    async def drain(self) -> None:
        """Wait until little of what was sent is unread, or the link is lost."""
        ...

    def close(self) -> None:
        """Let go. The other end hears of it; this one hears of nothing more."""
        ...


class UnixLink(asyncio.Protocol):
    """A link over a connected Unix stream socket: each frame behind its length, four bytes."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._on_frame: Callable[[bytes], None] | None = None
        self._on_lost: Callable[[], None] | None = None
        self._came = bytearray()
        self._leaving: list[bytes] = []
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_lost = False

    @classmethod
    async def over(cls, end: socket.socket) -> "UnixLink":
        """The link over one end of a socket pair, which belongs to it from now on."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(cls, sock=end)
        return link

    def start(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """Hear of frames, first of those that came already."""
        self._on_frame, self._on_lost = on_frame, on_lost
        self._read()
        if self._is_lost:
            self._tell_lost()

    def send(self, frame: bytes) -> None:
        """Send with whatever else is sent in this turn."""
        assert len(frame) <= FRAME_BYTES_MAX, "long answers come in parts"
        if self._is_lost:
            return
        if not self._leaving:
            asyncio.get_running_loop().call_soon(self.flush)
        self._leaving += (len(frame).to_bytes(_LENGTH), frame)

    def flush(self) -> None:
        """Write what waits."""
        if not self._leaving or self._is_lost:
            return
        assert self._transport is not None, "a link is connected when one has it"
        leaving, self._leaving = self._leaving, []
        self._transport.write(b"".join(leaving))
        if self._transport.get_write_buffer_size() > QUEUE_BYTES_MAX:
            self._transport.abort()

    async def drain(self) -> None:
        """Wait until the other end has read most of it."""
        self.flush()
        await self._has_room.wait()

    def close(self) -> None:
        """Write what waits, then hang up."""
        self.flush()
        self._on_frame = self._on_lost = None
        if self._transport is not None:
            self._transport.close()

    # -- as the loop calls ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=DRAINED_BYTES)

    def data_received(self, data: bytes) -> None:
        """Some bytes: some frames."""
        self._came += data
        if self._on_frame is not None:
            self._read()

    def pause_writing(self) -> None:
        """Much is unread."""
        self._has_room.clear()

    def resume_writing(self) -> None:
        """Little is unread."""
        self._has_room.set()

    def connection_lost(self, error: Exception | None) -> None:
        """The other end is gone, or this one let go."""
        self._is_lost = True
        self._leaving.clear()
        self._has_room.set()
        self._tell_lost()

    def _read(self) -> None:
        came, at = self._came, 0
        while len(came) - at >= _LENGTH:
            length = int.from_bytes(came[at : at + _LENGTH])
            if length > FRAME_BYTES_MAX:
                assert self._transport is not None
                self._transport.abort()
                return
            end = at + _LENGTH + length
            if len(came) < end:
                break
            if self._on_frame is None:  # it was closed by what it heard
                break
            self._on_frame(bytes(came[at + _LENGTH : end]))
            at = end
        del came[:at]

    def _tell_lost(self) -> None:
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost()
