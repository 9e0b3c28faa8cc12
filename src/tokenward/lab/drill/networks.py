"""The drill's own small world of networks: addresses, and the database that tells them apart.

Addresses are of 3fff::/20, set aside for documentation (RFC 9637); numbers of systems are private
ones (RFC 6996). The file is an MMDB, as operators get it from its makers, so the guard looks the
drill's callers up as it would real ones. Without the package that reads such files there are only
the lists, and the guard knows neither countries nor systems.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tokenward.kernel.signals import Network
from tokenward.lab.catalogue import COUNTRIES

KINDS: Final = ("residential", "datacenter", "vpn", "tor", "")
LISTS: Final = {"datacenters": "3fff:100::/24", "vpns": "3fff:200::/24", "tor": "3fff:300::/24"}
PRIVATE: Final = "10.1.2.3"
SYSTEMS: Final = 64
"""Systems of a kind (and for homes and offices of a country) that the drill tells apart."""
_FIRST_SYSTEM: Final = 4_200_000_000
_SYSTEMS_A_KIND: Final = 4_096
_OF_A_COUNTRY: Final = ("residential", "")
_TELLS: Final = {"datacenter": "hosting", "vpn": "vpn", "tor": "tor"}

# The format's types that are needed here (MaxMind DB file format specification 2.0).
_TEXT, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY = 2, 5, 6, 7, 9, 11
_WIDTHS: Final = {_UINT16: 2, _UINT32: 4, _UINT64: 8}
_RECORD_BYTES: Final = 4
_MARK: Final = b"\xab\xcd\xefMaxMind.com"
_Node = list["_Node | int | None"]


def address_of(network: Network) -> str:
    """An address of that network: the same kind, country and system give the same one."""
    if network.kind == "private":
        return PRIVATE
    kind = KINDS.index(network.kind) if network.kind in KINDS else KINDS.index("")
    country = COUNTRIES.index(network.country) if network.country in COUNTRIES else 0
    return f"3fff:{kind:x}{country:02x}:{network.asn % SYSTEMS:x}::1"


def knows_countries() -> bool:
    """Whether the guard can be told countries and systems: the package that reads them is here."""
    return importlib.util.find_spec("maxminddb") is not None


def write_networks(folder: Path) -> str:
    """Write the files; the settings' `[network]` table that names them."""
    lines = ["[network]"]
    for name, prefix in LISTS.items():
        (folder / f"{name}.txt").write_text(f"{prefix}\n", "ascii")
        lines.append(f'{name} = ["{name}.txt"]')
    if knows_countries():
        (folder / "networks.mmdb").write_bytes(database())
        lines += [f'{name} = "networks.mmdb"' for name in ("country_db", "asn_db", "kind_db")]
    return "\n".join(lines) + "\n"


def database() -> bytes:
    """The MMDB of all networks that `address_of` can name."""
    root: _Node = [None, None]
    data = bytearray()
    for prefix, record in _records():
        _put(root, f"{prefix:048b}", len(data))
        data += _encoded(record)
    nodes: list[_Node] = []
    _number(root, nodes)
    numbers = {id(node): number for number, node in enumerate(nodes)}
    tree = bytearray()
    for node in nodes:
        for child in node:
            if isinstance(child, list):
                pointer = numbers[id(child)]
            else:
                pointer = len(nodes) + (0 if child is None else 16 + child)
            tree += pointer.to_bytes(_RECORD_BYTES, "big")
    return bytes(tree) + bytes(16) + bytes(data) + _MARK + _metadata(len(nodes))


def _records() -> Iterator[tuple[int, dict[str, str]]]:
    """The first 48 bits of each network, and what is said of it."""
    for kind, name in enumerate(KINDS):
        for country, code in enumerate(COUNTRIES):
            for number in range(SYSTEMS):
                system = _FIRST_SYSTEM + kind * _SYSTEMS_A_KIND + number
                if name in _OF_A_COUNTRY:
                    system += country * SYSTEMS
                record = {"country_code": code, "asn": f"AS{system}"}
                if name in _TELLS:
                    record[_TELLS[name]] = "true"
                elif name:
                    record["user_type"] = name
                yield (0x3FFF << 32) + (((kind << 8) + country) << 16) + number, record


def _put(root: _Node, bits: str, at: int) -> None:
    node = root
    for bit in map(int, bits[:-1]):
        child = node[bit]
        if not isinstance(child, list):
            child = node[bit] = [None, None]
        node = child
    node[int(bits[-1])] = at


def _number(node: _Node, nodes: list[_Node]) -> None:
    nodes.append(node)
    for child in node:
        if isinstance(child, list):
            _number(child, nodes)


def _metadata(nodes: int) -> bytes:
    fields = {
        "node_count": _uint(nodes, _UINT32),
        "record_size": _uint(_RECORD_BYTES * 8, _UINT16),
        "ip_version": _uint(6, _UINT16),
        "database_type": _text("tokenward-drill"),
        "languages": bytes([1, _ARRAY - _MAP]) + _text("en"),
        "description": _encoded({"en": "made for a drill"}),
        "binary_format_major_version": _uint(2, _UINT16),
        "binary_format_minor_version": _uint(0, _UINT16),
        "build_epoch": _uint(1_700_000_000, _UINT64),
    }
    inner = b"".join(_text(name) + value for name, value in fields.items())
    return bytes([_MAP << 5 | len(fields)]) + inner


def _encoded(record: dict[str, str]) -> bytes:
    inner = b"".join(_text(name) + _text(value) for name, value in record.items())
    return bytes([_MAP << 5 | len(record)]) + inner


def _text(text: str) -> bytes:
    """All texts here are short: their length has room in the first byte."""
    return bytes([_TEXT << 5 | len(text)]) + text.encode("ascii")


def _uint(number: int, kind: int) -> bytes:
    width = _WIDTHS[kind]
    first = bytes([kind << 5 | width]) if kind <= _MAP else bytes([width, kind - _MAP])
    return first + number.to_bytes(width, "big")
