"""Answers that came compressed although they were asked for plain: metered from a decoded copy."""

import zlib
from typing import Final

from tokenward.providers.interfaces import Reader, Reading

DECODED_LIMIT: Final = 256 * 1024 * 1024
"""The most bytes of one answer that are decoded; a bomb of zeros stops here."""
_PIECE: Final = 256 * 1024
_ANY_DEFLATE: Final = 32 + zlib.MAX_WBITS  # zlib tells gzip and zlib apart by their first bytes


def reader_of_encoded(inner: Reader, encoding: bytes) -> Reader | None:
    """A reader for a body in this content-encoding (RFC 9110 section 8.4.1), around the reader of
    the plain body; `inner` itself for a plain one, None for an encoding that is not known."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return inner
    if name in (b"gzip", b"x-gzip", b"deflate"):
        return DecodingReader(inner)
    return None


class DecodingReader:
    """Passes the encoded bytes on as they are and shows a decoded copy to `inner`. What `inner`
    would take out stays in: it cannot be cut from compressed bytes."""

    __slots__ = ("_decoded", "_decoder", "_inner", "_problem", "is_final")

    def __init__(self, inner: Reader) -> None:
        self._inner = inner
        self._decoder = zlib.decompressobj(_ANY_DEFLATE)
        self._decoded = 0
        self._problem = ""
        self.is_final = False

    def feed(self, chunk: bytes) -> bytes:
        """The chunk."""
        waiting = chunk
        while waiting and not self._problem and not self._decoder.eof:
            try:
                piece = self._decoder.decompress(waiting, _PIECE)
            except zlib.error:
                self._problem = "the answer is not encoded as its header says"
                break
            waiting = self._decoder.unconsumed_tail
            self._decoded += len(piece)
            if self._decoded > DECODED_LIMIT:
                self._problem = f"more than {DECODED_LIMIT} decoded bytes were not read"
            self._inner.feed(piece)
        self.is_final = self._inner.is_final
        return chunk

    def finish(self) -> bytes:
        """Nothing is left for the caller."""
        self._inner.finish()
        return b""

    def reading(self) -> Reading:
        """What the decoded copy said."""
        if self._problem:
            return Reading(usage=None, problem=self._problem)
        return self._inner.reading()

    def said(self) -> str:
        """What the decoded copy said."""
        return self._inner.said()
