"""Where does the call come from, and may this key be used there?

The address is the peer's of the connection. Only if the peer is a proxy the operator named, its
word in one named header counts, read from the right: every hop was written by the one that is
trusted so far, so nothing a caller puts on the left is ever reached.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from tokenward.kernel.refusals import Refusal

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HOPS_MAX: Final = 16
"""Most trusted hops that are walked; a longer chain is not believed."""
ADDRESS_CHARS_MAX: Final = 64

_MAPPED: Final = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Whose word about the caller's address counts, and in which header (lower case)."""

    networks: tuple[Network, ...] = ()
    header: bytes = b"x-forwarded-for"

    def includes(self, peer: str) -> bool:
        """Whether a connection from this address is one of theirs."""
        address = _address(peer)
        return address is not None and _is_in(address, self.networks)


def trusted_proxies(cidrs: Sequence[str], header: str) -> TrustedProxies:
    """The setting, compiled once; ValueError names a network that is none."""
    networks = tuple(_network(cidr) for cidr in cidrs)
    return TrustedProxies(networks, header.lower().encode("ascii"))


def client_address(peer: str | None, headers: dict[bytes, bytes], trusted: TrustedProxies) -> str:
    """The caller's address in canonical form; "" if the connection has none (a Unix socket).

    The rightmost hop that is not a trusted proxy is the caller. Where all are trusted, the
    leftmost is. Where a trusted proxy says nothing, or anything but an address, or the chain is
    too long, the caller is unknown ("") and in nobody's network: the proxy's own address would
    open keys for whoever stands behind it.
    """
    address = _address(peer or "")
    if address is None:
        return ""
    if not (trusted.networks and _is_in(address, trusted.networks)):
        return _written(address)
    said = headers.get(trusted.header)
    caller = _caller(said, trusted.networks) if said else None
    return "" if caller is None else _written(caller)


def allows_network(cidrs: tuple[str, ...], address: str) -> Refusal | None:
    """None if the key may be used from `address`; an unknown address is in no network.

    The networks are not named: whoever holds a stolen key need not learn where it would work.
    """
    if not cidrs:
        return None
    caller = _address(address)
    if caller is not None and _is_in(caller, _compiled(cidrs)):
        return None
    return Refusal(
        "network:not_allowed",
        403,
        f"This key may not be used from {address or 'an unknown address'}. Nothing was sent. If "
        "it should work there, ask for a key that allows this network: tokenward key create "
        "--cidr … (behind a proxy, server.trusted_proxies must name it).",
        facts=(("address", address or None),),
    )


def _caller(said: bytes, trusted: tuple[Network, ...]) -> Address | None:
    hops = said.rsplit(b",", HOPS_MAX)
    unread = hops.pop(0) if len(hops) > HOPS_MAX else None
    caller: Address | None = None
    for hop in reversed(hops):
        caller = _hop(hop)
        if caller is None or not _is_in(caller, trusted):
            return caller
    return caller if unread is None else None


def _hop(said: bytes) -> Address | None:
    """`192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`."""
    text = said.decode("latin-1").strip(" \t")
    if text.startswith("["):
        host, is_closed, port = text[1:].partition("]")
        return _address(host) if is_closed and ":" in host and _is_port(port) else None
    host, colon, port = text.partition(":")
    if colon and "." in host and ":" not in port:
        return _address(host) if _is_port(colon + port) else None
    return _address(text)


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and text[1:].isascii() and text[1:].isdigit())


def _address(text: str) -> Address | None:
    # A caller's own text: what is too long must not even be remembered.
    return _short_address(text) if len(text) <= ADDRESS_CHARS_MAX else None


@lru_cache(maxsize=4096)
def _short_address(text: str) -> Address | None:
    """IPv4 inside IPv6 is the same machine as IPv4; an interface (`%eth0`) is nobody's address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


_written: Final = lru_cache(maxsize=4096)(str)
"""An address in canonical form."""


def _network(cidr: str) -> Network:
    network = ip_network(cidr.strip(), strict=False)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        inside = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((inside, network.prefixlen - 96))
    return network


@lru_cache(maxsize=2048)
def _compiled(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(_network(cidr) for cidr in cidrs)


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
