"""Where does a server-sent event end, and what does it carry? (WHATWG HTML, section 9.2)"""

import re
from typing import Final

EVENT_LIMIT: Final = 8 * 1024 * 1024
"""The longest event that is read, in bytes; a picture in an event needs a few million."""

# A bare CR counts as a line's end only once the byte after it is known not to be LF; otherwise
# the same bytes, cut differently, would be split differently.
_EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?=[^\n]))(?:\r\n|\n|\r(?=[^\n]))")
_BLANK_LINE: Final = re.compile(rb"\r\n|\n|\r(?=[^\n])")
_END_SIZE_MAX: Final = 4
_BOM: Final = b"\xef\xbb\xbf"


class EventSplitter:
    """Bytes in, whole events out, each with the blank line that ends it.

    The pieces returned by `feed`, in order, followed by `rest()`, are exactly the bytes that came
    in, and where they are cut does not depend on how the bytes arrived. Lines may end in LF, CRLF
    or CR. An event longer than `limit` bytes makes the splitter give up: `overflowed` is True from
    then on and `feed` returns what it gets, unread. Holds at most `limit` bytes and one chunk.
    """

    __slots__ = ("_buffer", "_limit", "_scanned", "overflowed")

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._scanned = 0
        self.overflowed = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes; raw pieces once `overflowed`."""
        if self.overflowed:
            return [chunk] if chunk else []
        buffer = self._buffer
        if not buffer and len(chunk) <= self._limit and _is_plain(chunk):
            return [event + b"\n\n" for event in chunk[:-2].split(b"\n\n")]
        buffer += chunk
        events: list[bytes] = []
        start = 0
        while (end := self._end_of_event(start)) is not None and end - start <= self._limit:
            events.append(bytes(buffer[start:end]))
            start = self._scanned = end
        self.overflowed = end is not None or len(buffer) - start > self._limit
        if self.overflowed:
            events.append(bytes(buffer[start:]))
            start = len(buffer)
        del buffer[:start]
        self._scanned = max(0, len(buffer) - _END_SIZE_MAX + 1)
        return events

    def rest(self) -> bytes:
        """What is left when the body ended: an event whose blank line never came, or nothing."""
        left = bytes(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        return left

    def _end_of_event(self, start: int) -> int | None:
        # Only the end matters, so that it is harmless to start in the middle of a CRLF.
        found = _BLANK_LINE.match(self._buffer, start) or _EVENT_END.search(
            self._buffer, max(start, self._scanned)
        )
        return found.end() if found else None


def event_data(event: bytes) -> bytes:
    """The event's data: its `data` lines joined by LF; b"" when there are none."""
    is_one_line = event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2
    if is_one_line and _is_plain(event):
        return event[6:-2]
    return b"\n".join(_fields(event, b"data"))


def event_name(event: bytes) -> bytes:
    """The event's type: its last `event` line; b"" when there is none."""
    names = _fields(event, b"event")
    return names[-1] if names else b""


def _is_plain(chunk: bytes) -> bool:
    """Whole events with line feeds, as nearly every packet of nearly every provider holds them."""
    return (
        chunk.endswith(b"\n\n")
        and not chunk.startswith(b"\n")
        and b"\r" not in chunk
        and b"\n\n\n" not in chunk
    )


def _fields(event: bytes, name: bytes) -> list[bytes]:
    values = []
    for line in event.removeprefix(_BOM).splitlines():
        field, _, value = line.partition(b":")
        if field == name:
            values.append(value.removeprefix(b" "))
    return values
