"""What of a call's wire ASGI does not carry: how its headers were written, and its TLS.

Both tell which program calls (`signals/client.py`). The names are the server's own word; the JA4
is that of a proxy in front, which alone has seen the caller's handshake.
"""

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from tokenward.limits.networks import TrustedProxies
from tokenward.signals.ja4 import read_ja4

WIRE_NAMES: Final = "tokenward.wire_names"
"""The ASGI extension under which the names of the headers stand as they were written: a tuple,
beside `scope["headers"]`, whose names are in lower case."""

HeaderList = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Ja4Source:
    """Whose word about the caller's TLS counts, and in which header (lower case; b"" for none)."""

    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    header: bytes = b""

    def ja4_of(self, scope: MutableMapping[str, Any]) -> str:
        """The caller's JA4; "" if nobody who is believed says it, or more than one is said."""
        peer = (scope.get("client") or ("",))[0]
        if not self.header or not self.trusted.includes(peer):
            return ""
        values = [value for name, value in scope["headers"] if name == self.header]
        return read_ja4(values[0]) if len(values) == 1 else ""


def without(
    header_list: HeaderList, wire_names: tuple[bytes, ...], names: frozenset[bytes]
) -> tuple[HeaderList, tuple[bytes, ...]]:
    """Both without the headers of these names, still beside each other."""
    kept = [at for at, (name, _) in enumerate(header_list) if name not in names]
    if len(kept) == len(header_list):
        return header_list, wire_names
    wire = tuple(wire_names[at] for at in kept) if wire_names else ()
    return tuple(header_list[at] for at in kept), wire
