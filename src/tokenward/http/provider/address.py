"""Where a URL leads, read by the strictest parser that still reads every provider's URL."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from tokenward.kernel.errors import UnsentError

# Visible ASCII only, so that no part of it can end the request line; no credentials, no fragment.
_URL: Final = re.compile(r"(https?)://([^/?#@\\]+)(/[!-\"$-~]*|\?[!-\"$-~]*)?")
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?")
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """One end of connections. `authority` is the `Host` header, without a scheme's own port;
    `host` is a name or an address, without brackets."""

    is_tls: bool
    host: str
    port: int
    authority: str


def split_url(url: str) -> tuple[Origin, str]:
    """The origin and the request target: path and query byte for byte, for they are not ours to
    normalise. Raises `UnsentError`, whose text holds nothing of the URL."""
    parts = _URL.fullmatch(url)
    origin = _origin(parts[1], parts[2]) if parts is not None else None
    if parts is None or origin is None:
        raise UnsentError("the provider's URL is not plain http(s); check its base_url")
    target: str | None = parts[3]
    if target is None or target[0] == "?":
        target = "/" + (target or "")
    return origin, target


@lru_cache(maxsize=64)
def _origin(scheme: str, authority: str) -> Origin | None:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        return None
    name, port = parts[1].lower(), int(parts[2] or _PORTS[scheme])
    host = name.strip("[]")
    if not 0 < port < 65_536 or (name[0] == "[" and not _is_ipv6(host)):
        return None
    shown = name if port == _PORTS[scheme] else f"{name}:{port}"
    return Origin(is_tls=scheme == "https", host=host, port=port, authority=shown)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
