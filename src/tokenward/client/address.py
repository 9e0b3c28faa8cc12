"""Where does a request go? URLs as a proof names them and as their owner is known by.

Scheme and host in lower case and without the scheme's own port (RFC 3986 section 6.2); the path
stays as it is sent, byte for byte: the guard compares it so.
"""

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit

_PORTS: Final = {"http": 80, "https": 443}


def htu_of(url: str) -> str:
    """The `htu` of a proof (RFC 9449 section 4.2): no query, no fragment. ValueError: no such URL.

    An empty path is `/`, as it is sent.
    """
    parts = _split(url)
    return _origin(parts) + (parts.path or "/")


def origin_of(url: str) -> str:
    """Scheme, host and port (RFC 6454), to see whether two URLs have one owner."""
    return _origin(_split(url))


def is_loopback(url: str) -> bool:
    """Whether what is sent there stays on this machine, so that plain http can be heard by none."""
    host = _split(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult:
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("the URL has characters that are never sent in one")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("the URL does not start with http:// or https:// and a host")
    if "@" in parts.netloc:
        raise ValueError("the URL holds a user name or password, which is never sent to a guard")
    return parts


def _origin(parts: SplitResult) -> str:
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    port = parts.port
    is_usual = port is None or port == _PORTS[parts.scheme]
    return f"{parts.scheme}://{shown}" if is_usual else f"{parts.scheme}://{shown}:{port}"
