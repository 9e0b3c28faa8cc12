"""What did the model say? The beginning of it, as the answer passes.

An answer that was heard here is known when it comes back in a later call's history; one that was
not was given by somebody else. For that the beginning is enough, so that a long stream costs
nothing after its first few hundred events.
"""

from collections.abc import Callable
from typing import Final

HEARD_CHARS: Final = 2 * 1024
"""The most that is kept of an answer's text, in characters."""
HEARD_BYTES: Final = 256 * 1024
"""The longest event that is looked at; more is a picture or a recording."""
DOCUMENT_BYTES: Final = 1024 * 1024
"""The longest document that is looked at."""


class Hearing:
    """Collects text from the pieces of one answer; `read` finds it in a piece and never raises.

    Holds at most `HEARD_CHARS` characters and one piece's text.
    """

    __slots__ = ("_left", "_parts", "_read")

    def __init__(self, read: Callable[[bytes], str]) -> None:
        self._read = read
        self._left = HEARD_CHARS
        self._parts: list[str] = []

    @property
    def is_full(self) -> bool:
        """Enough was heard; what follows need not be looked at."""
        return self._left <= 0

    def hear(self, piece: bytes) -> None:
        """Take one event's data, or a whole document."""
        if self._left <= 0 or not piece or len(piece) > HEARD_BYTES:
            return
        text = self._read(piece)
        if text:
            self._parts.append(text)
            self._left -= len(text)

    def said(self) -> str:
        """The text so far."""
        return "".join(self._parts)[:HEARD_CHARS]
