"""What does a record of a network database say? The databases of several makers, one reading.

Fields as MaxMind (GeoIP and GeoLite: Country, City, ASN, Anonymous IP, User Type), DB-IP and IPinfo
name them. A record is whatever an MMDB file held: anything that is not understood is unknown.
"""

from collections.abc import Mapping
from typing import Final

OWNER_CHARS_MAX: Final = 128
ASN_MAX: Final = 4_294_967_295

_NO_COUNTRIES: Final = frozenset(("A1", "A2", "AP", "EU", "O1", "T1", "XX", "ZZ"))
"""Two letters that stand for "some proxy", "somewhere in Asia", "unknown" …"""
_COUNTRIES: Final = (
    ("country", "iso_code"),
    ("country_code",),
    ("country",),
    ("registered_country", "iso_code"),
)
_NUMBERS: Final = ("autonomous_system_number", "asn", "as_number")
_OWNERS: Final = ("autonomous_system_organization", "as_name", "as_org", "name", "org")
_FLAGS: Final = (
    ("is_tor_exit_node", "tor"),
    ("tor", "tor"),
    ("is_anonymous_vpn", "vpn"),
    ("is_public_proxy", "vpn"),
    ("is_residential_proxy", "vpn"),
    ("vpn", "vpn"),
    ("proxy", "vpn"),
    ("relay", "vpn"),
    ("is_hosting_provider", "datacenter"),
    ("hosting", "datacenter"),
)
"""A proxy that anybody can rent is a VPN by another name, also where it stands in a home."""
_USERS: Final = {
    "hosting": "datacenter",
    "content_delivery_network": "datacenter",
    "consumer_privacy_network": "vpn",
    "residential": "residential",
    "cellular": "residential",
    "dialup": "residential",
}


def country_in(record: object) -> str:
    """Two capital letters (ISO 3166-1), "" if it names no country. Where the network is used comes
    before where it is registered."""
    for path in _COUNTRIES:
        value = record
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if code := country_code(value):
            return code
    return ""


def country_code(value: object) -> str:
    """The value if it is the code of a country, else ""."""
    if not isinstance(value, str) or len(value) != 2:
        return ""
    is_code = value.isascii() and value.isalpha() and value.isupper()
    return value if is_code and value not in _NO_COUNTRIES else ""


def system_in(record: object) -> tuple[int, str]:
    """Number and name of the autonomous system; (0, "") if it names none."""
    fields = _fields(record)
    asn = next((n for name in _NUMBERS if (n := _asn(fields.get(name)))), 0)
    if not asn:
        return 0, ""
    owners = (fields.get(name) for name in _OWNERS)
    owner = next((text for text in owners if isinstance(text, str) and text), "")
    return asn, "".join(filter(str.isprintable, owner[:OWNER_CHARS_MAX]))


def kind_in(record: object) -> str:
    """One of `NETWORK_KINDS`: what its flags say, the most telling first, else the sort of its
    users."""
    fields = _fields(record)
    for name, kind in _FLAGS:
        if fields.get(name) in (True, "true"):
            return kind
    user = fields.get("user_type")
    return _USERS.get(user, "") if isinstance(user, str) else ""


def _fields(record: object) -> Mapping[str, object]:
    """The record's own fields; GeoIP's wide databases have them under `traits`."""
    if not isinstance(record, Mapping):
        return {}
    traits = record.get("traits")
    return {**record, **traits} if isinstance(traits, Mapping) else record


def _asn(value: object) -> int:
    """15169, "15169" or "AS15169"."""
    if isinstance(value, str):
        digits = value[:16].upper().removeprefix("AS")
        value = int(digits) if digits.isascii() and digits.isdigit() else 0
    return value if isinstance(value, int) and 0 < value <= ASN_MAX else 0
