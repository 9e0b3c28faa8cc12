"""Where does a JSON object end, in a stream of them inside one long array?

Without `alt=sse` the Gemini API streams `[{…},\\r\\n{…}]` as a single JSON document.
"""

import re
from typing import Final

_OUTSIDE_STRING: Final = re.compile(rb'["{}]')
_IN_STRING: Final = re.compile(rb'["\\]')


class ElementSplitter:
    """Bytes in, whole objects out: the elements of a top-level array, or a single object.

    Where objects are cut does not depend on how the bytes arrived. What stands between them is
    skipped. It only locates, it does not check. An object longer than `limit` bytes makes it give
    up: `overflowed` is True from then on and nothing comes out. Holds at most `limit` bytes and
    one chunk.
    """

    __slots__ = ("_buffer", "_depth", "_in_string", "_limit", "_scanned", "overflowed")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._scanned = 0
        self._depth = 0
        self._in_string = False
        self.overflowed = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The objects that `chunk` completes."""
        if self.overflowed:
            return []
        self._buffer += chunk
        objects: list[bytes] = []
        start = 0
        while (brace := self._next_brace()) is not None:
            if brace == b"{" and self._depth == 1:
                start = self._scanned - 1
            elif brace == b"}" and self._depth == 0:
                if self._scanned - start > self._limit:
                    break
                objects.append(bytes(self._buffer[start : self._scanned]))
                start = self._scanned
        if self._depth == 0 and brace is None:
            start = self._scanned
        self.overflowed = len(self._buffer) - start > self._limit
        del self._buffer[: None if self.overflowed else start]
        self._scanned -= start
        return objects

    def rest(self) -> bytes:
        """What is left when the body ended: an object that never closed, or nothing."""
        left = bytes(self._buffer)
        self._buffer.clear()
        return left

    def _next_brace(self) -> bytes | None:
        """The next brace outside strings, the depth already counted; None at the chunk's end."""
        while self._leave_string():
            found = _OUTSIDE_STRING.search(self._buffer, self._scanned)
            if found is None:
                self._scanned = len(self._buffer)
                return None
            self._scanned = found.end()
            mark = found.group()
            if mark == b'"':
                self._in_string = True
            elif mark == b"{" or self._depth > 0:
                self._depth += 1 if mark == b"{" else -1
                return mark
        return None

    def _leave_string(self) -> bool:
        """Move past the string that the text is in, if any; whether its end is here."""
        while self._in_string:
            found = _IN_STRING.search(self._buffer, self._scanned)
            if found is None:
                self._scanned = len(self._buffer)
                return False
            if found.group() == b'"':
                self._in_string = False
                self._scanned = found.end()
            elif found.end() == len(self._buffer):
                self._scanned = found.start()  # what it escapes has not come yet
                return False
            else:
                self._scanned = found.end() + 1
        return True
