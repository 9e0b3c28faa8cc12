"""At which address was the request meant to arrive? The guard's own public URLs, as configured.

Never the Host header and never a forwarded one: who sends a request writes those.
"""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_VISIBLE: Final = re.compile(r"[!-~]{1,4096}")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PORTS: Final = {"http": 80, "https": 443}


class PublicUrls:
    """Where callers reach the guard: origins, each with the path before ours if there is one."""

    def __init__(self, urls: tuple[str, ...] = ()) -> None:
        self._bases: tuple[str, ...] = ()
        self._normal: frozenset[str] = frozenset()
        self.set(urls)

    def set(self, urls: tuple[str, ...]) -> None:
        """The URLs from now on; ValueError for one that is none. A guard that listens on any free
        port learns its own after it was made."""
        bases = tuple(url.rstrip("/") for url in urls)
        self._normal = frozenset(normal(base).rstrip("/") for base in bases)
        self._bases = bases

    @property
    def issuer(self) -> str:
        """The first one, by which this guard names itself (RFC 8414 section 2)."""
        return self._bases[0] if self._bases else ""

    def is_at(self, htu: str, path: str) -> bool:
        """Whether `htu` is the address of `path` (raw, as it came) under one of the URLs.

        Query and fragment of `htu` do not count (RFC 9449 section 4.3).
        """
        if htu.endswith(path) and htu[: -len(path)] in self._bases:
            return True  # as every client of ours writes it
        try:
            given = normal(htu)
            return any(given == normal(base + path) for base in self._normal)
        except ValueError:
            return False


def normal(url: str) -> str:
    """An http(s) URL without query and fragment, normalised as RFC 3986 sections 6.2.2 and 6.2.3
    allow for comparing: no more, so `%3A` is not `:` and case counts in a path. ValueError for
    anything else."""
    if _VISIBLE.fullmatch(url) is None or "\\" in url:
        raise ValueError("not a URL of visible characters")
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not an http or https URL")
    return f"{scheme}://{_authority(parts, scheme)}{_path(parts.path)}"


def _authority(parts: SplitResult, scheme: str) -> str:
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    port = parts.port
    return shown if port is None or port == _PORTS[scheme] else f"{shown}:{port}"


def _path(path: str) -> str:
    if "%" in path:
        path = _ESCAPE.sub(_escape, path)
    return path or "/"


def _escape(match: re.Match[str]) -> str:
    sign = chr(int(match[1], 16))
    return sign if sign in _UNRESERVED else match[0].upper()
