"""One answer out of the bytes of a connection: no sockets, no clock, no second reading.

llhttp (through httptools, in its strict mode) refuses what two parsers could read differently:
length and chunked at once, doubled or odd lengths, folded headers, bare line feeds, control
characters. This adds the limits, and what llhttp would let through; each beside its reason.
"""

from typing import Final

import httptools

FIELD_BYTES_MAX: Final = 16 * 1024
FIELDS_MAX: Final = 128
"""Of one answer, with those of interim answers before it and of trailers behind it."""
HEAD_BYTES_MAX: Final = 64 * 1024
"""Of all of them, and of anything else that comes between two pieces of a body."""
_VERSIONS: Final = frozenset(("1.0", "1.1"))
# Answers to these end with their head (RFC 9112 6.3); no end of the body can be missing.
_BODILESS: Final = frozenset((204, 304))


class GarbledError(Exception):
    """Raised when what came is not an answer, or could be read as two. Quotes nothing of it."""


class AnswerParser:
    """Fed with bytes until `is_whole`. `headers` are lower case, in order, duplicates kept.

    `pieces` are what of the body nobody has taken yet, `waiting_bytes` in all. `can_be_followed`:
    another answer may come on the same connection, and nothing of one has come yet.
    """

    __slots__ = (
        "_coding",
        "_fields",
        "_head_bytes",
        "_is_framed",
        "_is_interim",
        "_is_to_head",
        "_parser",
        "_unspent_bytes",
        "_why",
        "can_be_followed",
        "has_head",
        "headers",
        "is_whole",
        "pieces",
        "status",
        "waiting_bytes",
    )

    def __init__(self, *, is_to_head: bool = False) -> None:
        """`is_to_head`: the request's method was HEAD."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.waiting_bytes = 0
        self.has_head = False
        self.is_whole = False
        self.can_be_followed = False
        self._is_to_head = is_to_head
        self._is_interim = False
        self._is_framed = False
        self._coding: bytes | None = None
        self._fields = 0
        self._head_bytes = 0
        self._unspent_bytes = 0  # since the last piece of the body, or the beginning
        self._why = "not HTTP/1.1"
        # A new one for each answer, so that nothing of one can linger into the next.
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Read on. Raises `GarbledError`; what was read before that stays."""
        assert self._parser is not None, "who has stopped reading is fed no more"
        self._unspent_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.can_be_followed = False
            if not self.is_whole:
                raise GarbledError(self._why) from None
        if self._unspent_bytes > HEAD_BYTES_MAX:
            raise GarbledError("too much beside the body")

    def feed_eof(self) -> None:
        """The connection came to a clean end: the end of a body that nothing else ends."""
        self.is_whole |= self.has_head and not self._is_framed

    def stop(self) -> None:
        """Nothing more is read. (Parser and callbacks hold each other: only this frees them.)"""
        self._parser = None

    def take(self) -> bytes:
        """All of the body that has come since the last time."""
        self.waiting_bytes = 0
        pieces = self.pieces
        if len(pieces) == 1:
            return pieces.pop()
        self.pieces = []
        return b"".join(pieces)

    # What httptools calls. It makes a GarbledError of whatever is raised here.

    def on_message_begin(self) -> None:
        """A first answer, one after an interim one, or one that nobody asked for."""
        if self.is_whole:
            self._refuse("an answer to no request")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, of an interim answer's head, or of the trailers."""
        field_bytes = len(name) + len(value)
        self._fields += 1
        self._head_bytes += field_bytes
        if (
            field_bytes > FIELD_BYTES_MAX
            or self._fields > FIELDS_MAX
            or self._head_bytes > HEAD_BYTES_MAX
        ):
            self._refuse("too many or too large headers")
        if self.has_head:
            return  # a trailer: nothing in one is for the caller (RFC 9110 6.5.1)
        name, value = name.lower(), value.rstrip(b" \t")  # llhttp strips only what is before it
        if name == b"transfer-encoding":
            # llhttp reads `gzip, chunked` as chunked, and anything else until the end.
            if self._coding is not None or value.lower() != b"chunked":
                self._refuse("a coding other than chunked")
            self._coding = value
        elif name == b"content-length":
            self._is_framed = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The end of a head."""
        assert self._parser is not None
        version, status = self._parser.get_http_version(), self._parser.get_status_code()
        if version not in _VERSIONS:
            self._refuse("not HTTP/1.1")  # llhttp knows 0.9 and 2.0
        if self._coding is not None and version == "1.0":
            self._refuse("chunked in HTTP/1.0")  # RFC 9112 6.1: its framing is faulty
        if 100 <= status < 200:
            self._pass_interim(status)
            return
        if not 200 <= status < 600:
            self._refuse("no status of HTTP")
        self.status = status
        self.has_head = True
        self._is_framed |= self._coding is not None or status in _BODILESS
        # llhttp waits for the body that a HEAD's answer speaks of; nobody can tell what comes then
        # from a next answer, so that none may follow.
        self.is_whole = self._is_to_head
        self._unspent_bytes = 0

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        self._unspent_bytes = 0
        if not self.is_whole:
            self.pieces.append(piece)
            self.waiting_bytes += len(piece)

    def on_message_complete(self) -> None:
        """The end of an answer, or of an interim one."""
        if self._is_interim:
            self._is_interim = False
        elif not self.is_whole:
            assert self._parser is not None
            self.is_whole = True
            self.can_be_followed = self._parser.should_keep_alive()

    def _pass_interim(self, status: int) -> None:
        if status == 101:
            self._refuse("it switched protocols, and nobody asked it to")
        if self._is_framed or self._coding is not None:
            self._refuse("an interim answer with a body")  # RFC 9110 15.2; llhttp would read one
        self._is_interim = True
        self.headers.clear()

    def _refuse(self, why: str) -> None:
        self._why = why
        raise GarbledError(why)
