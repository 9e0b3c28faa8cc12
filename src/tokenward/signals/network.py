"""From which network does a call come? Nothing here is looked up anywhere but in this process.

The address is the one that `limits.networks.client_address` made out: a proxy's word counts only
where the operator named that proxy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from tokenward.kernel.signals import Network
from tokenward.signals.geodata import Position
from tokenward.signals.ranges import NO_RANGES, Address, Ranges

ADDRESS_CHARS_MAX: Final = 64
REMEMBERED: Final = 8_192
"""Addresses whose network is kept ready: about 5 MB."""
PREFIX_V4: Final = 16
PREFIX_V6: Final = 32
BLOCK_V4: Final = 24
BLOCK_V6: Final = 48
"""The smallest parts of the net that others commonly route to (RFC 7454, 6.1.3)."""

# Not `is_private` of the standard library: that counts networks of documentation and benchmarks as
# private too, and what it counts has changed between releases of Python.
_PRIVATE: Final = Ranges(
    map(
        ip_network,
        (
            "10.0.0.0/8",  # RFC 1918
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",  # shared by a carrier's customers, RFC 6598
            "127.0.0.0/8",
            "::1/128",
            "169.254.0.0/16",  # one link, RFC 3927 and 4291
            "fe80::/10",
            "fc00::/7",  # RFC 4193
        ),
    )
)


def nowhere(_address: str) -> str:
    """A look-up that knows no address."""
    return ""


def no_system(_address: str) -> tuple[int, str]:
    """A look-up that knows no autonomous system."""
    return 0, ""


def no_position(_address: str) -> Position | None:
    """A look-up that knows no position."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """What is known of networks. The look-ups take an address in canonical form and never raise.

    `country_of` answers with two capital letters, `system_of` with the number and the name of the
    autonomous system, `kind_of` with one of `NETWORK_KINDS`, `position_of` with degrees and km;
    what they do not know is "", 0 or None.
    """

    country_of: Callable[[str], str] = nowhere
    system_of: Callable[[str], tuple[int, str]] = no_system
    kind_of: Callable[[str], str] = nowhere
    position_of: Callable[[str], Position | None] = no_position
    datacenters: Ranges = NO_RANGES
    vpns: Ranges = NO_RANGES
    tor: Ranges = NO_RANGES


class Networks:
    """`read_network` over one atlas, with the last `REMEMBERED` addresses kept ready."""

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas
        self._known = lru_cache(maxsize=REMEMBERED)(self._read)

    def of(self, address: str) -> Network:
        """The network of an address; an empty `Network` for anything that is no address."""
        # What is too long is never remembered, or a caller could fill the memory.
        return self._known(address) if len(address) <= ADDRESS_CHARS_MAX else Network()

    def _read(self, address: str) -> Network:
        return read_network(address, self._atlas)


def read_network(address: str, atlas: Atlas) -> Network:
    """The network of an address; an empty `Network` for anything that is no address.

    All private addresses are one place, `private`. IPv4 inside IPv6 is the IPv4 address.
    """
    known = _address(address)
    if known is None:
        return Network()
    if _PRIVATE.holds(known):
        return Network(place="private", kind="private")
    text = str(known)
    country = atlas.country_of(text)
    asn, owner = atlas.system_of(text)
    kind = _kind(known, text, atlas)
    return Network(
        place=_place(known, country, asn, kind),
        country=country,
        asn=asn,
        owner=owner,
        kind=kind,
        block=_prefix(known, BLOCK_V4, BLOCK_V6),
        position=atlas.position_of(text),
    )


def _address(text: str) -> Address | None:
    if len(text) > ADDRESS_CHARS_MAX:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):  # without the interface of `fe80::1%eth0`
        address = address.ipv4_mapped or IPv6Address(int(address))
    return None if address.is_unspecified else address


def _kind(address: Address, text: str, atlas: Atlas) -> str:
    """Tor before VPN before datacenter: exits of both stand in datacenters, too."""
    said = atlas.kind_of(text)
    lists = (("tor", atlas.tor), ("vpn", atlas.vpns), ("datacenter", atlas.datacenters))
    for kind, ranges in lists:
        if said == kind or ranges.holds(address):
            return kind
    return said


def _place(address: Address, country: str, asn: int, kind: str) -> str:
    """The autonomous system names a network best. Without it there is no better name than a prefix
    of about the size in which addresses are given out."""
    if asn:
        return f"AS{asn}"
    is_told = kind in ("datacenter", "vpn", "tor")
    return f"{kind if is_told else country or '??'}:{_prefix(address, PREFIX_V4, PREFIX_V6)}"


def _prefix(address: Address, bits_v4: int, bits_v6: int) -> str:
    bits = bits_v4 if isinstance(address, IPv4Address) else bits_v6
    below = address.max_prefixlen - bits
    return f"{type(address)(int(address) >> below << below)}/{bits}"
