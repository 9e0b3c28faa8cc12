"""Writes small MMDB files for tests, after the MaxMind DB format specification 2.0.

IPv4 networks stand where that says: below ::/96 of an IPv6 tree.
"""

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass

METADATA_MARK = b"\xab\xcd\xefMaxMind.com"
RECORD_BYTES = 3
"""Tree records of 24 bits: two of them are a node."""

_MAP, _UINT32, _ARRAY, _BOOL = 7, 6, 11, 14
_TEXT, _DOUBLE, _UINT16, _UINT64 = 2, 3, 5, 9

_WIDTHS = {_UINT16: 2, _UINT32: 4, _UINT64: 8}
_Node = list["_Node | bytes | None"]


@dataclass(frozen=True)
class _Wide:
    """A number whose type the specification prescribes."""

    number: int
    kind: int


def mmdb(records: Mapping[str, object], kind: str = "Test", ip_version: int = 6) -> bytes:
    """The file: network → record. Networks must not overlap."""
    root: _Node = [None, None]
    for network, record in records.items():
        _put(root, _bits(network, ip_version), encoded(record))
    nodes: list[_Node] = []
    _number(root, nodes)
    numbers = {id(node): number for number, node in enumerate(nodes)}
    data = bytearray()
    tree = bytearray()
    for node in nodes:
        for child in node:
            if child is None:
                pointer = len(nodes)
            elif isinstance(child, bytes):
                pointer = len(nodes) + 16 + len(data)
                data += child
            else:
                pointer = numbers[id(child)]
            tree += pointer.to_bytes(RECORD_BYTES, "big")
    metadata = {
        "node_count": _Wide(len(nodes), _UINT32),
        "record_size": RECORD_BYTES * 8,
        "ip_version": ip_version,
        "database_type": kind,
        "languages": ["en"],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": _Wide(1_700_000_000, _UINT64),
        "description": {"en": "made by a test"},
    }
    return bytes(tree) + bytes(16) + bytes(data) + METADATA_MARK + encoded(metadata)


def encoded(value: object) -> bytes:
    """A value of the data section."""
    if isinstance(value, bool):
        return _control(_BOOL, int(value))
    if isinstance(value, int):
        return encoded(_Wide(value, _UINT16 if value < 1 << 16 else _UINT32))
    if isinstance(value, float):
        return _control(_DOUBLE, 8) + struct.pack(">d", value)
    if isinstance(value, _Wide):
        width = _WIDTHS[value.kind]
        return _control(value.kind, width) + value.number.to_bytes(width, "big")
    if isinstance(value, str):
        raw = value.encode()
        return _control(_TEXT, len(raw)) + raw
    if isinstance(value, list):
        return _control(_ARRAY, len(value)) + b"".join(map(encoded, value))
    assert isinstance(value, Mapping), "the writer knows no other type"
    inner = b"".join(encoded(str(name)) + encoded(each) for name, each in value.items())
    return _control(_MAP, len(value)) + inner


def _control(kind: int, size: int) -> bytes:
    """Type and size; types above 7 have a byte of their own, sizes above 28 follow."""
    extended = struct.pack("B", kind - 7) if kind > 7 else b""
    first = 0 if kind > 7 else kind << 5
    if size < 29:
        return bytes([first | size]) + extended
    if size < 29 + 256:
        return bytes([first | 29]) + extended + bytes([size - 29])
    assert size < 285 + 65_536, "the writer makes small files"
    return bytes([first | 30]) + extended + (size - 285).to_bytes(2, "big")


def _bits(network: str, ip_version: int) -> str:
    net = ipaddress.ip_network(network)
    prefix, width = net.prefixlen, 128 if ip_version == 6 else 32
    if net.version == 4 and ip_version == 6:
        prefix += 96
    return f"{int(net.network_address):0{width}b}"[:prefix]


def _put(root: _Node, bits: str, record: bytes) -> None:
    node = root
    for bit in map(int, bits[:-1]):
        child = node[bit]
        assert not isinstance(child, bytes), "networks must not overlap"
        if child is None:
            child = node[bit] = [None, None]
        node = child
    assert node[int(bits[-1])] is None, "networks must not overlap"
    node[int(bits[-1])] = record


def _number(node: _Node, nodes: list[_Node]) -> None:
    nodes.append(node)
    for child in node:
        if isinstance(child, list):
            _number(child, nodes)
