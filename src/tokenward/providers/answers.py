"""Reading answers that are one document, and what every reading of usage shares."""

from collections.abc import Callable
from typing import Annotated, Final

from msgspec import Meta

from tokenward.providers.hearing import DOCUMENT_BYTES, HEARD_CHARS
from tokenward.providers.interfaces import Reading

Count = Annotated[int, Meta(ge=0, le=2**40)]
"""A count in a provider's report. Anything else there makes the report unreadable."""

ANSWER_LIMIT: Final = 32 * 1024 * 1024
"""The longest document that is read, in bytes; a large picture in base64 needs half of it."""

UNFINISHED: Final = Reading(usage=None, problem="the answer broke off before its usage came")


class PassingReader:
    """Passes everything on unread; what there is to know is known from the start."""

    __slots__ = ("_reading", "is_final")

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.is_final = False

    def feed(self, chunk: bytes) -> bytes:
        """The chunk."""
        return chunk

    def finish(self) -> bytes:
        """Nothing is left."""
        return b""

    def reading(self) -> Reading:
        """What was given."""
        return self._reading

    def said(self) -> str:
        """Nothing: it was not read."""
        return ""


class DocumentReader:
    """Passes one document on as it comes, and reads it when it is whole.

    Holds at most `limit` bytes of it; a longer one passes unread. `hear` finds the text in it.
    """

    __slots__ = (
        "_body",
        "_hear",
        "_limit",
        "_overflowed",
        "_read",
        "_reading",
        "_said",
        "is_final",
    )

    def __init__(
        self,
        read: Callable[[bytes], Reading],
        limit: int = ANSWER_LIMIT,
        hear: Callable[[bytes], str] | None = None,
    ) -> None:
        self._read = read
        self._limit = limit
        self._hear = hear
        self._said = ""
        self._overflowed = False
        self._body = bytearray()
        self._reading = UNFINISHED
        self.is_final = False

    def feed(self, chunk: bytes) -> bytes:
        """The chunk."""
        self._overflowed = self._overflowed or len(self._body) + len(chunk) > self._limit
        if self._overflowed:
            self._body.clear()
        else:
            self._body += chunk
        return chunk

    def finish(self) -> bytes:
        """Nothing is left for the caller; the reading is final."""
        body = bytes(self._body)
        self._reading = too_long(self._limit) if self._overflowed else self._read(body)
        if self._hear is not None and 0 < len(body) <= DOCUMENT_BYTES:
            self._said = self._hear(body)[:HEARD_CHARS]
        self._body.clear()
        return b""

    def reading(self) -> Reading:
        """Without usage until the document ended."""
        return self._reading

    def said(self) -> str:
        """Nothing until the document ended."""
        return self._said


def too_long(limit: int) -> Reading:
    """The reading of an answer that is too long to be held."""
    return Reading(usage=None, problem=f"more than {limit} bytes in one piece were not read")


def rejected(status: int) -> Reading:
    """The reading of an answer whose status already says that nothing was made."""
    return Reading(usage=None, problem=f"the provider answered {status}", is_error=True)


def encoded(encoding: bytes) -> Reading:
    """The reading of an answer in a content-encoding that is not known here."""
    return Reading(usage=None, problem=f"an answer encoded as {encoding[:32]!r} is not read")
