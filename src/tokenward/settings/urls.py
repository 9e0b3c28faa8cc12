"""May the guard send there? The rules for the addresses that settings name.

The upstream host comes from settings alone, and settings are written by people: an address of a
cloud's metadata service (which hands out the machine's own credentials) is a mistake or an attack.
"""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address

_PLAIN: Final = re.compile(r"[\x21-\x7e]+")
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_METADATA_NAMES: Final = frozenset(
    {
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "instance-data",
        "instance-data.ec2.internal",
    }
)
_METADATA: Final = frozenset(
    map(
        ip_address,
        (
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure's wire server
            "192.0.0.192",  # Oracle Cloud
            "fd00:ec2::254",  # AWS
            "fd20:ce::254",  # Google Cloud
        ),
    )
)
"""Beside the link-local 169.254.169.254 and fe80::, which no settings may name either."""


def check_base_url(text: str, *, allow_plain_http: bool) -> None:
    """ValueError unless calls may be sent under this address: scheme, host, port, path prefix."""
    url = _split(text)
    if url.query or url.fragment or "?" in text or "#" in text:
        raise ValueError("must end with its path; leave out ? and #")
    if any(segment in (".", "..") for segment in url.path.split("/")):
        raise ValueError("must not have . or .. in its path")
    _check_host(url, allow_plain_http=allow_plain_http)


def check_webhook(text: str) -> None:
    """ValueError unless alerts may be sent to this address."""
    _check_host(_split(text), allow_plain_http=False)


def check_issuer_url(text: str, allow_plain_http: bool) -> None:
    """ValueError unless an issuer's public keys may be fetched there. Whoever changes them on the
    way can sign anything, so a private network is no reason to go without TLS."""
    url = _split(text)
    if url.query or url.fragment or "?" in text or "#" in text:
        raise ValueError("must be an address without ? and #")
    host, address = _check_place(url)
    is_here = address.is_loopback if address is not None else _is_near(host, None)
    if url.scheme == "http" and not is_here and not allow_plain_http:
        raise ValueError(
            f"would fetch public keys from {host} unprotected, so that others could change them; "
            "use https://, or set allow_plain_http = true on this workload if nobody is on the way"
        )


def _split(text: str) -> SplitResult:
    """Never repeats the text: a mistaken one can hold a password."""
    if _PLAIN.fullmatch(text) is None or "\\" in text:
        raise ValueError("must be plain ASCII without spaces")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise ValueError("must be like https://api.example.com")
    if "@" in url.netloc:
        raise ValueError(
            "must not hold a user or password; credentials are given as env:NAME or file:PATH"
        )
    return url


def _check_host(url: SplitResult, *, allow_plain_http: bool) -> None:
    host, address = _check_place(url)
    if url.scheme == "http" and not allow_plain_http and not _is_near(host, address):
        raise ValueError(
            f"would send credentials and prompts to {host} unencrypted; use https://, or set "
            "allow_plain_http = true on this provider if the way there is private"
        )


def _check_place(url: SplitResult) -> tuple[str, Address | None]:
    """The host, and its address if it is one; ValueError for a place that is never gone to."""
    host = (url.hostname or "").removesuffix(".")
    address = _address(host)
    if address is None and _NAME.fullmatch(host) is None:
        raise ValueError("does not name a host")
    if address is None and _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise ValueError("must write an IPv4 address as four plain decimal numbers")
    if host in _METADATA_NAMES or (address is not None and _is_forbidden(address)):
        raise ValueError(
            f"must not go to {host}: link-local, metadata and multicast addresses are never sent to"
        )
    return host, address


def _address(host: str) -> Address | None:
    """The address meant, taken out of the IPv6 forms that wrap an IPv4 one."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    inside = address.ipv4_mapped or address.sixtofour
    if inside is None and address in _NAT64:
        inside = IPv4Address(int(address) & 0xFFFF_FFFF)
    return inside or address


def _is_forbidden(address: Address) -> bool:
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (address.version == 4 and address.is_reserved)
        or address in _METADATA
    )


def _is_near(host: str, address: Address | None) -> bool:
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_private
