"""Which headers go on? Everything but what belongs to one connection, and what opens the agent."""

from collections.abc import Iterable
from typing import Final

from tokenward.client.agent import local_token

SentHeaders = list[tuple[str, str]]
"""In order, names in lower case: aiohttp keeps duplicates only where names are spelt alike."""

# RFC 9110 7.6.1, and what frames a message or names its host.
_CONNECTION: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate",
     b"proxy-authorization", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip
_OUR_OWN: Final = local_token.HEADERS | frozenset(
    (b"host", b"content-length", b"expect", b"dpop", b"content-digest")
)
_GUARDS_OWN: Final = frozenset((b"dpop-nonce",))


def to_guard(headers: Iterable[tuple[bytes, bytes]]) -> SentHeaders:
    """A caller's headers without any credential: the agent adds its own."""
    return _without(headers, _OUR_OWN)


def to_caller(headers: Iterable[tuple[bytes, bytes]]) -> SentHeaders:
    """The guard's headers, its Content-Length too; nonces are between guard and agent."""
    return _without(headers, _GUARDS_OWN)


def _without(headers: Iterable[tuple[bytes, bytes]], left_out: frozenset[bytes]) -> SentHeaders:
    """A header that is not UTF-8 is left out as well: aiohttp could not send it as it came."""
    lower = [(name.lower(), value) for name, value in headers]
    named = {
        part.strip().lower()
        for name, value in lower
        if name == b"connection"
        for part in value.split(b",")
    }
    passed: SentHeaders = []
    for name, value in lower:
        if name in left_out or name in _CONNECTION or name in named:
            continue
        try:
            passed.append((name.decode("ascii"), value.decode("utf-8")))
        except UnicodeDecodeError:
            continue
    return passed
