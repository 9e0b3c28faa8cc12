"""What does a record of a network database say? The databases of several makers, one reading.

Fields as MaxMind (GeoIP and GeoLite: Country, City, ASN, Anonymous IP, User Type), DB-IP and IPinfo
name them. A record is whatever an MMDB file held: anything that is not understood is unknown.
"""

from collections.abc import Mapping
from typing import Final

Position = tuple[float, float, float]
"""Latitude and longitude in degrees, and by how many km that may be off."""

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
_LATITUDES: Final = ("latitude", "lat")
_LONGITUDES: Final = ("longitude", "lng")
_RADII: Final = ("accuracy_radius", "radius")
NUMBER_CHARS_MAX: Final = 24
TOWN_KM: Final = 50.0
"""Of a maker that states no radius: a large town and what lies around it."""
COUNTRY_KM: Final = 2_500.0
"""From the middle of the United States, China, Brazil or Australia to their farthest large town."""
VAGUE_KM: Final = 1_000.0
"""MaxMind's largest radius: it stands at what can only be placed in a country, however large."""
FARTHEST_KM: Final = 20_038.0
"""Half around the earth: nothing is farther off."""


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


def position_in(record: object) -> Position | None:
    """Where on earth the address is; None if the record does not say. Numbers may be text.

    Where no radius is stated it is `TOWN_KM`, or `COUNTRY_KM` for what is in no town.
    """
    if not isinstance(record, Mapping):
        return None
    location = record.get("location")
    fields = {**record, **location} if isinstance(location, Mapping) else record
    latitude, longitude = _first(fields, _LATITUDES, 90), _first(fields, _LONGITUDES, 180)
    if latitude is None and isinstance(loc := fields.get("loc"), str):
        north, _, east = loc[: 2 * NUMBER_CHARS_MAX + 1].partition(",")
        latitude, longitude = _number(north, 90), _number(east, 180)
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None  # at 0, 0 is the sea, and what some makers could not place
    radius = _first(fields, _RADII, FARTHEST_KM)
    if radius is None or radius <= 0:
        radius = TOWN_KM if fields.get("city") else COUNTRY_KM
    return latitude, longitude, max(radius, COUNTRY_KM) if radius >= VAGUE_KM else radius


def _first(fields: Mapping[str, object], names: tuple[str, ...], most: float) -> float | None:
    return next((n for name in names if (n := _number(fields.get(name), most)) is not None), None)


def _number(value: object, most: float) -> float | None:
    """A number from -most to `most`, which no NaN is; None for anything else."""
    if isinstance(value, str):
        if len(value) > NUMBER_CHARS_MAX or not value.isascii():
            return None
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -most <= value <= most else None


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
