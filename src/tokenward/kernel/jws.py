"""JWS in compact form (RFC 7515): split, strictly read, and signed over the bytes that came.

What two parsers could read differently is refused: padding, characters outside base64url, bits
left over at the end of a part, a member twice in one object.
"""

import binascii
import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final

import msgspec

from tokenward.kernel.json_text import JsonObject, JsonValue, parse_object

_YEAR_5138_S: Final = 100_000_000_000
_PART: Final = re.compile(rb"[A-Za-z0-9_-]+")


class Compact(msgspec.Struct, frozen=True):
    """A token taken apart. `signed` is what the signature covers, as it came."""

    header: JsonObject
    claims: JsonObject
    signed: bytes
    signature: bytes


def read_compact(token: bytes, bytes_max: int) -> Compact:
    """Take a token apart; ValueError says what it is not. Nothing is verified here."""
    if len(token) > bytes_max:
        raise ValueError(f"it is longer than {bytes_max} bytes")
    parts = token.split(b".")
    if len(parts) != 3:
        raise ValueError("it does not have three parts")
    header, claims, signature = (decode(part) for part in parts)
    return Compact(parse_object(header), parse_object(claims), token.rpartition(b".")[0], signature)


def write_compact(header: JsonObject, claims: JsonObject, sign: Callable[[bytes], bytes]) -> str:
    """A signed token; `sign` gives the raw signature of the bytes it gets."""
    signed = b".".join(encode(msgspec.json.encode(part)) for part in (header, claims))
    return (signed + b"." + encode(sign(signed))).decode("ascii")


def encode(data: bytes) -> bytes:
    """base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=")


def decode(part: bytes) -> bytes:
    """What a part says; ValueError unless it is the one way to write that."""
    if _PART.fullmatch(part) is None:
        raise ValueError("a part of it is not base64url")
    try:
        data = urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        raise ValueError("a part of it is not base64url") from None
    if encode(data) != part:
        raise ValueError("a part of it has bits left over")
    return data


def numeric_date_ms(seconds: JsonValue) -> int | None:
    """A NumericDate (RFC 7519 section 2) as Unix ms; None for what is none, or is out of reason."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return int(seconds * 1000) if 0 < seconds < _YEAR_5138_S else None


def replay_key(*parts: bytes) -> bytes:
    """Under which something that is good once is remembered. Each part counts with its length, so
    that no two things share a key."""
    return hashlib.sha256(b"".join(len(part).to_bytes(4) + part for part in parts)).digest()
