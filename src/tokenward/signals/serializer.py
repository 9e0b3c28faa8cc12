"""Which JSON writer made this body? From its raw bytes, of which only the first few kB are read.

The writer survives every proxy on the way, and relays do not think of hiding it: Go writes `<` as
`\\u003c`, Python's `json.dumps` puts a blank after every colon and escapes what is not ASCII. A
body that holds no evidence says nothing (None).
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

LOOKED_AT_BYTES: Final = 4_096
KEYS_BYTES_MAX: Final = 8_192
"""Bodies up to this length are read whole, for the order of their keys."""

_FIRST_COLON: Final = re.compile(rb'\{(\s?)"[^"\\]{1,64}"(\s?):(\s?)')
# An escape, not an escaped backslash before a "u"; half a surrogate pair, U+2028 and U+2029 are
# escaped by writers that escape nothing else.
_ESCAPED: Final = re.compile(
    rb"(?<!\\)(?:\\\\)*\\u(?:d[89ab][0-9a-f]{2}\\ud[c-f]|00[89a-f]|0[1-9a-f]|1|20(?!28|29)"
    rb"|2[1-9a-f]|[3-9abcef]|d[0-7])",
    re.IGNORECASE,
)
_ESCAPED_HTML: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u00(?:3c|3e|26)")
_KEYS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Serializer(NamedTuple):
    """`is_compact`: no blanks between; `is_escaped`: what is not ASCII stands as `\\u…`;
    `is_html_escaped`: so do `<`, `>` and `&`; `is_sorted`: the top level's keys are in order."""

    is_compact: bool | None = None
    is_escaped: bool | None = None
    is_html_escaped: bool | None = None
    is_sorted: bool | None = None


NOTHING: Final = Serializer()


def read_serializer(body: bytes) -> Serializer:
    """Never raises; what is not a JSON object holds no evidence."""
    if not body.startswith(b"{"):
        return NOTHING
    start = body[:LOOKED_AT_BYTES]
    has_escapes = b"\\u" in start
    return Serializer(
        is_compact=_is_compact(start),
        is_escaped=_is_escaped(start, has_escapes),
        is_html_escaped=_is_html_escaped(start, has_escapes),
        is_sorted=_is_sorted(body) if len(body) <= KEYS_BYTES_MAX else None,
    )


@lru_cache(maxsize=81)  # all that there are
def words(serializer: Serializer) -> str:
    """The facts that are known, in words; "" for none."""
    pairs = (
        ("compact", "spaced"),
        ("unicode-escaped", "unicode-raw"),
        ("html-escaped", "html-raw"),
        ("sorted", "unsorted"),
    )
    said = (
        "" if fact is None else pair[not fact] for fact, pair in zip(serializer, pairs, strict=True)
    )
    return " ".join(word for word in said if word)


def _is_compact(start: bytes) -> bool | None:
    match = _FIRST_COLON.match(start)
    if match is None or match[1] or match[2]:  # written for people, by hand or indented
        return None
    return {b"": True, b" ": False}.get(match[3])


def _is_escaped(start: bytes, has_escapes: bool) -> bool | None:
    if not start.isascii():
        return False
    return True if has_escapes and _ESCAPED.search(start) else None


def _is_html_escaped(start: bytes, has_escapes: bool) -> bool | None:
    is_raw = b"<" in start or b">" in start or b"&" in start
    if not has_escapes or _ESCAPED_HTML.search(start) is None:
        return False if is_raw else None
    return None if is_raw else True  # of both kinds: put together from parts


def _is_sorted(body: bytes) -> bool | None:
    try:
        keys = list(_KEYS.decode(body))
    except (ValueError, RecursionError):
        return None
    return keys == sorted(keys) if len(keys) > 1 else None
