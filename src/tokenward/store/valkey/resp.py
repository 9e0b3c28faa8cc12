"""The protocol of Valkey and Redis (RESP2), without a connection: bytes in, replies out."""

from collections.abc import Sequence
from typing import Final

from tokenward.kernel.errors import StoreError

REPLY_BYTES_MAX: Final = 4_000_000
"""No answer to anything asked here comes near; a longer one is none."""
DEPTH_MAX: Final = 8


class ServerSaidError(StoreError):
    """Raised where the server answered that it did not do it; `code` is its first word."""

    def __init__(self, text: str) -> None:
        super().__init__(f"the server refused: {text}")
        self.text = text
        self.code = text.partition(" ")[0]


class GarbledError(StoreError):
    """Raised when what came is no reply: nothing on this connection can be believed."""


Reply = int | bytes | None | ServerSaidError | list["Reply"]


class _Unfinished(Exception):  # noqa: N818 - no fault: the rest is on its way
    """The reply goes on in bytes that have not come."""


def pack(*parts: bytes) -> bytes:
    """One command."""
    return b"*%d\r\n" % len(parts) + pack_parts(parts)


def pack_parts(parts: Sequence[bytes]) -> bytes:
    """Its words, without how many they are."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


class Reader:
    """Takes what came, however it was cut, and gives whole replies."""

    __slots__ = ("_unread",)

    def __init__(self) -> None:
        self._unread = b""

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are whole now. Raises `GarbledError`."""
        data = self._unread + data if self._unread else data
        at, replies = 0, []
        try:
            while at < len(data):
                reply, at = _read(data, at, 0)
                replies.append(reply)
        except _Unfinished:
            pass
        except ValueError:
            raise GarbledError("what the server answered is not its protocol") from None
        self._unread = data[at:]
        if len(self._unread) > REPLY_BYTES_MAX:
            raise GarbledError("the server's answer has no end")
        return replies


def _read(data: bytes, at: int, depth: int) -> tuple[Reply, int]:
    end = data.find(b"\r\n", at)
    if end < 0:
        raise _Unfinished
    kind, line, after = data[at], data[at + 1 : end], end + 2
    if kind == 0x3A:  # :
        return int(line), after
    if kind == 0x24:  # $
        return _read_bulk(data, int(line), after)
    if kind == 0x2B:  # +
        return line, after
    if kind == 0x2D:  # -
        return ServerSaidError(line.decode("utf-8", "replace")), after
    if kind == 0x2A and depth < DEPTH_MAX:  # *
        return _read_list(data, int(line), after, depth + 1)
    raise ValueError


def _read_bulk(data: bytes, size: int, at: int) -> tuple[bytes | None, int]:
    if size == -1:
        return None, at
    end = at + size
    if size < 0 or data[end : end + 2] not in (b"", b"\r", b"\r\n"):
        raise ValueError
    if len(data) < end + 2:
        raise _Unfinished
    return data[at:end], end + 2


def _read_list(data: bytes, count: int, at: int, depth: int) -> tuple[list[Reply] | None, int]:
    if count == -1:
        return None, at
    if count < 0:
        raise ValueError
    items: list[Reply] = []
    for _ in range(count):
        item, at = _read(data, at, depth)
        items.append(item)
    return items, at
