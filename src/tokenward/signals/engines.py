"""Which HTTP engine wrote this head? By the order in which it puts the headers of its own.

An SDK's headers are easily copied; the order in which `net/http`, `undici` or `httpx` write them is
fixed in those libraries. Measured with the clients in `tests/data/clients`; where the marks do not
fit exactly the answer is "", unknown, never the nearest engine.
"""

from itertools import pairwise
from typing import Final

from tokenward.signals.head import Head

LANGUAGES: Final = {
    "httpx": "python",
    "aiohttp": "python",
    "requests": "python",
    "urllib": "python",
    "undici": "js",
    "node-http": "js",
    "bun": "js",
    "go": "go",
    "hyper": "rust",
    "curl": "c",
}
"""The language that an engine is of, in the words of `families.py`."""

_LENGTHS: Final = ((), ("content-length",), ("transfer-encoding",))
_SORTED_NAMES_MIN: Final = 3
"""Fewer names than this stand in order by chance too often."""
_MANY_NAMES: Final = 10
"""So many stand in order, or in two orders one after the other, by chance less than once in 3,000:
no other mark is needed."""


def engine_of(head: Head) -> str:
    """One of `LANGUAGES`, "" if the order is of none that is known."""
    names = head.names
    if "host" not in names:
        return ""
    if names[0] == "host":
        return _host_first(head)
    return _host_later(head)


def _host_first(head: Head) -> str:
    names = head.names
    is_browser_like = "accept-language" in names or "sec-fetch-mode" in names
    if "sec-fetch-mode" in names and "sec-fetch-site" not in names:
        return "undici"  # browsers send both
    if names[1:5] == ("user-agent", "accept-encoding", "accept", "connection"):
        return "requests"
    if names[1:2] == ("accept-encoding",) and head.value("accept-encoding") == "identity":
        return "urllib"
    if "accept-encoding" in names[1:3] and _follows(names, "accept-encoding", "connection"):
        return "httpx"
    if is_browser_like:
        return ""  # the marks below are also those of a browser behind an HTTP/2 proxy
    if names[1:2] == ("user-agent",):
        if _is_go(head):
            return "go"
        return "curl" if names[2:3] == ("accept",) and "connection" not in names else ""
    if _follows(names, "accept", "accept-encoding") and "connection" not in names:
        return "aiohttp"
    return ""


def _host_later(head: Head) -> str:
    """Engines that put what they add at the end, the host among it."""
    names = head.names
    if names[0] == "accept-encoding" and head.value("accept-encoding") == "identity":
        return "urllib"
    at = names.index("host")
    rest = names[at + 1 :]
    if "connection" in names[:at] and rest[:1] == ("accept-encoding",):
        return "bun"
    if rest[:1] == ("connection",) and rest[1:] in _LENGTHS:
        return "node-http"
    return "hyper" if head.is_lower and "connection" not in names and rest in _LENGTHS else ""


def _is_go(head: Head) -> bool:
    """`net/http` writes Host, User-Agent and the length, all others by name, and last the
    Accept-Encoding that it adds where its caller has set none. Names that its caller wrote small
    stand behind those with capitals, in an order of their own."""
    names = head.names
    rest = names[2:]
    if rest[:1] in (("content-length",), ("transfer-encoding",)):
        marks, rest = 1, rest[1:]
    else:
        marks = 0
    if rest[-1:] == ("accept-encoding",) and head.value("accept-encoding") == "gzip":
        marks, rest = marks + 1, rest[:-1]
    if rest[-1:] == ("connection",):  # a client that does not keep its connections
        rest = rest[:-1]
    # Go writes the length before them; curl, given headers in order by chance, behind.
    is_many = len(rest) >= _MANY_NAMES and not {"content-length", "transfer-encoding"} & set(rest)
    if not is_many and (not marks or len(rest) + marks < _SORTED_NAMES_MIN):
        return False
    return sum(one > two for one, two in pairwise(rest)) <= is_many


def _follows(names: tuple[str, ...], first: str, second: str) -> bool:
    if first not in names:
        return False
    at = names.index(first)
    return names[at + 1 : at + 2] == (second,)
