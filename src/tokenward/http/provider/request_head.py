"""What stands before the body of a request: the caller's headers, and only our own framing."""

import re
from functools import lru_cache
from typing import Final

from tokenward.kernel.errors import UnfitError
from tokenward.providers.interfaces import Headers

# The connection's own: what a caller says about them is about another connection.
_FRAMING: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"expect",
     b"upgrade", b"te", b"trailer", b"proxy-connection", b"proxy-authorization")
)  # fmt: skip
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2, token
# RFC 9110 5.5: what a value may hold. Taken out of a head, only the ends of its lines are left.
_SOUND: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_SAY_EMPTY: Final = frozenset(("POST", "PUT", "PATCH"))  # RFC 9110 8.6


def request_head(
    method: str, target: str, authority: str, headers: Headers, body_bytes: int
) -> bytes:
    """The head as it goes out, in the order given. Raises `UnfitError` for a header that cannot be
    in HTTP or is not UTF-8; the text holds nothing of it."""
    assert method.encode().isalpha(), "a route's method is a word"
    parts = [f"{method} {target} HTTP/1.1\r\nHost: {authority}\r\n".encode("ascii")]
    lines = 3  # with the empty one
    for name, value in headers:
        sent_name = _sent_name(name)
        if sent_name is not None:
            lines += 1
            parts += (sent_name, value, b"\r\n")
    if body_bytes or method in _SAY_EMPTY:
        lines += 1
        parts.append(b"Content-Length: %d\r\n" % body_bytes)
    parts.append(b"\r\n")
    head = b"".join(parts)
    if head.translate(None, _SOUND) != b"\r\n" * lines or not _is_utf8(head):
        raise UnfitError("a header was not sent on: its name or value cannot be in HTTP")
    return head


@lru_cache(maxsize=1024)
def _sent_name(name: bytes) -> bytes | None:
    """The name as it goes out, with its colon; None if it stays here. One that cannot be in HTTP
    becomes a byte that no head may hold."""
    lower = name.lower()
    if lower in _FRAMING:
        return None
    return lower + b": " if _NAME.fullmatch(name) else b"\0"


def _is_utf8(head: bytes) -> bool:
    if head.isascii():
        return True
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
